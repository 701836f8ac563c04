//! A jump: a stream that a client opened, carried to whoever holds a lease here.

use std::io;

use tokio::io::AsyncWriteExt as _;

use crate::copy::copy;
use crate::gateway::limit::{Metered, Permit, Side};
use crate::gateway::registry::Fenced;
use crate::transport::ByteStream;

/// Carries both ways until both halves have ended, or until the lease is lost: then both ends are reset at
/// once, though whoever opened it may not read and the meter may hold it up for long, and what is on its way
/// is thrown away (security rules G05, G11). Gives why it was cut off, if it was.
///
/// # Cancel safety
/// Dropping the future resets both ends.
pub(super) async fn carry(stream: ByteStream, fenced: Fenced, permit: Permit) -> Option<io::Error> {
    let cut = fenced.cut();
    let mut lease = Metered::new(fenced, permit, Side::Visitor);
    let copied = tokio::select! {
        biased;
        error = cut => return Some(error),
        copied = copy(stream, &mut lease) => copied,
    };
    if copied.end.is_ok() {
        // Dropped without it, the lease's stream would be reset.
        let _: Option<()> = lease.shutdown().await.ok();
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use adit_model::grant::Limits;
    use adit_model::lease::Holding;
    use tokio::io::AsyncReadExt as _;
    use tokio::task::{JoinSet, yield_now};
    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::gateway::limit::tests::usage_of;
    use crate::gateway::registry::Registry;
    use crate::gateway::registry::tests::{HOLDING, open_between, visited};

    #[tokio::test(start_paused = true)]
    async fn g11_a_jump_is_cut_though_its_opener_stalls_and_its_meter_is_deep_in_debt() {
        for limits in [
            Limits::default(),
            // 100,000 bytes at one a second: a pause of hours.
            Limits {
                up: Some(1),
                down: Some(1),
                ..Limits::default()
            },
        ] {
            let registry = Registry::default();
            let mut driving = JoinSet::new();
            let (fenced, _owner) = visited(&registry, &mut driving).await;
            let (near, mut opener) = open_between(&mut driving).await;
            let usage = usage_of(limits);
            let permit = usage.stream().unwrap();
            let mut jumps = JoinSet::new();
            jumps.spawn(carry(near, fenced, permit));
            assert_eq!(opener.read_u8().await.unwrap(), 7);
            for _ in 0..100 {
                yield_now().await;
            }
            assert!(jumps.try_join_next().is_none());
            let begun = Instant::now();
            registry.end(&Holding::clone(&HOLDING));
            let ended = timeout(Duration::from_secs(1), jumps.join_next()).await;
            let error = ended.unwrap().unwrap().unwrap().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            let mut rest = Vec::new();
            opener.read_to_end(&mut rest).await.unwrap_err();
            assert!(begun.elapsed() < Duration::from_secs(1));
            assert_eq!(usage.streams(), 0);
            driving.shutdown().await;
        }
    }
}
