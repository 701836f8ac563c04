//! Random workflows with random outcomes: what must hold in each of them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use adit_testkit::seeded::{SeededRandom, for_each_seed};

use super::*;
use crate::model::job::{Delay, Kind};

/// More inputs than any run of these workflows needs.
const MOST_INPUTS: usize = 20_000;

#[test]
fn any_run_ends_and_keeps_its_rules() {
    for_each_seed(|seed| {
        let mut random = SeededRandom::new(seed);
        let workflow = random_workflow(&mut random);
        let log = Run::new(&workflow, random.clone()).told();
        let again = Run::new(&workflow, random).told();
        assert_eq!(log, again, "the same inputs give the same steps");
    });
}

/// Jobs that a file may have; those that its check refuses are drawn again.
fn random_workflow(random: &mut SeededRandom) -> Workflow {
    for _ in 0..10_000 {
        let count = random.size(8);
        let mut text = String::new();
        for job in 0..count {
            random_job(random, job, count, &mut text);
        }
        if let Ok(workflow) = workflow(&text) {
            return workflow;
        }
    }
    panic!("no workflow is good");
}

fn random_job(random: &mut SeededRandom, job: usize, count: usize, text: &mut String) {
    let any = |random: &mut SeededRandom| format!("j{}", random.size(count) - 1);
    write!(
        text,
        "    - {{id: j{job}, max_run_count: {}",
        random.size(3)
    )
    .unwrap();
    match random.below(8) {
        0 => write!(text, ", type: delay, duration: {}s", random.below(3)).unwrap(),
        1 => text.push_str(", type: delay, duration: '${input.t}', output: x"),
        2..=4 => {
            let (a, b) = (any(random), any(random));
            write!(text, ", type: switch, cases: [{{value: 1, then: {a}}}]").unwrap();
            if random.chance(1, 2) {
                write!(text, ", otherwise: {b}").unwrap();
            }
        }
        _ => {}
    }
    if job > 0 && random.chance(2, 3) {
        let earlier = |random: &mut SeededRandom| format!("j{}", random.size(job) - 1);
        let (a, b, c) = (earlier(random), earlier(random), earlier(random));
        let groups = random.pick(&["[A]", "[A, B]", "[[A, B]]", "[[A, B], C]"]);
        let groups = groups.replace('A', &a).replace('B', &b).replace('C', &c);
        write!(text, ", depends_on: {groups}").unwrap();
    }
    match random.below(8) {
        0 => text.push_str(", on_error: ignore"),
        1 => text.push_str(", on_error: {output: x}"),
        2 => write!(text, ", on_error: {{to: {}}}", any(random)).unwrap(),
        3 => write!(text, ", on_error: {{output: x, to: {}}}", any(random)).unwrap(),
        _ => {}
    }
    if random.chance(1, 3) {
        let attempts = random.size(3);
        let delay = random.below(3);
        write!(
            text,
            ", retry: {{max_attempt_count: {attempts}, delay: {delay}s, backoff: exponential}}"
        )
        .unwrap();
    }
    if random.chance(1, 5) {
        let points = random.pick(&["before: true", "after: true", "before: true, after: true"]);
        write!(text, ", interrupt: {{{points}}}").unwrap();
    }
    text.push_str("}\n");
}

/// Somebody who does the steps of a schedule, with outcomes by chance, and watches it.
struct Run<'w> {
    workflow: &'w Workflow,
    schedule: Schedule<&'static str>,
    random: SeededRandom,
    now: Duration,
    seen: Vec<Seen>,
    /// Jobs that somebody works on.
    busy: BTreeSet<JobIndex>,
    /// Those of them that just run: a delay may be told of.
    fresh: BTreeSet<JobIndex>,
    is_ending: bool,
    log: String,
}

#[derive(Clone, Default)]
struct Seen {
    runs: u32,
    attempts: u32,
    leads: u32,
    is_skipped: bool,
}

impl<'w> Run<'w> {
    fn new(workflow: &'w Workflow, random: SeededRandom) -> Self {
        Self {
            workflow,
            schedule: Schedule::new(workflow).expect("a checked file has an order"),
            random,
            now: Duration::ZERO,
            seen: vec![Seen::default(); workflow.jobs.len()],
            busy: BTreeSet::new(),
            fresh: BTreeSet::new(),
            is_ending: false,
            log: String::new(),
        }
    }

    fn told(mut self) -> String {
        let mut input = Input::Start;
        for _ in 0..MOST_INPUTS {
            writeln!(self.log, "{input:?}").unwrap();
            let chance = self.random.below(u64::MAX);
            let steps = self.schedule.take(input, self.now, chance);
            let over = steps.iter().position(|step| self.watch(step));
            assert_eq!(self.schedule.is_over(), over.is_some(), "{}", self.log);
            if let Some(over) = over {
                assert_eq!(over + 1, steps.len(), "{}", self.log);
                assert!(self.busy.is_empty(), "{}", self.log);
                return self.log;
            }
            input = self.next();
        }
        panic!("it does not end:\n{}", self.log);
    }

    /// Checks a step, and says whether it is a last one.
    fn watch(&mut self, step: &Step<&'static str>) -> bool {
        writeln!(self.log, "  {step:?}").unwrap();
        let log = &self.log;
        match step {
            Step::Stop { job } => {
                assert!(self.busy.contains(job), "{log}");
                self.is_ending = true;
            }
            Step::Skip { job } => {
                let seen = &mut self.seen[job.get()];
                assert!(!self.is_ending && !seen.is_skipped, "{log}");
                seen.is_skipped = true;
            }
            Step::Run { job, attempt } => {
                self.begins(*job, attempt.get());
                self.fresh.insert(*job);
                assert!(self.busy.insert(*job), "{}", self.log);
            }
            Step::Finish { job } | Step::Recover { job, .. } => {
                assert!(!self.is_ending, "{log}");
                assert!(self.busy.insert(*job), "{log}");
            }
            Step::Wait { job, until } => {
                assert!(!self.is_ending && *until >= self.now, "{log}");
                assert!(!self.busy.contains(job), "{log}");
            }
            Step::Interrupted { job, point } => {
                assert!(!self.is_ending, "{log}");
                assert_eq!(self.schedule.interrupted(*job), Some(*point), "{log}");
            }
            Step::Done { .. } => {
                assert!(!self.is_ending, "{log}");
                for (place, seen) in self.seen.iter().enumerate() {
                    let has_run = self.schedule.output(JobIndex(place)).is_some();
                    assert!(has_run || seen.is_skipped, "{log}");
                }
                return true;
            }
            Step::Failed { .. } | Step::Cancelled => return true,
        }
        false
    }

    /// A job is told to run.
    fn begins(&mut self, job: JobIndex, attempt: u32) {
        let log = &self.log;
        let rule = &self.workflow.jobs[job.get()];
        let seen = &mut self.seen[job.get()];
        assert!(!self.is_ending && !seen.is_skipped, "{log}");
        assert!(attempt <= rule.retry.max_attempt_count.get(), "{log}");
        if attempt > 1 {
            assert_eq!(attempt, seen.attempts + 1, "{log}");
            seen.attempts = attempt;
            return;
        }
        seen.attempts = 1;
        seen.runs += 1;
        assert!(seen.runs <= rule.max_run_count.get(), "{log}");
        let mut jobs = self.workflow.jobs.iter();
        if jobs.any(|other| other.routes().contains(&&rule.id)) {
            assert!(seen.runs <= seen.leads, "{log}");
        }
        for group in &rule.depends_on {
            let mut group = group.iter().filter_map(|id| self.schedule.job(id.as_str()));
            let is_there = group.any(|one| self.schedule.output(one).is_some());
            assert!(is_there, "{log}");
        }
    }

    /// What happens next, by chance.
    fn next(&mut self) -> Input<&'static str> {
        if self.random.chance(1, 100) {
            self.is_ending = true;
            return Input::Cancel;
        }
        let job = JobIndex(self.random.size(self.seen.len()) - 1);
        if self.random.chance(1, 10) && !self.busy.contains(&job) {
            // It does not fit, and so must not matter.
            return Input::Failed { job, error: "late" };
        }
        let asked = (0..self.seen.len()).map(JobIndex);
        let asked = asked.filter(|job| self.schedule.interrupted(*job).is_some());
        let asked: Vec<JobIndex> = asked.collect();
        let busy: Vec<JobIndex> = self.busy.iter().copied().collect();
        let due = self.schedule.due();
        let choices = busy.len() + asked.len() + usize::from(due.is_some());
        assert!(choices > 0, "it is stuck:\n{}", self.log);
        let choice = self.random.size(choices) - 1;
        if let Some(job) = busy.get(choice) {
            return self.ends(*job);
        }
        if let Some(job) = asked.get(choice - busy.len()) {
            let to = self.workflow.jobs[job.get()].routes();
            let to: Vec<JobIndex> = to
                .iter()
                .filter_map(|id| self.schedule.job(id.as_str()))
                .collect();
            // Whether it leads on was decided before; at most one of these counts.
            if self.schedule.held(*job).is_some() {
                for to in to.into_iter().collect::<BTreeSet<_>>() {
                    self.seen[to.get()].leads += 1;
                }
            }
            return Input::Resume { job: *job };
        }
        self.now = due.expect("the last choice");
        Input::Due
    }

    /// What comes of a job that somebody works on.
    fn ends(&mut self, job: JobIndex) -> Input<&'static str> {
        let rule = &self.workflow.jobs[job.get()];
        let is_fresh = self.fresh.remove(&job);
        self.busy.remove(&job);
        let is_delay = matches!(&rule.kind, Kind::Delay(Delay::For(_)));
        if is_fresh && is_delay && !self.is_ending && self.random.chance(2, 3) {
            let delay = Duration::from_secs(self.random.below(3));
            return Input::Delayed { job, delay };
        }
        // What it may go on with if this is its end counts as led to.
        let error_to = rule.on_error.as_ref().and_then(|error| error.to.as_ref());
        if let Some(to) = error_to.and_then(|id| self.schedule.job(id.as_str())) {
            self.seen[to.get()].leads += 1;
        }
        if self.random.chance(1, 4) {
            return Input::Failed { job, error: "no" };
        }
        let routes = rule.routes();
        let to = if routes.is_empty() || self.random.chance(1, 6) {
            None
        } else {
            self.schedule.job(self.random.pick(&routes).as_str())
        };
        if let Some(to) = to {
            self.seen[to.get()].leads += 1;
        }
        let output = Value::Null;
        Input::Finished { job, output, to }
    }
}
