//! The graph of a workflow's jobs: whom each waits for, and whom it leads to.
//!
//! A job that waits for nobody and that no other leads to begins. A job runs when of each group that
//! it waits for one has run, and, if others lead to it, when one of those has. Whatever cannot be
//! reached in this way never runs; that is an error. Of jobs with one id, which are an error elsewhere, the first
//! counts here. Going round is allowed where a job *leads* back:
//! `max_run_count` ends it.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use adit_text::{Problem, Problems};

use super::reference::{some, with_suggestion};

use crate::model::Id;
use crate::model::job::Job;
use crate::model::workflow::Workflow;

pub(super) fn check(workflow: &Workflow, problems: &mut Problems) {
    let graph = Graph::new(&workflow.jobs);
    if graph.names_are_good(problems) {
        graph.all_can_run(problems);
    }
}

struct Graph<'g> {
    all: &'g [Job],
    /// The first of each id.
    jobs: Vec<&'g Job>,
    by_id: HashMap<&'g str, &'g Job>,
    /// Jobs that others lead to, with those.
    led_to_by: HashMap<&'g str, Vec<&'g Job>>,
}

impl<'g> Graph<'g> {
    fn new(jobs: &'g [Job]) -> Self {
        let mut by_id = HashMap::new();
        let mut firsts = Vec::with_capacity(jobs.len());
        for job in jobs {
            if let Entry::Vacant(place) = by_id.entry(job.id.as_str()) {
                place.insert(job);
                firsts.push(job);
            }
        }
        let mut led_to_by: HashMap<&str, Vec<&Job>> = HashMap::new();
        for job in &firsts {
            for to in job.routes() {
                led_to_by.entry(to.as_str()).or_default().push(job);
            }
        }
        Self {
            all: jobs,
            jobs: firsts,
            by_id,
            led_to_by,
        }
    }

    /// Whether each job that is named is there.
    fn names_are_good(&self, problems: &mut Problems) -> bool {
        let mut is_good = true;
        for job in self.all {
            let waits_for = job.depends_on.iter().flatten();
            for id in waits_for.chain(job.routes()) {
                is_good &= self.is_there(id, problems);
            }
            let groups = job.depends_on.iter();
            for group in groups.filter(|group| group.iter().all(|id| *id == job.id)) {
                let place = group.first().unwrap_or(&job.id).place();
                problems.push(Problem::error(place, "a job cannot wait for itself"));
                is_good = false;
            }
        }
        is_good
    }

    fn is_there(&self, id: &Id, problems: &mut Problems) -> bool {
        if self.by_id.contains_key(id.as_str()) {
            return true;
        }
        let message = format!("there is no job {} in this workflow", id.shown());
        let problem = Problem::error(id.place(), message);
        let known = self.jobs.iter().map(|job| &job.id);
        problems.push(with_suggestion(problem, id, known));
        false
    }

    /// Reports the jobs that can never run.
    fn all_can_run(&self, problems: &mut Problems) {
        let mut running: HashSet<&str> = HashSet::new();
        let mut is_growing = true;
        while is_growing {
            is_growing = false;
            for job in &self.jobs {
                let id = job.id.as_str();
                if !running.contains(id) && self.can_run(job, &running) {
                    running.insert(id);
                    is_growing = true;
                }
            }
        }
        let mut stuck = self
            .jobs
            .iter()
            .filter(|job| !running.contains(job.id.as_str()));
        let Some(first) = stuck.next() else {
            return;
        };
        if let Some(circle) = self.circle(first, &running) {
            let shown = some(circle.iter().map(|job| job.id.shown()));
            let place = circle.first().map_or(&first.id, |job| &job.id).place();
            let message = format!("these jobs wait for one another: {shown}");
            problems.push(Problem::error(place, message));
            return;
        }
        // Those behind the first are stuck for the same reason.
        let message = if running.is_empty() {
            "no job can begin: others lead to each of them".to_owned()
        } else {
            let shown = first.id.shown();
            format!("the job {shown} can never run: nothing that runs leads to it")
        };
        problems.push(Problem::error(first.id.place(), message));
    }

    fn can_run(&self, job: &Job, running: &HashSet<&str>) -> bool {
        let is_running = |id: &Id| running.contains(id.as_str());
        let may_start = job
            .depends_on
            .iter()
            .all(|group| group.iter().any(is_running));
        let leaders = self.led_to_by.get(job.id.as_str());
        let is_led = leaders
            .is_none_or(|leaders| leaders.iter().any(|one| running.contains(one.id.as_str())));
        may_start && is_led
    }

    /// Jobs that wait for one another in a circle, from one that `from` waits for.
    fn circle(&self, from: &'g Job, running: &HashSet<&str>) -> Option<Vec<&'g Job>> {
        let mut path: Vec<&Job> = vec![from];
        loop {
            let last = path.last()?;
            let is_running = |id: &Id| running.contains(id.as_str());
            let mut groups = last.depends_on.iter();
            let next = groups
                .find(|group| !group.iter().any(is_running))?
                .first()?;
            let next = *self.by_id.get(next.as_str())?;
            if let Some(at) = path.iter().position(|job| job.id == next.id) {
                return Some(path.split_off(at));
            }
            path.push(next);
        }
    }
}

#[cfg(test)]
mod tests;
