//! When the paths of a tunnel's remote forwards are probed, and what was found.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use super::log_panic;
use crate::agent::probe::{self, Finding, Probe, Prober};
use crate::transport::{Bind, Origin, StreamHead, StreamKind, Target, Transport};

/// The paths of one connection's forwards, by the forwards' numbers.
pub(super) struct Paths<'a> {
    prober: Option<&'a Prober>,
    entries: Vec<Entry>,
    checks: JoinSet<(usize, Finding)>,
}

/// The path of one forward.
#[derive(Default)]
struct Entry {
    way: Option<Target>,
    /// When it is probed next; `None` before it was granted, and while a probe is out.
    due: Option<Instant>,
    out: Option<Out>,
    /// What was found last.
    found: Option<Finding>,
    /// How often in a row it was not good.
    failures: u32,
    traffic: Traffic,
}

/// A probe that is out.
struct Out {
    probe: Probe,
    since: Instant,
}

/// Whether a visitor's bytes went both ways since the path was looked at: as good as a probe.
#[derive(Debug, Clone, Default)]
pub(super) struct Traffic(Arc<AtomicBool>);

/// A probe for which a channel has to be looked at.
pub(super) struct Suspicion {
    pub(super) probe: Probe,
    /// How long it has been out: no less than a round trip.
    pub(super) since: Duration,
}

/// How often a path that works is probed (`probe:`): a probe costs some 700 bytes.
const INTERVAL: Duration = Duration::from_secs(300);
/// How soon one that does not work is probed again; twice as long after each time.
const AGAIN: Duration = Duration::from_secs(1);
/// The longest of these waits.
const AGAIN_AT_MOST: Duration = Duration::from_secs(30);

impl<'a> Paths<'a> {
    /// None is known yet. Without a prober none ever is.
    pub(super) fn new(prober: Option<&'a Prober>) -> Self {
        Self {
            prober,
            entries: Vec::new(),
            checks: JoinSet::new(),
        }
    }

    /// Whether paths are probed, so that the grant of a forward does not say that it is up.
    pub(super) const fn are_probed(&self) -> bool {
        self.prober.is_some()
    }

    /// A forward was granted as this bind: its path is probed at once.
    pub(super) fn granted(&mut self, number: usize, bind: &Bind) {
        if self.prober.is_none() {
            return;
        }
        while self.entries.len() <= number {
            self.entries.push(Entry::default());
        }
        if let Some(entry) = self.entries.get_mut(number) {
            *entry = Entry {
                way: probe::way(bind),
                due: Some(Instant::now()),
                ..Entry::default()
            };
        }
    }

    /// Waits for the next finding that is news, probing what is due.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(super) async fn step(&mut self, transport: &Arc<dyn Transport>) -> (usize, Finding) {
        loop {
            let due = self.entries.iter().enumerate();
            let next = due
                .filter_map(|(number, entry)| Some((entry.due?, number)))
                .min();
            let wait = async {
                match next {
                    Some((due, number)) => {
                        sleep_until(due).await;
                        number
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(checked) = self.checks.join_next() => match checked {
                    Ok((number, finding)) => {
                        if self.is_news(number, &finding) {
                            return (number, finding);
                        }
                    }
                    Err(error) => log_panic::<()>("probe", Err(error)),
                },
                number = wait => {
                    if let Some(finding) = self.begin(number, transport) {
                        return (number, finding);
                    }
                }
            }
        }
    }

    /// The probe that a visitor from there could be.
    pub(super) fn suspicion(&self, number: usize, origin: &Origin) -> Option<Suspicion> {
        let entry = self.entries.get(number)?;
        let out = entry.out.as_ref()?;
        let way = entry.way.as_ref()?;
        probe::may_come_from(origin, way).then(|| Suspicion {
            probe: out.probe.clone(),
            since: out.since.elapsed(),
        })
    }

    /// Where to note that a visitor of a forward was served.
    pub(super) fn traffic(&self, number: usize) -> Traffic {
        let entry = self.entries.get(number);
        entry.map_or_else(Traffic::default, |entry| entry.traffic.clone())
    }

    /// Sends a probe, unless visitors have shown that there is no need. What is known without one is
    /// returned.
    fn begin(&mut self, number: usize, transport: &Arc<dyn Transport>) -> Option<Finding> {
        let entry = self.entries.get_mut(number)?;
        entry.due = None;
        let was_used = entry.traffic.0.swap(false, Ordering::Relaxed);
        if was_used && matches!(entry.found, Some(Finding::Up(_))) {
            entry.due = Instant::now().checked_add(INTERVAL);
            return None;
        }
        let probe = self.prober.and_then(|prober| prober.probe().ok());
        let (Some(way), Some(probe)) = (entry.way.clone(), probe) else {
            entry.found = Some(Finding::Prohibited);
            return entry.found.clone();
        };
        entry.out = Some(Out {
            probe: probe.clone(),
            since: Instant::now(),
        });
        let transport = Arc::clone(transport);
        self.checks
            .spawn(async move { (number, check(&*transport, way, &probe).await) });
        None
    }

    /// Takes a finding, and says whether it differs in kind from the last.
    fn is_news(&mut self, number: usize, finding: &Finding) -> bool {
        let Some(entry) = self.entries.get_mut(number) else {
            return false;
        };
        entry.out = None;
        let wait = match finding {
            // Who said that it is not allowed would say so again.
            Finding::Up(_) | Finding::Prohibited => {
                entry.failures = 0;
                INTERVAL
            }
            Finding::Foreign | Finding::Nobody(_) | Finding::Silent => {
                let doubled = AGAIN.saturating_mul(2_u32.saturating_pow(entry.failures));
                entry.failures = entry.failures.saturating_add(1);
                doubled.min(AGAIN_AT_MOST)
            }
        };
        entry.due = Instant::now().checked_add(wait);
        let kind = std::mem::discriminant(finding);
        let before = entry.found.replace(finding.clone());
        debug!(number, %finding, "path was probed");
        before.is_none_or(|before| std::mem::discriminant(&before) != kind)
    }
}

impl Traffic {
    /// Bytes went both ways.
    pub(super) fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl fmt::Debug for Paths<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Paths")
            .field("forwards", &self.entries.len())
            .field("out", &self.checks.len())
            .finish_non_exhaustive()
    }
}

/// One probe, there and back.
async fn check(transport: &dyn Transport, way: Target, probe: &Probe) -> Finding {
    let opening = transport.open(StreamHead {
        kind: StreamKind::Direct(way),
        // As ssh -W has it.
        origin: Origin {
            host: String::from("127.0.0.1"),
            port: 65_535,
        },
    });
    match timeout(probe::DEADLINE, opening).await {
        Ok(Ok(mut stream)) => probe.ask(&mut stream).await,
        Ok(Err(error)) => Finding::of_refusal(&error),
        Err(_) => Finding::Silent,
    }
}
