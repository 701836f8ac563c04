//! Watches the network, and tells of what has changed once it is quiet.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::kernel::{self, Hint, Kernel};
use super::resume::Resume;
use super::{Network, State};

/// Watches for changes while [`run`](Self::run) is polled.
#[derive(Debug)]
pub struct Watcher {
    pub(super) kernel: Option<Kernel>,
    pub(super) resume: Option<Resume>,
    pub(super) states: watch::Sender<Arc<State>>,
}

/// A change is told once the kernel has been quiet for so long: a new lease is an address, a prefix
/// and routes, within some milliseconds.
const QUIET: Duration = Duration::from_millis(100);
/// Where it is never quiet, changes are told this often.
pub(super) const LONGEST: Duration = Duration::from_secs(1);

impl Watcher {
    /// Looks at the network, and begins to watch it. Has to be called within a runtime, and the watcher
    /// [run](Self::run).
    pub fn start() -> (Self, Network) {
        let kernel = told("changes of the network", Kernel::subscribe());
        // After the subscription, so that nothing is missed between.
        let picture = kernel
            .as_ref()
            .and_then(|_| told("the network's addresses", kernel::look()));
        let resume = told("that the machine was asleep", Resume::new());
        let (states, network) = Network::of(State {
            picture,
            ..State::default()
        });
        let watcher = Self {
            kernel,
            resume,
            states,
        };
        (watcher, network)
    }

    /// Watches until `stop`, or until there is nothing to watch.
    ///
    /// # Cancel safety
    ///
    /// Dropping it ends the watch; who waits for changes waits for ever.
    pub async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = self.watch() => {}
        }
    }

    async fn watch(&mut self) {
        while let Some(sign) = self.sign().await {
            let mut signs = Signs::default();
            signs.add(sign);
            let begun = Instant::now();
            let longest = begun.checked_add(LONGEST).unwrap_or(begun);
            loop {
                let now = Instant::now();
                let quiet = now.checked_add(QUIET).unwrap_or(now);
                match timeout_at(quiet.min(longest), self.sign()).await {
                    Ok(Some(sign)) => signs.add(sign),
                    Ok(None) | Err(_) => break,
                }
                // A socket that always has more does not let the time-out see its turn.
                if Instant::now() >= longest {
                    break;
                }
            }
            self.tell(signs);
        }
    }

    /// The next sign of a change; none where there will be no more.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    async fn sign(&mut self) -> Option<Sign> {
        loop {
            if self.kernel.is_none() && self.resume.is_none() {
                return None;
            }
            let (kernel, resume) = (&mut self.kernel, &mut self.resume);
            tokio::select! {
                slept = watched(resume, Resume::resumed) => match slept {
                    Ok(slept) => {
                        debug!(?slept, "machine was asleep");
                        return Some(Sign::Resumed);
                    }
                    Err(error) => {
                        debug!(%error, "the system does not tell any more that it was asleep");
                        self.resume = None;
                    }
                },
                hint = watched(kernel, Kernel::hint) => match hint {
                    Ok(hint) => return Some(Sign::Hint(hint)),
                    Err(error) => {
                        debug!(%error, "the system does not tell any more of changes of its network");
                        self.kernel = None;
                    }
                },
            }
        }
    }

    /// Tells what the signs come to.
    fn tell(&mut self, signs: Signs) {
        let before = Arc::clone(&self.states.borrow());
        let mut picture = None;
        if signs.looks {
            match kernel::look() {
                Ok(now) => picture = Some(now),
                Err(error) => debug!(%error, "network's addresses cannot be read"),
            }
        }
        let picture = picture.or_else(|| before.picture.clone());
        if picture != before.picture
            && let Some(kernel) = &mut self.kernel
        {
            kernel.forget_routes();
        }
        let now = State {
            picture,
            routes: before.routes.saturating_add(signs.routes.into()),
            sleeps: before.sleeps.saturating_add(signs.resumed.into()),
        };
        if now != *before {
            debug!("network has changed");
            self.states.send_replace(Arc::new(now));
        }
    }
}

/// Waits for something of a watch that there may be none of.
async fn watched<'a, W, T, F>(
    watch: &'a mut Option<W>,
    next: impl FnOnce(&'a mut W) -> F,
) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    match watch {
        Some(watch) => next(watch).await,
        None => std::future::pending().await,
    }
}

/// What can be had; what cannot is said once.
fn told<T>(what: &'static str, result: io::Result<T>) -> Option<T> {
    result
        .inspect_err(|error| debug!(%error, "the system does not tell {what}"))
        .ok()
}

/// Something that may be a change.
#[derive(Debug, Clone, Copy)]
enum Sign {
    Resumed,
    Hint(Hint),
}

/// What the signs of one moment were.
#[derive(Debug, Clone, Copy, Default)]
struct Signs {
    looks: bool,
    routes: bool,
    resumed: bool,
}

impl Signs {
    fn add(&mut self, sign: Sign) {
        match sign {
            // What was told during the sleep may have been too much to keep.
            Sign::Resumed => (self.resumed, self.looks) = (true, true),
            Sign::Hint(Hint::Look) => self.looks = true,
            Sign::Hint(Hint::Routes) => self.routes = true,
        }
    }
}
