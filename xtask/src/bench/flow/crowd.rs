//! Many runs at once that all wait for a callback, their callbacks, and those who wait for the results.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use serde_json::{Value, json};

use super::super::number::percentile;
use super::http::{Answer, Connection};
use super::service::Number;
use crate::clock;
use crate::stop::Stop;

/// Who is asked for runs, and who takes their callbacks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Site {
    pub(super) api: SocketAddr,
    pub(super) callbacks: SocketAddr,
}

/// How many runs, and who calls them back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crowd {
    pub(super) runs: u32,
    /// Runs whose starter waits for their end, on a connection each; they have the first numbers.
    pub(super) watched: u32,
    /// How many call back at once. Each waits for the answer before its next callback.
    pub(super) senders: u32,
}

/// A callback that is owed.
#[derive(Debug, Clone)]
pub(super) struct Owed {
    pub(super) number: Number,
    pub(super) run: String,
}

/// What was measured.
#[derive(Debug)]
pub(super) struct Outcome {
    /// From the first byte of a callback until who waits for its run has the result, in milliseconds,
    /// in order.
    pub(super) results: Vec<f64>,
    /// From the first byte of a callback until it is answered, in milliseconds, in order.
    pub(super) answers: Vec<f64>,
    /// The runs that nobody waits for, as they were named when they were started.
    pub(super) tasks: Vec<(Number, String)>,
    /// Until the last callback was answered.
    pub(super) took: Duration,
}

impl Crowd {
    /// Starts the runs, waits until `owed` has the callbacks of all, and sends them.
    pub(super) fn pass(
        self,
        site: Site,
        stop: &Stop,
        owed: impl FnOnce() -> anyhow::Result<Vec<Owed>>,
    ) -> anyhow::Result<Outcome> {
        let sent = Mutex::default();
        thread::scope(|scope| {
            let watchers: Vec<_> = (0..self.watched)
                .map(|number| {
                    let thread = thread::Builder::new().stack_size(STACK_BYTES);
                    thread.spawn_scoped(scope, move || watch(site, number))
                })
                .collect::<Result<_, _>>()
                .context("cannot start a thread")?;
            let tasks = start(site, self.watched..self.runs)?;
            let owed = owed()?;
            let began = clock::now();
            let answers = call_back(site, stop, self.senders, owed, &sent)?;
            let took = began.elapsed();
            let mut results = Vec::new();
            for watcher in watchers {
                let seen = watcher.join().map_err(|_| anyhow!("a watcher panicked"))?;
                let (number, at) = seen?;
                let sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
                let began = sent.get(&number).context("a result without a callback")?;
                results.push(milliseconds(at.saturating_duration_since(*began)));
            }
            results.sort_by(f64::total_cmp);
            Ok(Outcome {
                results,
                answers,
                tasks,
                took,
            })
        })
    }
}

/// Starts a run and waits for its end.
fn watch(site: Site, number: Number) -> anyhow::Result<(Number, Instant)> {
    let mut connection = Connection::dial(site.api, PATIENCE)?;
    connection.begin(RUNS, request(number, true).to_string().as_bytes())?;
    let answer = connection.answer();
    let at = clock::now();
    check(number, &answer.with_context(|| format!("run {number}"))?)?;
    Ok((number, at))
}

/// Starts runs that nobody waits for.
pub(super) fn start(
    site: Site,
    numbers: std::ops::Range<Number>,
) -> anyhow::Result<Vec<(Number, String)>> {
    let mut connection = Connection::dial(site.api, PATIENCE)?;
    let started = numbers.map(|number| {
        let task = connection.post(RUNS, &request(number, false))?.json()?;
        let id = task.get("task_id").and_then(Value::as_str);
        Ok((number, id.context("no task_id")?.to_owned()))
    });
    started.collect()
}

fn request(number: Number, waits: bool) -> Value {
    json!({"input": {"number": number}, "wait_for_completion": waits})
}

/// Whether a run has ended well, with what was said for it and not for another one.
pub(super) fn check(number: Number, answer: &Answer) -> anyhow::Result<()> {
    let task = answer.json()?;
    let is_completed = task.get("status") == Some(&json!("completed"));
    if is_completed && task.pointer("/output/number") == Some(&json!(number)) {
        return Ok(());
    }
    bail!("run {number} has ended otherwise: {task}");
}

/// What is called back for a run.
pub(super) fn callback(owed: &Owed) -> Value {
    json!({"run": owed.run, "result": {"number": owed.number}})
}

/// Sends the callbacks, every tenth of them twice, and gives how long their answers took.
pub(super) fn call_back(
    site: Site,
    stop: &Stop,
    senders: u32,
    mut owed: Vec<Owed>,
    sent: &Mutex<BTreeMap<Number, Instant>>,
) -> anyhow::Result<Vec<f64>> {
    scatter(&mut owed);
    let owed = Mutex::new(owed.into_iter());
    let next = || owed.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || -> anyhow::Result<Vec<f64>> {
        let mut connection = Connection::dial(site.callbacks, PATIENCE)?;
        let mut took = Vec::new();
        while let Some(owed) = next() {
            let body = callback(&owed);
            let began = clock::now();
            sent.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(owed.number, began);
            let answer = connection.post(CALLBACK, &body)?;
            took.push(milliseconds(began.elapsed()));
            if owed.number % TWICE == 0 {
                connection.post(CALLBACK, &body)?;
            }
            if answer.status != 200 {
                bail!("the callback of run {}: {}", owed.number, answer.status);
            }
            if stop.is_asked() {
                bail!("stopped by a signal");
            }
        }
        Ok(took)
    };
    let mut answers = Vec::new();
    thread::scope(|scope| -> anyhow::Result<()> {
        let senders: Vec<_> = (0..senders).map(|_| scope.spawn(work)).collect();
        for sender in senders {
            answers.extend(sender.join().map_err(|_| anyhow!("a sender panicked"))??);
        }
        Ok(())
    })?;
    answers.sort_by(f64::total_cmp);
    Ok(answers)
}

/// Puts callbacks into an order that is not that of the runs, and the same each time.
fn scatter(owed: &mut [Owed]) {
    owed.sort_by_key(|owed| owed.number.wrapping_mul(SCATTER));
}

impl Outcome {
    /// This share of all results was there within so many milliseconds.
    pub(super) fn result(&self, share: f64) -> anyhow::Result<f64> {
        percentile(&self.results, share)
    }

    /// This share of all callbacks was answered within so many milliseconds.
    pub(super) fn answer(&self, share: f64) -> anyhow::Result<f64> {
        percentile(&self.answers, share)
    }
}

pub(super) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Where runs are started.
const RUNS: &str = "/workflows/runs";

/// Where callbacks go.
pub(super) const CALLBACK: &str = "/callback";

/// Every so many callbacks, one is sent again as soon as it is answered, as by a sender that repeats.
const TWICE: Number = 10;

/// An odd number whose products are well spread over 32 bits (2^32 over the golden ratio).
const SCATTER: Number = 2_654_435_769;

/// A watcher has little to remember.
const STACK_BYTES: usize = 256 << 10;

/// What takes longer has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::super::direct::{self, Direct};
    use super::*;

    #[test]
    fn a_crowd_without_a_workflow_sees_all_its_results() {
        let direct = Direct::start().unwrap();
        let site = Site {
            api: direct.addr(),
            callbacks: direct.addr(),
        };
        let (stop, _signal) = crate::stop::tests::silent();
        let crowd = Crowd {
            runs: 40,
            watched: 20,
            senders: 4,
        };
        // A run that is not there yet when it is called back would never see its result.
        let owed = || {
            direct.until(&stop, 20, PATIENCE)?;
            Ok(direct::owed(40))
        };
        let outcome = crowd.pass(site, &stop, owed).unwrap();
        assert_eq!((outcome.results.len(), outcome.answers.len()), (20, 40));
        assert!(outcome.result(0.99).unwrap() > 0.0);
        assert_eq!(outcome.tasks.len(), 20);
        assert_eq!(outcome.tasks[0], (20, String::from("20")));
    }

    #[test]
    fn a_run_with_the_result_of_another_has_not_ended_well() {
        let answer = |body: &str| Answer {
            status: 200,
            body: body.as_bytes().to_vec(),
        };
        let good = answer(r#"{"task_id":"x","status":"completed","output":{"number":7}}"#);
        check(7, &good).unwrap();
        let error = check(8, &good).unwrap_err().to_string();
        assert!(error.starts_with("run 8 has ended otherwise"), "{error}");
        let failed = answer(r#"{"task_id":"x","status":"failed","error":"no"}"#);
        assert!(check(7, &failed).is_err());
    }
}
