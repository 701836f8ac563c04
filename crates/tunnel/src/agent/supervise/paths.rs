//! When the paths of a tunnel's remote forwards are probed, and what was found.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use super::log_panic;
use crate::agent::control::Asker;
use crate::agent::meter::{Meter, Reading};
use crate::agent::probe::outside::{self, Look};
use crate::agent::probe::{self, Finding, IpVersion, Probe, Probing};
use crate::transport::{Bind, Origin, StreamHead, StreamKind, Target, Transport};

/// The paths of one connection's forwards, by the forwards' numbers.
pub(super) struct Paths<'a> {
    probing: Option<Probing<'a>>,
    /// The peer's name, where it can be dialled from here.
    peer: Option<&'a str>,
    means: Means,
    entries: Vec<Entry>,
    checks: JoinSet<(usize, Finding)>,
}

/// By what paths are probed on this connection.
enum Means {
    /// That is not known yet; none is.
    Undecided,
    /// By bytes of ours, which come round by themselves.
    InBand,
    /// By the gateway, which visits its own ports: all but those of Unix sockets, which it does not.
    Gateway(Asker),
}

/// The path of one forward.
#[derive(Default)]
struct Entry {
    /// What was granted.
    bind: Option<Bind>,
    /// Whether the gateway probes it.
    is_gateways: bool,
    way: Option<Target>,
    /// The other loopback, of a bind for both whose other half was not found to be ours yet. What sshd has
    /// bound stays bound, so that is looked at no more.
    twin: Option<Target>,
    /// Where others would come to it, if they are meant to.
    outside: Option<Target>,
    /// Over which version of IP, if it is one alone.
    version: Option<IpVersion>,
    stage: Stage,
    /// When it is probed next; `None` before it was granted, and while a probe is out.
    due: Option<Instant>,
    out: Option<Out>,
    /// What was found last.
    found: Option<Finding>,
    /// Somebody else seemed to answer where it was up; it is looked at again before that is told.
    is_suspect: bool,
    /// How often in a row it was not good.
    failures: u32,
    /// How long its next probe is out at most.
    deadline: Duration,
    meter: Arc<Meter>,
    /// What it showed when the path was looked at last.
    reading: Reading,
}

/// Which of its ways is probed next, or now.
#[derive(Debug, Default)]
enum Stage {
    /// The first.
    #[default]
    First,
    /// The other loopback, after this was found at the first.
    Twin(Finding),
    /// From outside, after this was found from inside.
    Outside(Finding),
}

/// A probe that is out.
struct Out {
    probe: Probe,
    since: Instant,
    /// It was given up, and may still come in.
    is_late: bool,
}

/// A probe for which a channel has to be looked at.
pub(super) struct Suspicion {
    pub(super) probe: Probe,
    /// How long it has been out: no less than a round trip.
    pub(super) since: Duration,
}

/// What a round trip is taken for at least on a path that never worked. One through a proxy, or to an sshd
/// with Nagle's algorithm on, takes 40 ms more here and there, and whoever is taken for a visitor then
/// is the probe.
const UNKNOWN_ROUND_TRIP: Duration = Duration::from_millis(200);
/// How soon one that does not work is probed again; twice as long after each time.
const AGAIN: Duration = Duration::from_secs(1);
/// The same where somebody else answers, who should not be bothered much.
const FOREIGN: Duration = Duration::from_secs(10);
/// The longest wait there, unless paths that work are probed more seldom.
const FOREIGN_AT_MOST: Duration = probe::INTERVAL;
/// The longest of these waits, but for a stranger's.
const AGAIN_AT_MOST: Duration = Duration::from_secs(30);

impl<'a> Paths<'a> {
    /// None is known yet. Without a prober none ever is.
    pub(super) fn new(probing: Option<Probing<'a>>, peer: Option<&'a str>) -> Self {
        Self {
            probing,
            peer,
            means: Means::Undecided,
            entries: Vec::new(),
            checks: JoinSet::new(),
        }
    }

    /// Whether paths are probed, so that the grant of a forward does not say that it is up.
    pub(super) const fn are_probed(&self) -> bool {
        self.probing.is_some()
    }

    /// A forward was granted as this bind: its path is probed at once.
    pub(super) fn granted(&mut self, number: usize, bind: &Bind, meter: Arc<Meter>) {
        if self.probing.is_none() {
            return;
        }
        while self.entries.len() <= number {
            self.entries.push(Entry::default());
        }
        if let Some(entry) = self.entries.get_mut(number) {
            *entry = Entry {
                bind: Some(bind.clone()),
                reading: meter.read(),
                meter,
                ..Entry::default()
            };
        }
        self.begin_anew(number);
    }

    /// It is known whether the gateway probes for us. What was granted is probed at once.
    pub(super) fn decide(&mut self, gateway: Option<Asker>) {
        self.means = gateway.map_or(Means::InBand, Means::Gateway);
        for number in 0..self.entries.len() {
            self.begin_anew(number);
        }
    }

    /// Whether the gateway was asked to come by there, and is not back yet.
    pub(super) fn is_probed_by_gateway(&self, host: &str, port: u16) -> bool {
        match &self.means {
            Means::Gateway(asker) => asker.is_out(host, port),
            Means::Undecided | Means::InBand => false,
        }
    }

    /// Probes a path as if it had just been granted.
    fn begin_anew(&mut self, number: usize) {
        let Some(entry) = self.entries.get_mut(number) else {
            return;
        };
        let Some(bind) = entry.bind.clone() else {
            return;
        };
        let is_gateways = match (&self.means, &bind) {
            (Means::Undecided, _) => return,
            (Means::Gateway(_), Bind::Tcp { .. }) => true,
            (Means::Gateway(_), Bind::Unix { .. }) | (Means::InBand, _) => false,
        };
        let public = probe::public_port(&bind).zip(self.peer);
        let outside = public.map(|(port, host)| Target::Tcp {
            host: host.to_owned(),
            port,
        });
        *entry = Entry {
            way: probe::way(&bind),
            twin: probe::twin(&bind).filter(|_| !is_gateways),
            outside: outside.filter(|_| !is_gateways),
            version: outside::version(&bind),
            due: Some(Instant::now()),
            deadline: probe::DEADLINE,
            is_gateways,
            bind: Some(bind),
            reading: entry.reading,
            meter: Arc::clone(&entry.meter),
            ..Entry::default()
        };
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
                        if let Some(finding) = self.taken(number, finding) {
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
        let way = entry.way_now()?;
        probe::may_come_from(origin, way).then(|| Suspicion {
            probe: out.probe.clone(),
            since: match &entry.found {
                _ if out.is_late => Duration::ZERO,
                Some(finding) if finding.is_up() => out.since.elapsed(),
                _ => out.since.elapsed().max(UNKNOWN_ROUND_TRIP),
            },
        })
    }

    /// Sends a probe, unless visitors have shown that there is no need. What is known without one is
    /// returned.
    fn begin(&mut self, number: usize, transport: &Arc<dyn Transport>) -> Option<Finding> {
        let interval = self.interval();
        let entry = self.entries.get_mut(number)?;
        entry.due = None;
        let was_used = entry.was_used();
        let is_first = matches!(entry.stage, Stage::First);
        if was_used && is_first && entry.found.as_ref().is_some_and(Finding::is_up) {
            entry.due = Instant::now().checked_add(interval);
            return None;
        }
        if let (true, Means::Gateway(asker), Some(bind)) =
            (entry.is_gateways, &self.means, entry.bind.clone())
        {
            let asker = asker.clone();
            self.checks
                .spawn(async move { (number, asker.probe(&bind).await) });
            return None;
        }
        let deadline = entry.deadline;
        let probing = self.probing.as_ref();
        let probe = probing.and_then(|probing| probing.prober.probe(deadline).ok());
        let (Some(way), Some(probe)) = (entry.way_now().cloned(), probe) else {
            entry.found = Some(Finding::Prohibited);
            return entry.found.clone();
        };
        entry.out = Some(Out {
            probe: probe.clone(),
            since: Instant::now(),
            is_late: false,
        });
        if matches!(entry.stage, Stage::Outside(_)) {
            let version = entry.version;
            self.checks
                .spawn(async move { (number, check_outside(&way, version, &probe).await) });
        } else {
            let transport = Arc::clone(transport);
            self.checks
                .spawn(async move { (number, check(&*transport, way, &probe).await) });
        }
        None
    }

    /// Takes what a probe found. A bind for both loopbacks is then looked at on the other one; and what
    /// works from the peer itself, or cannot be tried from there, from outside, if it is for others. Gives
    /// what is news.
    fn taken(&mut self, number: usize, finding: Finding) -> Option<Finding> {
        let entry = self.entries.get_mut(number)?;
        match &mut entry.out {
            Some(out) if finding == Finding::Silent => out.is_late = true,
            out => *out = None,
        }
        entry.deadline = next_deadline(entry.deadline, &finding);
        let inside = match std::mem::take(&mut entry.stage) {
            Stage::First
                if entry.twin.is_some()
                    && matches!(finding, Finding::Up(_) | Finding::Nobody(_)) =>
            {
                entry.goes_on(Stage::Twin(finding));
                return None;
            }
            Stage::First => finding,
            Stage::Twin(first) => {
                let both = first.with_twin(finding);
                if matches!(both, Finding::Up(_)) {
                    entry.twin = None;
                }
                both
            }
            Stage::Outside(inside) => {
                let finding = match (inside.is_up(), finding) {
                    (true, Finding::Nobody(_)) => Finding::LoopbackOnly,
                    (true, Finding::Unseen(version)) => Finding::Unseen(version),
                    (false, outside) if outside.is_up() => outside,
                    // A firewall, or a network that does not lead back to itself, says nothing of others'
                    // way.
                    (_, _) => inside,
                };
                return self.told(number, finding);
            }
        };
        if entry.outside.is_some() && (inside.is_up() || inside == Finding::Prohibited) {
            entry.goes_on(Stage::Outside(inside));
            return None;
        }
        self.told(number, inside)
    }

    /// Keeps a finding, and gives it if it is news: how long the round trip takes is news each time.
    fn told(&mut self, number: usize, finding: Finding) -> Option<Finding> {
        let is_news = self.is_news(number, &finding);
        (is_news || finding.is_up()).then_some(finding)
    }

    /// How often a path that works is probed.
    fn interval(&self) -> Duration {
        let probing = self.probing.as_ref();
        probing.map_or(probe::INTERVAL, |probing| probing.interval)
    }

    /// Keeps a finding, and says whether it differs in kind from the last.
    fn is_news(&mut self, number: usize, finding: &Finding) -> bool {
        let interval = self.interval();
        let Some(entry) = self.entries.get_mut(number) else {
            return false;
        };
        let was_up = entry.found.as_ref().is_some_and(Finding::is_up);
        let is_stranger = matches!(finding, Finding::Foreign | Finding::Shared(_));
        entry.is_suspect = is_stranger && was_up && !entry.is_suspect;
        if entry.is_suspect {
            // Where it worked a moment ago, a nonce that came late and went to a target that echoes is likelier
            // than a thief of the port. A second one tells.
            entry.due = Instant::now().checked_add(AGAIN);
            return false;
        }
        let wait = match finding {
            // Who said that it is not allowed would say so again, and a name gets no address in a moment.
            Finding::Up(_) | Finding::UpInPart(..) | Finding::Prohibited | Finding::Unseen(_) => {
                entry.failures = 0;
                interval
            }
            Finding::Foreign
            | Finding::Shared(_)
            | Finding::Nobody(_)
            | Finding::Silent
            | Finding::LoopbackOnly => {
                let (first, most) = if is_stranger {
                    (FOREIGN, interval.max(FOREIGN_AT_MOST))
                } else {
                    (AGAIN, AGAIN_AT_MOST)
                };
                let doubled = first.saturating_mul(2_u32.saturating_pow(entry.failures));
                entry.failures = entry.failures.saturating_add(1);
                doubled.min(most)
            }
        };
        entry.due = Instant::now().checked_add(wait);
        let kind = std::mem::discriminant(finding);
        let before = entry.found.replace(finding.clone());
        debug!(number, %finding, "path was probed");
        before.is_none_or(|before| std::mem::discriminant(&before) != kind)
    }
}

impl Entry {
    /// Whether visitors' bytes went both ways since this was asked last: as good as a probe.
    fn was_used(&mut self) -> bool {
        let now = self.meter.read();
        let before = std::mem::replace(&mut self.reading, now);
        now.to_target > before.to_target && now.to_visitor > before.to_visitor
    }

    /// Where the probe that is out has gone, or the next one goes.
    const fn way_now(&self) -> Option<&Target> {
        match self.stage {
            Stage::First => self.way.as_ref(),
            Stage::Twin(_) => self.twin.as_ref(),
            Stage::Outside(_) => self.outside.as_ref(),
        }
    }

    /// The next stage is due at once.
    fn goes_on(&mut self, stage: Stage) {
        self.stage = stage;
        self.due = Some(Instant::now());
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

/// How long the next probe may be out. A path that says nothing may only be slow, so it is given twice as
/// long; one that works is known, and so is its time, of which another third is for the way to the listener.
fn next_deadline(deadline: Duration, finding: &Finding) -> Duration {
    let wanted = match finding {
        Finding::Silent => deadline.saturating_mul(2),
        Finding::Up(time) | Finding::UpInPart(time, _) => time.saturating_mul(3),
        Finding::Shared(_)
        | Finding::Foreign
        | Finding::Nobody(_)
        | Finding::Prohibited
        | Finding::LoopbackOnly
        | Finding::Unseen(_) => deadline,
    };
    wanted.clamp(probe::DEADLINE, probe::LONGEST_DEADLINE)
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
    let asked = async {
        match opening.await {
            Ok(mut stream) => probe.ask(&mut stream).await,
            Err(error) => Finding::of_refusal(&error),
        }
    };
    let asked = timeout(probe.deadline(), asked).await;
    asked.unwrap_or(Finding::Silent)
}

/// One probe from here to where others would come. A refused connect means that nobody listens there.
async fn check_outside(way: &Target, version: Option<IpVersion>, probe: &Probe) -> Finding {
    let Target::Tcp { host, port } = way else {
        return Finding::Prohibited;
    };
    match outside::look(host, *port, version, probe::DEADLINE, probe).await {
        Look::Answered(finding) => finding,
        Look::Refused => Finding::Nobody(String::from("connection refused")),
        Look::Silent => Finding::Silent,
        Look::Blind(version) => Finding::Unseen(version),
    }
}
