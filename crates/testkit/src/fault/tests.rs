//! Tests of the faults, one for each.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

const BUFFER: usize = 4096;

fn message() -> Vec<u8> {
    SeededRandom::new(9).bytes::<1000>().to_vec()
}

#[tokio::test]
async fn without_faults_every_byte_passes_both_ways_and_half_closes() {
    let (mut one, mut other) = FaultyStream::pair(BUFFER, 1);
    one.write_all(b"there").await.unwrap();
    one.shutdown().await.unwrap();
    let mut text = String::new();
    other.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "there");
    other.write_all(b"back").await.unwrap();
    drop(other);
    one.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "thereback");
}

#[tokio::test]
async fn short_reads_and_writes_lose_nothing_and_repeat_with_their_seed() {
    let run = async |seed| {
        let (one, other) = FaultyStream::pair(BUFFER, seed);
        let (mut one, mut other) = (one.shorten_writes(7), other.shorten_reads(5));
        let (mut sizes, mut left) = (Vec::new(), message());
        while !left.is_empty() {
            let written = one.write(&left).await.unwrap();
            sizes.push(written);
            left.drain(..written);
        }
        drop(one);
        let mut read = Vec::new();
        while let Ok(size @ 1..) = other.read_buf(&mut read).await {
            sizes.push(size);
        }
        assert_eq!(read, message());
        sizes
    };
    let sizes = run(5).await;
    assert!(sizes.iter().all(|size| (1..=7).contains(size)), "{sizes:?}");
    assert_eq!(sizes, run(5).await);
    assert_ne!(sizes, run(6).await);
}

#[tokio::test(start_paused = true)]
async fn delayed_reads_come_late_together_and_then_the_end() {
    let (mut one, other) = FaultyStream::pair(BUFFER, 1);
    let mut other = other.delay_reads(Duration::from_millis(300));
    let start = Instant::now();
    one.write_all(&message()).await.unwrap();
    drop(one);
    let mut read = Vec::new();
    other.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, message());
    let elapsed = start.elapsed().as_millis();
    assert!((300..400).contains(&elapsed), "{elapsed} ms");
    assert_eq!(other.read_to_end(&mut read).await.unwrap(), 0);
}

#[tokio::test]
async fn truncated_reads_end_after_exactly_as_many_bytes_and_writes_go_on() {
    let (mut one, other) = FaultyStream::pair(BUFFER, 1);
    let mut other = other.truncate_reads(10);
    one.write_all(&message()).await.unwrap();
    let mut read = Vec::new();
    other.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, message()[..10]);
    other.write_all(b"still").await.unwrap();
    one.read_exact(&mut [0; 5]).await.unwrap();
}

#[tokio::test]
async fn truncated_writes_are_taken_and_lost_and_the_peer_sees_the_end() {
    let (one, mut other) = FaultyStream::pair(BUFFER, 1);
    let mut one = one.truncate_writes(10);
    one.write_all(&message()).await.unwrap();
    let mut read = Vec::new();
    other.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, message()[..10]);
}

#[tokio::test]
async fn a_reset_after_bytes_ends_both_directions() {
    let (one, mut other) = FaultyStream::pair(BUFFER, 1);
    let (mut one, mut read) = (one.reset_after_writing(10), Vec::new());
    let written = one.write_all(&message()).await;
    assert_eq!(written.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(
        one.read_u8().await.unwrap_err().kind(),
        io::ErrorKind::ConnectionReset
    );
    drop(one);
    other.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, message()[..10]);

    let (one, mut other) = FaultyStream::pair(BUFFER, 1);
    let mut one = one.reset_after_reading(10);
    other.write_all(&message()).await.unwrap();
    one.read_exact(&mut [0; 10]).await.unwrap();
    assert_eq!(
        one.read_u8().await.unwrap_err().kind(),
        io::ErrorKind::ConnectionReset
    );
    assert_eq!(
        one.write_u8(0).await.unwrap_err().kind(),
        io::ErrorKind::ConnectionReset
    );
}

#[tokio::test]
async fn a_stalled_stream_passes_nothing_until_it_is_released() {
    let (one, mut other) = FaultyStream::pair(BUFFER, 1);
    let control = one.control();
    let (mut reader, mut writer) = tokio::io::split(one);
    control.stall_reads();
    control.stall_writes();
    other.write_all(b"in").await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { reader.read_exact(&mut [0; 2]).await.map(drop) });
    tasks.spawn(async move { writer.write_all(b"out").await });
    for _ in 0..10 {
        tokio::task::yield_now().await;
        assert!(
            tasks.try_join_next().is_none(),
            "a stalled stream passed bytes"
        );
    }
    control.release();
    while let Some(done) = tasks.join_next().await {
        done.unwrap().unwrap();
    }
    other.read_exact(&mut [0; 3]).await.unwrap();
}

#[tokio::test]
async fn a_reset_wakes_a_stalled_reader() {
    let (mut one, _other) = FaultyStream::pair(BUFFER, 1);
    let control = one.control();
    control.stall_reads();
    let mut byte = [0];
    let (read, ()) = tokio::join!(one.read(&mut byte), async { control.reset() });
    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(
        one.write(b"x").await.unwrap_err().kind(),
        io::ErrorKind::ConnectionReset
    );
}
