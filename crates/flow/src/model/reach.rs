//! What a run of a workflow can come to use: what `run` starts, and what a public trigger opens.

use super::component::{Component, Kind as ComponentKind};
use super::job::{ComponentJob, ComponentRef, ForEach, InlineKind, Kind};
use super::workflow::Workflow;
use super::{Compose, Text};

/// What a run can come to use, each once, in the order in which it is found.
#[derive(Clone, Debug, Default)]
pub struct Reach<'c> {
    /// Workflows, the first included.
    pub workflows: Vec<&'c Workflow>,
    /// Components, those of jobs of their own included.
    pub components: Vec<&'c Component>,
}

impl Compose {
    /// What a run of a workflow can come to use. `id` may be [`DEFAULT`](super::DEFAULT); one that
    /// is only known later may be any, and one that is not there reaches nothing.
    pub fn reach(&self, id: &Text) -> Reach<'_> {
        let mut search = Search {
            compose: self,
            found: Reach::default(),
        };
        search.workflow(id);
        // Those that are found on the way are added behind, and one at a time: a chain of a thousand
        // would be deep.
        let mut at = 0;
        while let Some(workflow) = search.found.workflows.get(at).copied() {
            search.jobs(workflow);
            at += 1;
        }
        search.found
    }
}

struct Search<'c> {
    compose: &'c Compose,
    found: Reach<'c>,
}

impl<'c> Search<'c> {
    fn workflow(&mut self, id: &Text) {
        let compose = self.compose;
        if !id.is_literal() {
            for workflow in &compose.workflows {
                add(&mut self.found.workflows, workflow);
            }
        } else if let Ok(workflow) = compose.workflow(id.as_str()) {
            add(&mut self.found.workflows, workflow);
        }
    }

    fn jobs(&mut self, workflow: &'c Workflow) {
        for job in &workflow.jobs {
            match &job.kind {
                Kind::Component(job) => self.component_job(job),
                Kind::ForEach(job) => self.for_each(job),
                Kind::Delay(_) | Kind::If(_) | Kind::Switch(_) | Kind::Random(_) | Kind::Filter => {
                }
            }
        }
    }

    /// Recurses at most [`adit_text::limits::DEPTH`] times.
    fn for_each(&mut self, job: &'c ForEach) {
        match &job.body.kind {
            InlineKind::Component(job) => self.component_job(job),
            InlineKind::ForEach(job) => self.for_each(job),
        }
    }

    fn component_job(&mut self, job: &'c ComponentJob) {
        let component = match &job.component {
            ComponentRef::Inline(component) => component,
            ComponentRef::Named(id) => match self.compose.component(id.as_str()) {
                Ok(component) => component,
                Err(_) => return,
            },
        };
        if !add(&mut self.found.components, component) {
            return;
        }
        if let ComponentKind::Workflow(actions) = &component.kind {
            for action in actions {
                self.workflow(&action.call.workflow);
            }
        }
    }
}

/// Adds one that is not there yet, and says whether it was not.
fn add<'c, T>(all: &mut Vec<&'c T>, one: &'c T) -> bool {
    let is_new = !all.iter().any(|other| std::ptr::eq(*other, one));
    if is_new {
        all.push(one);
    }
    is_new
}

#[cfg(test)]
mod tests {
    use adit_text::{Place, Problems};

    use crate::file::{Dialect, Environment, Files, Source};
    use crate::model::{Compose, DEFAULT, Text};

    const FILE: &str = "
components:
  - {id: ls, type: shell, command: [ls]}
  - {id: ask, type: http-client, endpoint: http://x}
  - {id: again, type: workflow, workflow: nested}
  - {id: any, type: workflow, workflow: '${input.which}'}
workflows:
  - {id: plain, component: ask}
  - {id: nested, default: true, jobs: [{id: a, component: again}, {id: b, component: ls}, {id: c, component: ls}]}
  - {id: inline, jobs: [{type: for-each, input: x, do: {component: {id: own, type: shell, command: [df]}}}]}
  - {id: open, component: any}
";

    fn compose() -> Compose {
        let source = Source {
            name: "f.yml",
            bytes: FILE.as_bytes(),
            dialect: Dialect::Adit,
        };
        let mut problems = Problems::new();
        let files = Files::parse(&[source], &Environment::default(), &mut problems).unwrap();
        let compose = files.compose(&mut problems);
        compose.unwrap_or_else(|| panic!("{problems}"))
    }

    #[test]
    fn a_run_uses_what_its_jobs_lead_to() {
        let compose = compose();
        let place = Place {
            file: "f.yml".into(),
            line: 1,
            column: 1,
        };
        for (id, workflows, components) in [
            ("plain", vec!["plain"], vec!["ask"]),
            ("nested", vec!["nested"], vec!["again", "ls"]),
            (DEFAULT, vec!["nested"], vec!["again", "ls"]),
            ("inline", vec!["inline"], vec!["own"]),
            (
                "open",
                vec!["open", "plain", "nested", "inline"],
                vec!["any", "ask", "again", "ls", "own"],
            ),
            ("missing", vec![], vec![]),
        ] {
            let reach = compose.reach(&Text::implied(id, &place));
            let found: Vec<&str> = reach.workflows.iter().map(|one| one.id.as_str()).collect();
            assert_eq!(found, workflows, "{id}");
            let found: Vec<&str> = reach.components.iter().map(|one| one.id.as_str()).collect();
            assert_eq!(found, components, "{id}");
        }
    }
}
