//! Which jobs can still run, so that the others are skipped.

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
        let mut is_possible = vec![false; self.work.len()];
        let mut left: Vec<JobIndex> = self.plan.jobs().collect();
        left.reverse();
        while let Some(job) = left.pop() {
            let Some(known) = is_possible.get(job.0) else {
                continue;
            };
            if *known || !self.can_run(job, &is_possible) {
                continue;
            }
            if let Some(known) = is_possible.get_mut(job.0) {
                *known = true;
            }
            left.extend(self.plan.rule(job).into_iter().flat_map(Rule::followers));
        }
        let waits = |job: &JobIndex| matches!(self.state(*job), Some(State::Waiting));
        let is_known = |job: &JobIndex| is_possible.get(job.0) == Some(&true);
        let jobs = self.plan.jobs().filter(waits);
        jobs.filter(|job| !is_known(job)).collect()
    }

    fn can_run(&self, job: JobIndex, is_possible: &[bool]) -> bool {
        let Some((rule, work)) = self.plan.rule(job).zip(self.work.get(job.0)) else {
            return false;
        };
        let may = |other: &JobIndex| is_possible.get(other.0) == Some(&true);
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
