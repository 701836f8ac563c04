//! Which jobs can still run, so that the others are skipped.

use std::collections::VecDeque;

use super::plan::Rule;
use super::work::State;
use super::{JobIndex, Schedule};

impl<E> Schedule<E> {
    /// The jobs that wait and can no longer run, in the order of the file.
    ///
    /// What something is still to come from can bring about others, and these others again. A job
    /// that is done counts as one that may run again while anything it waits for may: at worst one
    /// is skipped later than it could have been, and never one that runs after all.
    pub(super) fn impossible(&self) -> Vec<JobIndex> {
        let mut possible = JobSet(vec![false; self.work.len()]);
        // Each job stands in the queue at most once, so that one that waits for a thousand is not
        // looked at a thousand times.
        let mut queue: VecDeque<JobIndex> = self.plan.jobs().collect();
        let mut queued = JobSet(vec![true; self.work.len()]);
        while let Some(job) = queue.pop_front() {
            queued.remove(job);
            if possible.contains(job) || !self.can_run(job, &possible) {
                continue;
            }
            possible.insert(job);
            let rule = self.plan.rule(job).into_iter();
            for next in rule.flat_map(Rule::followers) {
                if !possible.contains(next) && queued.insert(next) {
                    queue.push_back(next);
                }
            }
        }
        let waits = |job: &JobIndex| matches!(self.state(*job), Some(State::Waiting));
        let jobs = self.plan.jobs().filter(waits);
        jobs.filter(|job| !possible.contains(*job)).collect()
    }

    fn can_run(&self, job: JobIndex, possible: &JobSet) -> bool {
        let Some((rule, work)) = self.plan.rule(job).zip(self.work.get(job.0)) else {
            return false;
        };
        let may = |other: &JobIndex| possible.contains(*other);
        let is_led = || rule.leaders.iter().any(may);
        let is_led_by_none = rule.leaders.is_empty();
        if matches!(work.state, State::Waiting) {
            let is_wanted = is_led_by_none || work.leads > 0 || is_led();
            let comes = |other: &JobIndex| may(other) || self.is_done_for(*other, job);
            let mut groups = rule.waits_for.iter();
            is_wanted && groups.all(|group| group.iter().any(comes))
        } else if matches!(work.state, State::Done | State::Left) {
            let comes_again = || rule.waits_for.iter().flatten().any(may);
            is_led() || (is_led_by_none && comes_again())
        } else {
            work.state.is_active()
        }
    }
}

/// Some of a workflow's jobs: one mark for each, since all of them are looked at after each input.
struct JobSet(Vec<bool>);

impl JobSet {
    fn contains(&self, job: JobIndex) -> bool {
        self.0.get(job.0) == Some(&true)
    }

    /// Whether it was not there yet.
    fn insert(&mut self, job: JobIndex) -> bool {
        let mark = self.0.get_mut(job.0);
        mark.is_some_and(|mark| !std::mem::replace(mark, true))
    }

    fn remove(&mut self, job: JobIndex) {
        if let Some(mark) = self.0.get_mut(job.0) {
            *mark = false;
        }
    }
}
