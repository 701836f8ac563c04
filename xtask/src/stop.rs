//! The wish to stop: Ctrl-C, or a polite kill, as something that can be waited for.

use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::net::RecvFlags;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::clock;

/// Hears the signals that end a program. The signal handler writes one byte into a socket pair;
/// nothing else happens in it.
#[derive(Debug)]
pub(crate) struct Stop {
    signals: UnixStream,
    asked: AtomicBool,
}

impl Stop {
    /// From now on the signals no longer kill this process, they are heard here.
    pub(crate) fn on_signals() -> anyhow::Result<Self> {
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
            asked: AtomicBool::new(false),
        }
    }

    /// Waits that long or until a signal came; says whether one came, now or earlier.
    pub(crate) fn wait(&self, at_most: Duration) -> bool {
        let at_most = at_most.max(Duration::from_millis(1));
        if !self.remembered() && self.signals.set_read_timeout(Some(at_most)).is_ok() {
            self.remember(matches!((&self.signals).read(&mut [0]), Ok(1)));
        }
        self.remembered()
    }

    /// Whether a signal came, without waiting.
    pub(crate) fn is_asked(&self) -> bool {
        let came = rustix::net::recv(&self.signals, &mut [0], RecvFlags::DONTWAIT);
        self.remember(matches!(came, Ok((1, _))));
        self.remembered()
    }

    fn remember(&self, came: bool) {
        if came {
            self.asked.store(true, Ordering::SeqCst);
        }
    }

    fn remembered(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// Asks every few milliseconds until there is an answer. No answer in time and a signal are
    /// errors.
    pub(crate) fn until<T>(
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
pub(crate) mod tests {
    use super::*;
    use std::io::Write as _;

    /// A stop that hears no signal, and the end that can play one.
    pub(crate) fn silent() -> (Stop, UnixStream) {
        let (signals, writer) = UnixStream::pair().unwrap();
        (Stop::hearing(signals), writer)
    }

    #[test]
    fn a_signal_is_remembered_after_it_was_heard() {
        let (stop, mut signal) = silent();
        assert!(!stop.wait(Duration::from_millis(1)));
        assert!(!stop.is_asked());
        signal.write_all(&[0]).unwrap();
        assert!(stop.wait(Duration::from_secs(5)));
        assert!(stop.is_asked());
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
