//! Promises of one stream, without a connection: the test plays the task.

use std::task::Waker;

use adit_ssh::block::BLOCK;

use super::shared::OUT_QUEUE_BLOCKS;
use super::*;

const LOST: io::ErrorKind = io::ErrorKind::ConnectionAborted;

fn stream() -> (ByteStream, StreamDriver, Arc<DirtyList>, Pool) {
    let (pool, dirty) = (Pool::new(64), Arc::new(DirtyList::new()));
    let (stream, driver) = ByteStream::pair(7, PACKET, pool.clone(), Arc::clone(&dirty));
    (stream, driver, dirty, pool)
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn block(pool: &Pool, bytes: &[u8]) -> Block {
    let mut block = pool.take();
    assert_eq!(block.append(bytes), bytes.len());
    block
}

fn write(stream: &mut ByteStream, bytes: &[u8]) -> Poll<io::Result<usize>> {
    Pin::new(stream).poll_write(&mut context(), bytes)
}

/// Writes all of it and gives the count that was taken.
fn fill(stream: &mut ByteStream, byte: u8) -> usize {
    let mut total = 0;
    while let Poll::Ready(count) = write(stream, &vec![byte; PACKET]) {
        total += count.unwrap();
    }
    total
}

fn shutdown(stream: &mut ByteStream) -> io::Result<()> {
    let Poll::Ready(result) = Pin::new(stream).poll_shutdown(&mut context()) else {
        panic!("a shutdown returns at once");
    };
    result
}

fn read(stream: &mut ByteStream, most: usize) -> Poll<io::Result<Vec<u8>>> {
    let mut bytes = vec![0; most];
    let mut buffer = ReadBuf::new(&mut bytes);
    let result = Pin::new(stream).poll_read(&mut context(), &mut buffer);
    let filled = buffer.filled().to_vec();
    result.map_ok(|()| filled)
}

fn read_now(stream: &mut ByteStream, most: usize) -> Vec<u8> {
    match read(stream, most) {
        Poll::Ready(bytes) => bytes.unwrap(),
        Poll::Pending => panic!("nothing to read"),
    }
}

#[test]
fn chunks_and_reserved_room_cost_no_copy_and_one_wake() {
    let (mut stream, mut driver, _dirty, pool) = stream();
    assert!(stream.poll_chunk(&context()).is_pending());
    // A second block finds nobody waiting any more.
    driver.push(block(&pool, &vec![1; PACKET]));
    driver.push(block(&pool, &vec![2; PACKET]));
    for _ in 0..2 {
        let Poll::Ready(Ok(Some(chunk))) = stream.poll_chunk(&context()) else {
            panic!("no chunk");
        };
        assert_eq!(chunk.len(), PACKET);
    }
    let Poll::Ready(Ok(mut reserve)) = stream.poll_reserve(&context()) else {
        panic!("no room");
    };
    reserve.buffer_mut()[..3].fill(7);
    reserve.commit(3);
    driver.news();
    assert!(driver.take_block(PACKET).is_some());
    let (copied, wakes) = (0, 1);
    assert_eq!(driver.take_costs(), Costs { copied, wakes });
    assert_eq!(driver.take_costs(), Costs::default());
}

#[test]
fn what_is_copied_is_counted_once() {
    let (mut stream, mut driver, _dirty, pool) = stream();
    driver.push(block(&pool, &vec![1; PACKET]));
    assert_eq!(driver.take_costs().copied, 0);
    driver.push(block(&pool, b"small"));
    assert_eq!(driver.take_costs().copied, 5, "it was put behind the last");
    assert_eq!(read_now(&mut stream, 2 * PACKET).len(), PACKET + 5);
    assert!(write(&mut stream, &[3; 100]).is_ready());
    driver.news();
    assert!(driver.take_block(60).is_some());
    assert_eq!(driver.take_costs().copied, PACKET + 5 + 100 + 60);
    assert!(read(&mut stream, 1).is_pending());
    assert_eq!(driver.take_costs(), Costs::default());
}

fn take_dirty(dirty: &DirtyList) -> Vec<u32> {
    let mut channels = Vec::new();
    let _ = dirty.poll_take(&context(), &mut channels).is_ready();
    channels
}

#[test]
fn bytes_are_read_in_order_through_any_buffer() {
    let (mut stream, mut driver, _, pool) = stream();
    driver.push(block(&pool, &vec![1; 30_000]));
    driver.push(block(&pool, b"small"));
    driver.push_slice(b" and smaller");
    driver.push_eof();
    assert_eq!(read_now(&mut stream, 29_998), vec![1; 29_998]);
    assert_eq!(read_now(&mut stream, 7), b"\x01\x01small");
    assert_eq!(read_now(&mut stream, 100), b" and smaller");
    assert_eq!(read_now(&mut stream, 100), b"");
    assert_eq!(read_now(&mut stream, 100), b"");
}

#[test]
fn small_payloads_share_a_block() {
    let (mut stream, mut driver, _, pool) = stream();
    for _ in 0..20 {
        driver.push(block(&pool, &[3; 100]));
        driver.push_slice(&[4; 100]);
    }
    let Poll::Ready(Ok(Some(chunk))) = stream.poll_chunk(&context()) else {
        panic!("nothing came");
    };
    assert_eq!(chunk.len(), 4_000);
    assert_eq!(pool.free(), 1, "one block carried each payload there");
}

/// Issue 2 section 3: at most twice the queued bytes and one block.
#[test]
fn what_a_stalled_stream_holds_is_bounded_by_what_is_queued() {
    for payload in [1, 100, 4_000, 5_000, 18_000, 18_432, 18_433, 20_000, 32_768] {
        let (stream, mut driver, _, pool) = stream();
        for _ in 0..50 {
            driver.push(block(&pool, &vec![1; payload]));
        }
        let held = stream.shared.state().inbound.len() * BLOCK;
        assert!(
            held <= 2 * 50 * payload + BLOCK,
            "{held} bytes for {payload}"
        );
    }
}

#[test]
fn taken_bytes_are_counted_once_and_told_in_steps() {
    let (mut stream, mut driver, dirty, pool) = stream();
    driver.push(block(&pool, &vec![0; 20_000]));
    driver.push(block(&pool, &vec![0; 20_000]));
    assert_eq!(take_dirty(&dirty), [0_u32; 0]);
    assert_eq!(driver.news().inbound, 40_000);
    let first = stream.poll_chunk(&context());
    let second = stream.poll_chunk(&context());
    assert!(first.is_ready() && second.is_ready());
    assert_eq!(take_dirty(&dirty), [7], "it stands there once");
    let news = driver.news();
    assert_eq!((news.consumed, news.inbound), (40_000, 0));
    assert_eq!(driver.news().consumed, 0);
    driver.push_slice(&[0; 100]);
    assert_eq!(read_now(&mut stream, 10).len(), 10);
    assert_eq!(take_dirty(&dirty), [0_u32; 0], "a small step is not news");
    assert_eq!(driver.news().consumed, 100);
}

#[test]
fn the_last_byte_before_an_end_is_news_however_small() {
    let (mut stream, mut driver, dirty, _) = stream();
    driver.push_slice(b"x");
    driver.push_eof();
    assert_eq!(read_now(&mut stream, 10), b"x");
    assert_eq!(take_dirty(&dirty), [7]);
}

#[test]
fn the_queue_takes_its_limit_and_not_a_byte_more() {
    let (mut stream, mut driver, dirty, _) = stream();
    assert_eq!(fill(&mut stream, 1), OUT_QUEUE_BYTES);
    assert_eq!(take_dirty(&dirty), [7]);
    let first = driver.take_block(usize::MAX).unwrap();
    assert_eq!((first.start(), first.len()), (HEADROOM, PACKET));
    assert!(first.spare() >= TAILROOM);
    assert!(write(&mut stream, b"x").is_pending(), "taken is not sealed");
    driver.sealed(first.len());
    assert_eq!(fill(&mut stream, 2), PACKET);
}

#[test]
fn small_writes_cannot_hold_many_blocks() {
    for packet in [256, 1_000, PACKET] {
        let pool = Pool::new(0);
        let (mut stream, mut driver) =
            ByteStream::pair(1, packet, pool, Arc::new(DirtyList::new()));
        let mut written = 0;
        while let Poll::Ready(count) = write(&mut stream, &[9; 10]) {
            written += count.unwrap();
        }
        assert!(stream.shared.state().outbound.len() <= OUT_QUEUE_BLOCKS);
        while let Some(block) = driver.take_block(usize::MAX) {
            assert!(block.len() <= packet);
            assert!(block.as_slice().iter().all(|byte| *byte == 9));
            written -= block.len();
        }
        assert_eq!(written, 0);
    }
}

#[test]
fn a_small_window_takes_a_block_in_pieces() {
    let (mut stream, mut driver, _, _) = stream();
    let sent: Vec<u8> = (0..=255).cycle().take(2 * PACKET).collect();
    for part in sent.chunks(PACKET) {
        assert!(matches!(write(&mut stream, part), Poll::Ready(Ok(PACKET))));
    }
    assert!(driver.take_block(0).is_none());
    let mut got = Vec::new();
    for most in [1, 1_000, 0, 40_000, 9_999].into_iter().cycle() {
        if got.len() == sent.len() {
            break;
        }
        if let Some(block) = driver.take_block(most) {
            assert!(block.len() <= most && block.start() >= HEADROOM);
            assert!(block.spare() >= TAILROOM);
            got.extend_from_slice(block.as_slice());
        }
    }
    assert_eq!(got, sent);
    assert_eq!(driver.news().outbound, 0);
}

#[test]
fn a_reserve_that_is_dropped_sends_nothing_and_loses_nothing() {
    let (mut stream, mut driver, dirty, _) = stream();
    assert!(matches!(write(&mut stream, b"kept"), Poll::Ready(Ok(4))));
    drop(take_dirty(&dirty));
    assert_eq!(driver.news().outbound, 4);
    {
        let Poll::Ready(Ok(mut reserve)) = stream.poll_reserve(&context()) else {
            panic!("there is room");
        };
        assert_eq!(reserve.buffer_mut().len(), PACKET - 4);
        reserve.buffer_mut().fill(1);
        assert!(driver.take_block(usize::MAX).is_none(), "it is on loan");
    }
    assert_eq!(take_dirty(&dirty), [7], "the task is told that it is back");
    assert_eq!(driver.take_block(usize::MAX).unwrap().as_slice(), b"kept");
}

#[test]
fn shutdown_is_told_behind_what_was_written() {
    let (mut stream, mut driver, _, _) = stream();
    assert!(matches!(write(&mut stream, b"last"), Poll::Ready(Ok(4))));
    shutdown(&mut stream).unwrap();
    shutdown(&mut stream).unwrap();
    assert!(matches!(write(&mut stream, b"more"), Poll::Ready(Err(_))));
    let news = driver.news();
    assert_eq!((news.outbound, news.end), (4, AppEnd::Shut));
    drop(stream);
    assert_eq!(driver.news().end, AppEnd::Closed);
    assert_eq!(driver.take_block(usize::MAX).unwrap().as_slice(), b"last");
}

#[test]
fn dropped_without_shutdown_it_resets_and_forgets() {
    let (mut stream, mut driver, dirty, pool) = stream();
    assert_eq!(fill(&mut stream, 1), OUT_QUEUE_BYTES);
    driver.push(block(&pool, b"unread"));
    drop(stream);
    assert_eq!(take_dirty(&dirty), [7]);
    let news = driver.news();
    assert_eq!(
        (news.end, news.inbound, news.outbound),
        (AppEnd::Reset, 0, 0)
    );
    assert!(driver.take_block(usize::MAX).is_none());
    assert_eq!(pool.free(), 5, "every block is back");
    driver.push(block(&pool, b"late"));
    assert_eq!(driver.news().inbound, 0);
}

#[test]
fn a_reset_is_read_after_what_came_before_it() {
    let (mut stream, mut driver, _, _) = stream();
    driver.push_slice(b"before");
    driver.reset(StreamEnd::Reset);
    driver.push_slice(b"after");
    assert_eq!(read_now(&mut stream, 100), b"before");
    for _ in 0..2 {
        let Poll::Ready(Err(error)) = read(&mut stream, 100) else {
            panic!("a reset is an error");
        };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
    assert!(matches!(write(&mut stream, b"x"), Poll::Ready(Err(_))));
    assert!(shutdown(&mut stream).is_err());
}

#[test]
fn a_lost_connection_ends_a_stream_but_not_one_that_has_ended() {
    let (mut open, open_driver, ..) = stream();
    drop(open_driver);
    assert!(matches!(read(&mut open, 1), Poll::Ready(Err(error)) if error.kind() == LOST));
    let (mut ended, mut ended_driver, ..) = stream();
    ended_driver.push_slice(b"all");
    ended_driver.push_eof();
    drop(ended_driver);
    assert_eq!(read_now(&mut ended, 10), b"all");
    assert_eq!(read_now(&mut ended, 10), b"");
    assert!(matches!(write(&mut ended, b"x"), Poll::Ready(Err(error)) if error.kind() == LOST));
}

#[test]
fn what_is_not_read_in_time_is_dropped_with_an_error() {
    let (mut stream, mut driver, _, pool) = stream();
    driver.push(block(&pool, b"stale"));
    driver.push_eof();
    driver.drop_inbound();
    assert_eq!(pool.free(), 1);
    assert!(matches!(read(&mut stream, 10), Poll::Ready(Err(_))));
}

#[test]
fn half_a_stream_goes_on_after_the_other_half_ended() {
    let (mut stream, mut driver, _, _) = stream();
    driver.push_eof();
    assert_eq!(read_now(&mut stream, 10), b"");
    assert!(matches!(write(&mut stream, b"still"), Poll::Ready(Ok(5))));
    shutdown(&mut stream).unwrap();
    assert_eq!(driver.take_block(usize::MAX).unwrap().as_slice(), b"still");
}

#[tokio::test]
async fn reader_and_writer_are_woken() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (mut stream, mut driver, dirty, _) = stream();
    let sent: Vec<u8> = (0..=255).cycle().take(1_000_000).collect();
    let application = async {
        stream.write_all(&sent).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).await.unwrap();
        back
    };
    let task = async {
        loop {
            let mut channels = Vec::new();
            poll_fn(|cx| dirty.poll_take(cx, &mut channels)).await;
            let news = driver.news();
            let mut count = 0;
            while let Some(block) = driver.take_block(10_000) {
                count += block.len();
                driver.push(block);
            }
            driver.sealed(count);
            if news.end == AppEnd::Shut {
                driver.push_eof();
                return;
            }
        }
    };
    let (back, ()) = tokio::join!(application, task);
    assert_eq!(back, sent);
}

#[test]
fn what_is_put_back_is_read_again_in_front_of_the_rest() {
    let (mut stream, mut driver, ..) = stream();
    driver.push_slice(b"first");
    let first = read_now(&mut stream, 100);
    stream.unread(b"");
    stream.unread(&first);
    driver.push_slice(b" second");
    driver.push_eof();
    let mut all = read_now(&mut stream, 3);
    all.extend(read_now(&mut stream, 100));
    all.extend(read_now(&mut stream, 100));
    assert_eq!(all, b"first second");
}

#[test]
fn what_is_put_back_loses_nothing_of_the_chunk_that_it_came_from() {
    let (mut stream, mut driver, ..) = stream();
    let sent: Vec<u8> = (0..100).collect();
    driver.push_slice(&sent);
    driver.push_eof();
    let first = read_now(&mut stream, 32);
    stream.unread(&first);
    let mut all = Vec::new();
    for most in [5, 40, 100, 100] {
        all.extend(read_now(&mut stream, most));
    }
    assert_eq!(all, sent);
}

#[test]
fn a_stream_that_is_cut_off_carries_nothing_any_more_either_way() {
    let pool = Pool::new(4);
    let (mut stream, mut driver) = ByteStream::pair(1, 1_000, pool, Arc::new(DirtyList::new()));
    driver.push_slice(b"read before, left, and late");
    let mut cx = context();
    let mut some = [0; 4];
    let mut buffer = ReadBuf::new(&mut some);
    assert!(
        Pin::new(&mut stream)
            .poll_read(&mut cx, &mut buffer)
            .is_ready()
    );
    assert!(
        Pin::new(&mut stream)
            .poll_write(&mut cx, b"not sent")
            .is_ready()
    );
    stream.cutter().cut();
    driver.push_slice(b"later still");
    let mut rest = [0; 64];
    let mut buffer = ReadBuf::new(&mut rest);
    let Poll::Ready(Err(error)) = Pin::new(&mut stream).poll_read(&mut cx, &mut buffer) else {
        panic!("it reads on");
    };
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(buffer.filled().is_empty());
    assert!(driver.take_block(1_000).is_none());
    assert!(matches!(
        Pin::new(&mut stream).poll_write(&mut cx, b"more"),
        Poll::Ready(Err(_))
    ));
    assert_eq!(driver.news().end, AppEnd::Reset);
}
