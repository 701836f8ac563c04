//! What a cell moves: bytes both ways, and a half-close that must lose none of them.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Sends `bytes` each way between the ends of one stream and compares what arrives.
///
/// The near end writes everything and ends its half at once. The far end writes one half of its
/// own, waits for that end, and only then writes the rest: a peer that takes an end of one half for
/// the end of both loses it.
pub(crate) async fn exchange(
    near: impl AsyncRead + AsyncWrite + Unpin,
    far: impl AsyncRead + AsyncWrite + Unpin,
    bytes: usize,
) -> Result<(), String> {
    let (there, back) = (pattern(3, bytes), pattern(5, bytes));
    let (got_back, got_there) = tokio::try_join!(ends_first(near, &there), ends_last(far, &back))
        .map_err(|error| format!("stream broke: {error}"))?;
    same("from us to the peer", &got_there, &there)?;
    same("from the peer to us", &got_back, &back)
}

async fn ends_first(
    end: impl AsyncRead + AsyncWrite + Unpin,
    bytes: &[u8],
) -> std::io::Result<Vec<u8>> {
    let (mut reader, mut writer) = tokio::io::split(end);
    let mut got = Vec::new();
    let write = async {
        writer.write_all(bytes).await?;
        writer.shutdown().await
    };
    tokio::try_join!(reader.read_to_end(&mut got), write)?;
    Ok(got)
}

async fn ends_last(
    end: impl AsyncRead + AsyncWrite + Unpin,
    bytes: &[u8],
) -> std::io::Result<Vec<u8>> {
    let (mut reader, mut writer) = tokio::io::split(end);
    let mut got = Vec::new();
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    tokio::try_join!(reader.read_to_end(&mut got), writer.write_all(first))?;
    writer.write_all(rest).await?;
    writer.shutdown().await?;
    Ok(got)
}

fn same(way: &str, got: &[u8], sent: &[u8]) -> Result<(), String> {
    if got == sent {
        return Ok(());
    }
    let at = got.iter().zip(sent).take_while(|(a, b)| a == b).count();
    let (got, sent) = (got.len(), sent.len());
    Err(format!(
        "{got} of {sent} bytes {way}, the first {at} of them right"
    ))
}

/// Bytes that show a loss, a swap or a repetition.
fn pattern(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed + 1;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// No cell takes this long but a broken one, on a machine that does much else.
pub(crate) const CELL_DEADLINE: Duration = Duration::from_secs(40);
