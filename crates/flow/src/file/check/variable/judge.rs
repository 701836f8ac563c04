//! What is wrong with the variables of one text.

use std::ops::Range;

use adit_text::{Problem, closest, show};

use super::scope::Scope;
use crate::expr::{Step, Stray, Variable};
use crate::file::check::reference::{some, with_suggestion};
use crate::model::{Id, Text};

/// What a source begins with that is a public address, if a port follows.
const ADDRESS: &str = "gateway:";

/// What is known of the rest of the file.
pub(super) struct Known<'v> {
    /// The ports that are public, if all of them are known.
    pub(super) ports: Option<Vec<u16>>,
    /// The ids of the workflow's jobs.
    pub(super) jobs: Vec<&'v Id>,
}

impl Known<'_> {
    /// What is wrong with the variables of a text that stands in some place.
    pub(super) fn problems(&self, text: &Text, scope: Scope) -> Vec<Problem> {
        if text.is_literal() {
            return Vec::new();
        }
        let template = text.template();
        let variables = template.variables().into_iter();
        let judged = variables.filter_map(|variable| match scope.names {
            [] => Some(unfilled(text)),
            _ => self.judge(text, variable, scope),
        });
        // Other strays of the same text are probably there for the same reason.
        let stray = template.strays().first();
        judged
            .chain(stray.map(|stray| no_variable(text, stray)))
            .collect()
    }

    /// What is wrong with a variable.
    fn judge(&self, text: &Text, variable: &Variable, scope: Scope) -> Option<Problem> {
        let source = variable.source();
        let name = source.name();
        if let Some(port) = name
            .strip_prefix(ADDRESS)
            .and_then(|port| port.parse().ok())
        {
            return self.address(text, variable, port, scope);
        }
        let is_streamed = scope.has_addresses && matches!(name, "response" | "result");
        if !scope.names().any(|known| known == name) || (source.is_chunk() && !is_streamed) {
            return Some(unknown(text, variable, scope));
        }
        match variable.path() {
            [Step::Name(id), ..] if name == "jobs" => self.job_id(text, variable, id),
            _ => None,
        }
    }

    /// Whether a public address is there; no problem if there is something to fall back on.
    fn address(
        &self,
        text: &Text,
        variable: &Variable,
        port: u16,
        scope: Scope,
    ) -> Option<Problem> {
        let is_needed = variable.default().is_none();
        if !scope.has_addresses {
            let message = "an address is known in actions of components alone";
            let problem = if is_needed {
                Problem::error(text.place(), message)
            } else {
                Problem::warning(text.place(), message)
            };
            return Some(problem.with_help("move it into the component's action"));
        }
        let ports = self.ports.as_ref()?;
        if ports.contains(&port) || !is_needed {
            return None;
        }
        let port = if is_foreign(text, &variable.span()) {
            "that the environment names".to_owned()
        } else {
            port.to_string()
        };
        let message = format!("no gateway makes port {port} public, so this has no address");
        let problem = Problem::error(text.place(), message);
        Some(if ports.is_empty() {
            problem.with_help("add a gateway")
        } else {
            let known = some(ports.iter().map(u16::to_string));
            problem.with_help(format!("public are: {known}"))
        })
    }

    /// Whether a job is there whose output is asked for.
    fn job_id(&self, text: &Text, variable: &Variable, id: &str) -> Option<Problem> {
        if self.jobs.iter().any(|job| job.as_str() == id) {
            return None;
        }
        let warning = |message: &str| Problem::warning(text.place(), message);
        if is_foreign(text, &variable.span()) {
            return Some(warning("the environment names no job of this workflow"));
        }
        let problem = warning(&format!("there is no job {} in this workflow", show(id)));
        let id = Id::new(Text::implied(id, text.place()));
        Some(with_suggestion(problem, &id, self.jobs.iter().copied()))
    }
}

/// Whether a value of the environment is part of what stands here, so that no message may quote it.
fn is_foreign(text: &Text, here: &Range<usize>) -> bool {
    let mut literals = text.literals().iter();
    literals.any(|literal| literal.start < here.end && here.start < literal.end)
}

/// A source that is none here.
fn unknown(text: &Text, variable: &Variable, scope: Scope) -> Problem {
    let warning = |message: &str| Problem::warning(text.place(), message);
    if is_foreign(text, &variable.span()) {
        return warning("a variable that the environment names is not known here");
    }
    let source = variable.source();
    let problem = warning(&format!("{} is not known here", show(&source.to_string())));
    if source.name() == "env" {
        let help = "write ${env.NAME} or ${env.NAME | default}; \"as\" takes string, integer, number or boolean";
        return problem.with_help(help);
    }
    problem.with_help(match closest(source.name(), scope.names()) {
        Some(meant) if meant != source.name() => format!("did you mean {}?", show(meant)),
        _ => {
            let address = scope.has_addresses.then_some("gateway:PORT");
            let known: Vec<&str> = scope.names().chain(address).collect();
            format!("known are: {}", known.join(", "))
        }
    })
}

/// A variable where none is filled in.
fn unfilled(text: &Text) -> Problem {
    let message = "variables are not filled in here, so this stays as it is";
    Problem::warning(text.place(), message).with_help("move it into the action")
}

/// What looks like a variable and is none.
fn no_variable(text: &Text, stray: &Stray) -> Problem {
    let message = format!(
        "\"${{\" begins no variable here and stays: {}",
        stray.reason
    );
    Problem::warning(text.place(), message)
}
