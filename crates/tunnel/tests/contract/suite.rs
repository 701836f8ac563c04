//! The promises of every transport, one function each, over any pair of ends that makes streams.
//!
//! An end may be ours (a `ByteStream`) or a plain socket behind somebody else's program, so that the
//! same suite runs over memory, over our client with a stock sshd and over a stock ssh with our
//! server. Who keeps which:
//!
//! | | [`streams`] | [`opens`] | [`resets`] | [`forwards`](forwards::all) |
//! |---|---|---|---|---|
//! | two ends of ours, over memory and over SSH | yes | yes | yes | yes |
//! | streams that our client opens at a stock sshd | yes | yes | no | yes |
//! | streams that our server opens at a stock ssh | yes | yes | no | yes |
//! | streams that a stock sshd opens, for visitors of its listener | yes | no | no | - |
//! | streams that a stock ssh opens, for visitors of its listener | yes | no | no | - |
//!
//! What a stock peer cannot keep, and why:
//!
//! - [`opens`], where it opens: it has accepted its visitor's connection before it asks us, so a
//!   refusal reaches the visitor as an end without a reason.
//! - [`resets`], either way: OpenSSH sends an end of file before every close, and takes a close
//!   without one for the end of its own half alone. To a visitor both look like an end.

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

use adit_tunnel::transport::{OpenError, RefusalCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::timeout;

pub(crate) mod forwards;

/// An end of a stream, as the suite sees it.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Io for T {}

/// Two ends of one connection, between which streams are opened. Streams are told apart by a token.
pub(crate) trait Pair: Send + Sync {
    /// The end that opens.
    type Near: Io;
    /// The end that accepts.
    type Far: Io;

    /// Opens a stream.
    fn dial(&self, token: u16) -> impl Future<Output = Result<Self::Near, OpenError>> + Send;

    /// Accepts the stream of that token when it comes.
    fn accept(&self, token: u16) -> impl Future<Output = Self::Far> + Send;

    /// Opens a stream that the far end refuses because it cannot reach its target.
    fn dial_nowhere(&self) -> impl Future<Output = Result<Self::Near, OpenError>> + Send;

    /// Closes the connection from an end of ours, and waits until both ends know.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

/// What streams promise, whoever opened them; each promise over a pair of its own.
pub(crate) async fn streams<P: Pair, F: AsyncFn() -> P>(make: F) {
    half_close_delivers_every_byte_both_ways(&make().await).await;
    an_end_that_finishes_first_still_gets_its_answer(&make().await).await;
    a_thousand_streams_live_at_once(&make().await).await;
    a_slow_reader_does_not_stall_the_others(&make().await).await;
    a_dropped_stream_ends_at_the_other_end(&make().await).await;
    closing_the_connection_ends_every_stream(&make().await).await;
}

/// What an end promises whose opens are told how they end.
pub(crate) async fn opens<P: Pair, F: AsyncFn() -> P>(make: F) {
    a_refusal_comes_with_its_reason(&make().await).await;
    a_cancelled_open_leaves_nothing_behind(&make().await).await;
}

/// What only two ends of ours can promise.
pub(crate) async fn resets<P: Pair, F: AsyncFn() -> P>(make: F) {
    a_reset_is_told_from_an_end(&make().await).await;
}

/// All that is above, for two ends of ours.
pub(crate) async fn all_ours<P: Pair, F: AsyncFn() -> P>(make: F) {
    streams(&make).await;
    opens(&make).await;
    resets(&make).await;
}

/// Each end writes its own flow and shuts down at a time of its own; both flows arrive whole.
pub(crate) async fn half_close_delivers_every_byte_both_ways(pair: &impl Pair) {
    let (near, far) = open(pair, 1).await;
    let there = pattern(3, 3_000_000);
    let back = pattern(5, 1_000_000);
    let (got_near, got_far) =
        within(async { tokio::join!(exchange(near, &there), exchange(far, &back)) }).await;
    assert!(got_near == back, "near end got {} bytes", got_near.len());
    assert!(got_far == there, "far end got {} bytes", got_far.len());
}

/// A request that ends with a half-close is answered after it, at leisure.
pub(crate) async fn an_end_that_finishes_first_still_gets_its_answer(pair: &impl Pair) {
    let (mut near, mut far) = open(pair, 1).await;
    let answer = pattern(7, 500_000);
    within(async {
        near.write_all(b"question").await.unwrap();
        near.shutdown().await.unwrap();
        let mut question = Vec::new();
        far.read_to_end(&mut question).await.unwrap();
        assert_eq!(question, b"question");
        let writer = async {
            far.write_all(&answer).await.unwrap();
            far.shutdown().await.unwrap();
            drop(far);
        };
        let mut got = Vec::new();
        let (result, ()) = tokio::join!(near.read_to_end(&mut got), writer);
        result.unwrap();
        assert!(got == answer, "{} bytes came", got.len());
    })
    .await;
}

/// Who cannot be reached is told from who may not be reached, in words.
pub(crate) async fn a_refusal_comes_with_its_reason(pair: &impl Pair) {
    match within(pair.dial_nowhere()).await.map(|_| ()) {
        Err(OpenError::Refused { code, reason }) => {
            assert_eq!(code, RefusalCode::ConnectFailed);
            assert!(!reason.is_empty());
        }
        other => panic!("{other:?} is no refusal"),
    }
    echo(pair, 1).await;
}

/// Whenever an open is dropped, the far end sees the stream end if it sees it at all, and the
/// connection lives.
pub(crate) async fn a_cancelled_open_leaves_nothing_behind(pair: &impl Pair) {
    for polls in 0..8 {
        let token = 100 + polls;
        {
            let mut dial = std::pin::pin!(pair.dial(token));
            let mut left = polls;
            poll_fn(|cx| {
                if left == 0 || dial.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                left -= 1;
                cx.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
        }
        let seen = timeout(Duration::from_millis(300), pair.accept(token)).await;
        if let Ok(mut far) = seen {
            within(until_end(&mut far)).await;
        }
    }
    echo(pair, 1).await;
}

/// All are open before the first is used, and each carries its own bytes.
pub(crate) async fn a_thousand_streams_live_at_once(pair: &impl Pair) {
    const STREAMS: u16 = 1_000;
    let mut ends = Vec::new();
    within(async {
        // As many at once as a peer lets be half open.
        for batch in (0..STREAMS).collect::<Vec<_>>().chunks(100) {
            let opened = batch.iter().map(|token| open(pair, *token));
            ends.extend(join_all(opened).await);
        }
    })
    .await;
    let mut tasks = JoinSet::new();
    for (number, (near, far)) in ends.into_iter().enumerate() {
        let number = u8::try_from(number % 251).unwrap();
        tasks.spawn(async move {
            let (there, back) = (pattern(number, 5_000), pattern(number ^ 1, 7_000));
            let (got_near, got_far) = tokio::join!(exchange(near, &there), exchange(far, &back));
            assert!(got_near == back && got_far == there);
        });
    }
    within(async {
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
    })
    .await;
}

/// One stream whose reader has stopped is filled to the brim; another goes on as if alone. When the
/// reader goes on, nothing is missing.
pub(crate) async fn a_slow_reader_does_not_stall_the_others(pair: &impl Pair) {
    let (mut stalled, mut far_stalled) = open(pair, 1).await;
    let chunk = pattern(9, 65_536);
    let mut sent: usize = 0;
    // Full is a write that does not end while the rest of the world has time.
    while let Ok(count) = timeout(Duration::from_millis(500), stalled.write(&chunk)).await {
        let count = count.unwrap();
        // Written in whole patterns, so that the reader can check.
        let rest = &chunk[count..];
        sent += count;
        if !rest.is_empty() {
            let all = timeout(Duration::from_millis(500), stalled.write_all(rest)).await;
            if all.is_err() {
                break;
            }
            sent += rest.len();
        }
        assert!(
            sent < 1 << 30,
            "a stream without a reader takes no end of bytes"
        );
    }
    for token in 2..6 {
        echo(pair, token).await;
    }
    let reader = async {
        let mut got: usize = 0;
        let mut buffer = vec![0; 100_000];
        while got < sent {
            let count = far_stalled.read(&mut buffer).await.unwrap();
            assert!(count > 0, "stream ended after {got} of {sent} bytes");
            for (offset, byte) in buffer.iter().take(count).enumerate() {
                assert!(*byte == chunk[(got + offset) % chunk.len()]);
            }
            got += count;
        }
    };
    within(reader).await;
}

/// A stream that is dropped in the middle ends at the far end, which then cannot write either.
pub(crate) async fn a_dropped_stream_ends_at_the_other_end(pair: &impl Pair) {
    let (mut near, mut far) = open(pair, 1).await;
    within(async {
        near.write_all(b"begun").await.unwrap();
        let mut begun = [0; 5];
        far.read_exact(&mut begun).await.unwrap();
        drop(near);
        until_end(&mut far).await;
        let chunk = vec![0; 65_536];
        while far.write_all(&chunk).await.is_ok() {}
    })
    .await;
    echo(pair, 2).await;
}

/// Every stream ends at both ends, and no new one is opened.
pub(crate) async fn closing_the_connection_ends_every_stream(pair: &impl Pair) {
    let mut ends = Vec::new();
    for token in 0..5 {
        ends.push(open(pair, token).await);
    }
    pair.close().await;
    for (mut near, mut far) in ends {
        within(async {
            until_end(&mut near).await;
            until_end(&mut far).await;
        })
        .await;
    }
    match within(pair.dial(9)).await.map(|_| ()) {
        Err(OpenError::Closed) => {}
        other => panic!("{other:?} after the end of the connection"),
    }
}

/// Dropped without shutdown is an error at the far end, after what came before; dropped after it is
/// an end.
pub(crate) async fn a_reset_is_told_from_an_end(pair: &impl Pair) {
    let (mut near, mut far) = open(pair, 1).await;
    let (mut near_ended, mut far_ended) = open(pair, 2).await;
    within(async {
        near.write_all(b"cut").await.unwrap();
        near_ended.write_all(b"whole").await.unwrap();
        let mut cut = [0; 3];
        far.read_exact(&mut cut).await.unwrap();
        drop(near);
        let error = far.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        near_ended.shutdown().await.unwrap();
        drop(near_ended);
        let mut whole = Vec::new();
        far_ended.read_to_end(&mut whole).await.unwrap();
        assert_eq!(whole, b"whole");
    })
    .await;
}

/// Opens and accepts.
async fn open<P: Pair>(pair: &P, token: u16) -> (P::Near, P::Far) {
    let (near, far) = within(async { tokio::join!(pair.dial(token), pair.accept(token)) }).await;
    (near.unwrap(), far)
}

/// Proves that the connection is well: a stream that carries a little both ways.
async fn echo(pair: &impl Pair, token: u16) {
    let (near, far) = open(pair, token).await;
    let bytes = pattern(11, 100_000);
    let (got_near, got_far) =
        within(async { tokio::join!(exchange(near, &bytes), exchange(far, &bytes)) }).await;
    assert!(got_near == bytes && got_far == bytes);
}

/// Writes all and shuts down while reading to the end.
async fn exchange(end: impl Io, bytes: &[u8]) -> Vec<u8> {
    let (mut reader, mut writer) = tokio::io::split(end);
    let mut got = Vec::new();
    let write = async {
        writer.write_all(bytes).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let (read, ()) = tokio::join!(reader.read_to_end(&mut got), write);
    read.unwrap();
    got
}

/// Reads on until an end of either kind.
async fn until_end(end: &mut (impl AsyncRead + Unpin)) {
    let mut buffer = vec![0; 65_536];
    while matches!(end.read(&mut buffer).await, Ok(1..)) {}
}

/// Bytes that show a loss, a swap or a repetition.
fn pattern(seed: u8, length: usize) -> Vec<u8> {
    let mut state = u32::from(seed) + 1;
    let mut bytes = Vec::with_capacity(length);
    for _ in 0..length {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        bytes.push(state.to_be_bytes()[0]);
    }
    bytes
}

/// No promise takes this long but a broken one.
async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), future)
        .await
        .expect("a promise was not kept in a minute")
}

/// All results in order.
async fn join_all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    poll_fn(|cx| {
        let mut is_ready = true;
        for (future, result) in &mut waiting {
            if result.is_none() {
                match future.as_mut().poll(cx) {
                    Poll::Ready(value) => *result = Some(value),
                    Poll::Pending => is_ready = false,
                }
            }
        }
        if is_ready {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    waiting
        .into_iter()
        .filter_map(|(_, result)| result)
        .collect()
}
