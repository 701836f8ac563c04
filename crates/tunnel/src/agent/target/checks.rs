//! The checks of a tunnel's targets: when each is due, and what was found that is news.

use std::mem::discriminant;
use std::time::Duration;

use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::{DEADLINE, Health, Kind, Schedule, check};
use crate::agent::supervise::log_panic;
use crate::transport::Target;

/// The targets that are checked, by their forwards' numbers. At most one check of each is out at a time.
///
/// Dropping it ends them.
#[derive(Debug, Default)]
pub struct Checks {
    entries: Vec<Entry>,
    out: JoinSet<Health>,
}

/// One target.
#[derive(Debug)]
struct Entry {
    number: usize,
    kind: Kind,
    target: Target,
    schedule: Schedule,
    state: State,
    /// What was found last.
    found: Option<Health>,
}

/// Whether a check is to come.
#[derive(Debug)]
enum State {
    Due(Instant),
    Out(AbortHandle),
}

impl Checks {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks the target of a forward from now on, each `interval` ([`Kind::interval`] if nobody says
    /// otherwise). One that had this number before is checked no more.
    pub fn add(&mut self, number: usize, kind: Kind, target: Target, interval: Duration) {
        self.remove(number);
        self.entries.push(Entry {
            number,
            kind,
            target,
            schedule: Schedule::new(interval),
            state: State::Due(Instant::now()),
            found: None,
        });
    }

    /// Checks it no more. A check that is out is given up.
    pub fn remove(&mut self, number: usize) {
        for gone in self.entries.extract_if(.., |entry| entry.number == number) {
            if let State::Out(check) = gone.state {
                check.abort();
            }
        }
    }

    /// What was found last at the target of a forward.
    pub fn found(&self, number: usize) -> Option<&Health> {
        self.entry(number)?.found.as_ref()
    }

    /// A visitor's bytes went both ways: as good as a check. A target that was well is let alone for
    /// another interval, and one that was not is looked at now.
    pub fn served(&mut self, number: usize) {
        let now = Instant::now();
        let entry = self.entries.iter_mut().find(|entry| entry.number == number);
        if let Some(entry) = entry
            && let State::Due(due) = &mut entry.state
        {
            *due = match &entry.found {
                Some(health) if health.is_well() => after(entry.schedule.next(health)),
                Some(_) | None => now,
            };
        }
    }

    /// Waits for the next finding that is news: the first at a target, or one of another kind than the last.
    /// Starts what is due. Never ends where nothing is checked.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: checks that are out go on, and are heard by the next call.
    pub async fn step(&mut self) -> (usize, Health) {
        loop {
            let next = self.next();
            let wait = async {
                match next {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(ended) = self.out.join_next_with_id() => {
                    if let Some(news) = self.taken(ended) {
                        return news;
                    }
                }
                () = wait => self.begin(),
            }
        }
    }

    /// When the next check is due.
    fn next(&self) -> Option<Instant> {
        let due = self.entries.iter().filter_map(|entry| match &entry.state {
            State::Due(due) => Some(*due),
            State::Out(_) => None,
        });
        due.min()
    }

    /// Starts what is due.
    fn begin(&mut self) {
        let now = Instant::now();
        for entry in &mut self.entries {
            if matches!(entry.state, State::Due(due) if due <= now) {
                let (kind, target) = (entry.kind.clone(), entry.target.clone());
                let checking = async move { check(&kind, &target, DEADLINE).await };
                entry.state = State::Out(self.out.spawn(checking));
            }
        }
    }

    /// Takes what a check found, and gives what is news.
    fn taken(&mut self, ended: Result<(Id, Health), JoinError>) -> Option<(usize, Health)> {
        let (id, health) = match ended {
            Ok((id, health)) => (id, Some(health)),
            Err(error) => {
                let id = error.id();
                log_panic::<()>("target check", Err(error));
                (id, None)
            }
        };
        // One that was removed meanwhile is found no more.
        let mut entries = self.entries.iter_mut();
        let entry =
            entries.find(|entry| matches!(&entry.state, State::Out(out) if out.id() == id))?;
        let Some(health) = health else {
            entry.state = State::Due(after(entry.kind.interval()));
            return None;
        };
        debug!(forward = entry.number, kind = %entry.kind, %health, "target was checked");
        entry.state = State::Due(after(entry.schedule.next(&health)));
        let before = entry.found.replace(health.clone());
        let is_news = before.is_none_or(|before| discriminant(&before) != discriminant(&health));
        is_news.then_some((entry.number, health))
    }

    fn entry(&self, number: usize) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.number == number)
    }
}

/// So long from now. Waits are minutes, and the clock has room for those.
fn after(wait: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(wait).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio::net::UnixListener;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(path: &Path) -> Target {
        Target::Unix {
            path: path.to_str().unwrap().to_owned(),
        }
    }

    /// The next news, and how many seconds it took.
    async fn news(checks: &mut Checks) -> (usize, Health, u64) {
        let start = Instant::now();
        let (number, health) = checks.step().await;
        (number, health, start.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_change_is_news_and_a_fall_is_looked_at_soon() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("service");
        let listener = UnixListener::bind(&path).unwrap();
        let mut checks = Checks::new();
        checks.add(7, Kind::Tcp, at(&path), MINUTE);
        let (number, health, took) = news(&mut checks).await;
        assert_eq!((number, health.is_well(), took), (7, true, 0));
        drop(listener);
        assert_eq!(news(&mut checks).await, (7, Health::Refused, 60));
        assert_eq!(checks.found(7), Some(&Health::Refused));
        std::fs::remove_file(&path).unwrap();
        let (_, health, took) = news(&mut checks).await;
        assert!(matches!(health, Health::Unreachable { .. }), "{health}");
        assert_eq!(took, 5);
        let listener = UnixListener::bind(&path).unwrap();
        let (_, health, took) = news(&mut checks).await;
        assert_eq!((health.is_well(), took), (true, 10));
        drop(listener);
    }

    #[tokio::test(start_paused = true)]
    async fn a_visitor_is_as_good_as_a_check() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("service");
        let mut checks = Checks::new();
        checks.add(0, Kind::Tcp, at(&path), MINUTE);
        assert!(!news(&mut checks).await.1.is_well());
        let listener = UnixListener::bind(&path).unwrap();
        checks.served(0);
        let (_, health, took) = news(&mut checks).await;
        assert_eq!((health.is_well(), took), (true, 0));
        tokio::time::advance(MINUTE / 2).await;
        checks.served(0);
        drop(listener);
        assert_eq!(news(&mut checks).await, (0, Health::Refused, 60));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_removed_is_heard_of_no_more_and_no_step_is_lost_by_dropping_it() {
        let folder = tempfile::tempdir().unwrap();
        let silent = UnixListener::bind(folder.path().join("silent")).unwrap();
        let mut checks = Checks::new();
        for number in [0, 1] {
            checks.add(
                number,
                Kind::MySql,
                at(&folder.path().join("silent")),
                MINUTE,
            );
        }
        for _ in 0..3 {
            let stepped = tokio::time::timeout(Duration::from_secs(1), checks.step()).await;
            assert!(stepped.is_err());
        }
        assert_eq!(checks.out.len(), 2, "one check of each is out");
        checks.remove(0);
        let (number, health, took) = news(&mut checks).await;
        assert_eq!((number, health), (1, Health::Hangs));
        assert!(took <= 5, "{took}");
        drop(silent);
    }
}
