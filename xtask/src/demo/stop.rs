//! The wish to stop: Ctrl-C, or a polite kill, as something that can be waited for.

use std::cell::Cell;
use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::clock;

/// Hears the signals that end a program. The signal handler writes one byte into a socket pair;
/// nothing else happens in it.
#[derive(Debug)]
pub(super) struct Stop {
    signals: UnixStream,
    asked: Cell<bool>,
}

impl Stop {
    /// From now on the signals no longer kill this process, they are heard here.
    pub(super) fn on_signals() -> anyhow::Result<Self> {
        let (signals, writer) = UnixStream::pair().context("cannot make a socket pair")?;
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let writer = writer.try_clone().context("cannot copy a socket")?;
            signal_hook::low_level::pipe::register(signal, writer)
                .context("cannot handle signals")?;
        }
        Ok(Self::hearing(signals))
    }

    fn hearing(signals: UnixStream) -> Self {
        Self {
            signals,
            asked: Cell::new(false),
        }
    }

    /// Waits that long or until a signal came; says whether one came, now or earlier.
    pub(super) fn wait(&self, at_most: Duration) -> bool {
        let at_most = at_most.max(Duration::from_millis(1));
        if !self.asked.get() && self.signals.set_read_timeout(Some(at_most)).is_ok() {
            self.asked
                .set(matches!((&self.signals).read(&mut [0]), Ok(1)));
        }
        self.asked.get()
    }

    /// Asks every few milliseconds until there is an answer. No answer in time and a signal are
    /// errors.
    pub(super) fn until<T>(
        &self,
        what: &str,
        deadline: Duration,
        mut answer: impl FnMut() -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let started = clock::now();
        loop {
            if let Some(answer) = answer()? {
                return Ok(answer);
            }
            if started.elapsed() > deadline {
                bail!("waited {} s for {what} in vain", deadline.as_secs());
            }
            if self.wait(POLL) {
                bail!("stopped by a signal while waiting for {what}");
            }
        }
    }
}

/// Often enough that the printed times are right to a few hundredths of a second.
const POLL: Duration = Duration::from_millis(10);

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::io::Write as _;

    /// A stop that hears no signal, and the end that can play one.
    pub(in crate::demo) fn silent() -> (Stop, UnixStream) {
        let (signals, writer) = UnixStream::pair().unwrap();
        (Stop::hearing(signals), writer)
    }

    #[test]
    fn a_signal_is_remembered_after_it_was_heard() {
        let (stop, mut signal) = silent();
        assert!(!stop.wait(Duration::from_millis(1)));
        signal.write_all(&[0]).unwrap();
        assert!(stop.wait(Duration::from_secs(5)));
        assert!(stop.wait(Duration::from_millis(1)));
    }

    #[test]
    fn a_wait_ends_with_the_answer_the_deadline_or_the_signal() {
        let (stop, mut signal) = silent();
        let mut asked = 0;
        let third = stop.until("a third time", Duration::from_secs(5), || {
            asked += 1;
            Ok((asked == 3).then_some(asked))
        });
        assert_eq!(third.unwrap(), 3);
        let error = stop
            .until("nothing", Duration::ZERO, || Ok(None::<()>))
            .unwrap_err();
        assert_eq!(error.to_string(), "waited 0 s for nothing in vain");
        signal.write_all(&[0]).unwrap();
        let error = stop
            .until("nothing", Duration::from_secs(5), || Ok(None::<()>))
            .unwrap_err();
        assert!(error.to_string().contains("signal"), "{error}");
    }
}
