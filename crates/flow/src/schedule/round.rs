//! What the end of one job's run means for the others, also when jobs lead back and go round again.

use super::work::State;
use super::{JobIndex, Schedule};
use crate::expr::Value;

impl<E> Schedule<E> {
    /// A run of a job is over, and others hear of it.
    pub(super) fn settle(
        &mut self,
        job: JobIndex,
        output: Value,
        to: Option<JobIndex>,
        state: State,
    ) {
        let Some(work) = self.work.get_mut(job.0) else {
            return;
        };
        let is_to_run_again = work.is_stale || work.leads > 0;
        let is_repeated = work.run_count > 1;
        work.state = if is_to_run_again {
            State::Waiting
        } else {
            state
        };
        work.is_stale = false;
        work.output = Some(output);
        work.has_led = to.is_some();
        self.order.retain(|other| *other != job.0);
        self.order.push(job.0);
        if is_repeated && !is_to_run_again {
            for next in self.plan.waiting_for(job) {
                self.renew(next);
            }
        }
        if let Some(to) = to {
            self.lead(to);
        }
    }

    /// One more run of a job that others lead to.
    fn lead(&mut self, to: JobIndex) {
        let Some(work) = self.work.get_mut(to.0) else {
            return;
        };
        work.leads = work.leads.saturating_add(1);
        if work.state.is_settled() {
            work.state = State::Waiting;
        }
        if work.run_count > 0 {
            self.renew_what_lacks(to);
        }
    }

    /// A job that had run, or does, runs again after what it waits for: one that nobody leads to.
    fn renew(&mut self, job: JobIndex) {
        if self
            .plan
            .rule(job)
            .is_none_or(|rule| !rule.leaders.is_empty())
        {
            return;
        }
        let Some(work) = self.work.get_mut(job.0) else {
            return;
        };
        if work.state.is_settled() {
            work.state = State::Waiting;
            self.renew_what_lacks(job);
        } else if work.state.is_active() {
            work.is_stale = true;
        }
    }

    /// Those that had what they waited for, and have it no longer now that a job waits again.
    fn renew_what_lacks(&mut self, job: JobIndex) {
        let mut left = vec![job];
        while let Some(job) = left.pop() {
            for next in self.plan.waiting_for(job) {
                let Some(rule) = self.plan.rule(next) else {
                    continue;
                };
                let is_led = !rule.leaders.is_empty();
                if is_led || self.has_what_it_waits_for(next, rule) {
                    continue;
                }
                let Some(work) = self.work.get_mut(next.0) else {
                    continue;
                };
                if work.state.is_settled() {
                    work.state = State::Waiting;
                    left.push(next);
                } else if work.state.is_active() && !work.is_stale {
                    work.is_stale = true;
                    left.push(next);
                }
            }
        }
    }
}
