//! Waits for a level with a deadline: looks again until it is there, and says what it saw last if it never is.
//!
//! A look answers `Ok(value)` when the level is reached and `Err(state)` while it is not. What is waited for
//! is a level, never an event: a level that was reached before the first look is found by it. Deadlines here are
//! failures, so they are generous; a test that passes never waits for one.

use std::fmt::Debug;
use std::future::Future;
use std::panic::Location;
use std::time::{Duration, Instant};

/// How long a test waits for something that takes milliseconds on an idle machine.
///
/// Twenty seconds: a build machine with two cores under six parallel test runs was seen to delay a process start by
/// several, and nextest ends a test at sixty.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Looks until the level is reached, for at most [`DEADLINE`].
///
/// # Panics
///
/// When the deadline passes first, with the state that the last look saw.
#[track_caller]
pub fn until<T, S: Debug>(level: &str, look: impl FnMut() -> Result<T, S>) -> T {
    until_within(DEADLINE, level, look)
}

/// Looks until the level is reached, for at most `within`.
///
/// # Panics
///
/// When the deadline passes first, with the state that the last look saw.
#[track_caller]
pub fn until_within<T, S: Debug>(
    within: Duration,
    level: &str,
    mut look: impl FnMut() -> Result<T, S>,
) -> T {
    let start = Instant::now();
    loop {
        match look() {
            Ok(value) => return value,
            Err(state) => {
                assert!(
                    start.elapsed() < within,
                    "{}",
                    missed(level, within, &state)
                );
            }
        }
        std::thread::sleep(PAUSE);
    }
}

/// Looks until the level is reached, for at most [`DEADLINE`] of tokio's clock.
///
/// # Panics
///
/// When the deadline passes first, with the state that the last look saw. Under a paused clock a wait for something
/// outside the runtime (a process, a thread) panics at once, since such a clock runs as fast as it is polled.
///
/// # Cancel safety
///
/// As safe as the future that `look` returns: it is dropped where it stands.
#[track_caller]
pub fn until_async<T, S, F>(level: &str, look: impl FnMut() -> F) -> impl Future<Output = T>
where
    S: Debug,
    F: Future<Output = Result<T, S>>,
{
    until_async_within(DEADLINE, level, look)
}

/// Looks until the level is reached, for at most `within` of tokio's clock; otherwise as [`until_async`].
///
/// A look that never answers is ended by the deadline, too.
///
/// # Panics
///
/// When the deadline passes first, with the state that the last look saw.
///
/// # Cancel safety
///
/// As safe as the future that `look` returns: it is dropped where it stands.
#[track_caller]
pub fn until_async_within<T, S, F>(
    within: Duration,
    level: &str,
    mut look: impl FnMut() -> F,
) -> impl Future<Output = T>
where
    S: Debug,
    F: Future<Output = Result<T, S>>,
{
    let caller = Location::caller();
    async move {
        let deadline = tokio::time::Instant::now() + within;
        let mut last = None;
        loop {
            match tokio::time::timeout_at(deadline, look()).await {
                Ok(Ok(value)) => return value,
                // One that answers at once is not seen by the timeout.
                Ok(Err(state)) if tokio::time::Instant::now() < deadline => last = Some(state),
                Ok(Err(state)) => panic!("{caller}: {}", missed(level, within, &state)),
                Err(tokio::time::error::Elapsed { .. }) => {
                    panic!("{caller}: {}", missed(level, within, &last))
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn missed(level: &str, within: Duration, last: &impl Debug) -> String {
    format!("waited {within:?} for this: {level}; seen last: {last:?}")
}

/// Between two looks: short beside any process start, long enough to leave the processor to what is waited for.
const PAUSE: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_already_reached_is_found_by_the_first_look() {
        let value: u8 = until_within(Duration::ZERO, "seven", || Ok::<_, ()>(7));
        assert_eq!(value, 7);
    }

    #[test]
    #[should_panic(expected = "for this: the tide is high; seen last: \"low\"")]
    fn a_missed_deadline_says_what_was_seen_last() {
        until_within(Duration::from_millis(20), "the tide is high", || {
            Err::<(), _>("low")
        });
    }

    #[tokio::test(start_paused = true)]
    async fn a_level_reached_later_is_seen() {
        let mut looks = 0;
        let value = until_async("the third look", || {
            looks += 1;
            let seen = looks;
            async move { if seen == 3 { Ok(seen) } else { Err(seen) } }
        });
        assert_eq!(value.await, 3);
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "for this: the moon; seen last: \"no\"")]
    async fn a_look_that_always_says_no_is_ended_by_the_deadline() {
        until_async("the moon", || async { Err::<(), _>("no") }).await;
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "for this: an answer; seen last: None")]
    async fn a_look_that_never_answers_is_ended_by_the_deadline() {
        until_async("an answer", std::future::pending::<Result<(), ()>>).await;
    }
}
