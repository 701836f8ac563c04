//! Variables inside the program text of an interpreter: `sh -c "${input.x}"` runs what a stranger
//! wrote. The safe form hands the value on as an argument.

use adit_text::{Problem, Problems, Severity};

use crate::file::Read;
use crate::model::Text;
use crate::model::component::{Component, Kind as ComponentKind};
use crate::model::job::{ComponentJob, ComponentRef, ForEach, InlineKind, Kind};

pub(super) fn check(read: &Read, problems: &mut Problems) {
    let mut inspection = Inspection {
        unwise: read.unwise,
        problems,
    };
    for component in &read.compose.components {
        inspection.component(component);
    }
    let jobs = read.compose.workflows.iter().flat_map(|one| &one.jobs);
    for job in jobs {
        match &job.kind {
            Kind::Component(job) => inspection.component_job(job),
            Kind::ForEach(job) => inspection.for_each(job),
            Kind::Delay(_) | Kind::If(_) | Kind::Switch(_) | Kind::Random(_) | Kind::Filter => {}
        }
    }
}

struct Inspection<'i> {
    unwise: Severity,
    problems: &'i mut Problems,
}

impl Inspection<'_> {
    fn component(&mut self, component: &Component) {
        let ComponentKind::Shell(shell) = &component.kind else {
            return;
        };
        for action in &shell.actions {
            for arguments in &action.call.commands {
                for program in programs(arguments) {
                    self.report(program);
                }
            }
        }
    }

    fn component_job(&mut self, job: &ComponentJob) {
        if let ComponentRef::Inline(component) = &job.component {
            self.component(component);
        }
    }

    fn for_each(&mut self, job: &ForEach) {
        match &job.body.kind {
            InlineKind::Component(job) => self.component_job(job),
            InlineKind::ForEach(job) => self.for_each(job),
        }
    }

    fn report(&mut self, program: &Text) {
        let message =
            "a variable is part of a program's text, so whoever gives its value gives the program";
        let help = "hand it on as an argument: [\"sh\", \"-c\", \"ls -- \\\"$1\\\"\", \"_\", \"${input.path}\"]";
        let problem = match self.unwise {
            Severity::Error => Problem::error(program.place(), message),
            Severity::Warning => Problem::warning(program.place(), message),
        };
        self.problems.push(problem.with_help(help));
    }
}

/// Programs that run text that they get as an argument, with the letters that say so.
const INTERPRETERS: [(&str, &str); 17] = [
    ("sh", "c"),
    ("bash", "c"),
    ("dash", "c"),
    ("ash", "c"),
    ("ksh", "c"),
    ("mksh", "c"),
    ("zsh", "c"),
    ("fish", "c"),
    ("su", "c"),
    ("python", "c"),
    ("python3", "c"),
    ("perl", "eE"),
    ("ruby", "e"),
    ("node", "ep"),
    ("lua", "e"),
    ("php", "r"),
    ("pwsh", "c"),
];

/// The arguments that are programs and hold variables.
fn programs(arguments: &[Text]) -> Vec<&Text> {
    let mut letters = "";
    let mut found = Vec::new();
    let mut is_next = false;
    for argument in arguments {
        let text = argument.as_str();
        if is_next && !argument.is_literal() {
            found.push(argument);
        }
        is_next = false;
        // Also behind `env`, `sudo`, `timeout 5` and the like.
        let name = text.rsplit('/').next().unwrap_or(text);
        if let Some((_, says)) = INTERPRETERS.iter().find(|(known, _)| *known == name) {
            letters = says;
        } else if let Some(options) = text.strip_prefix('-') {
            is_next = match options.strip_prefix('-') {
                Some(long) => !letters.is_empty() && matches!(long, "eval" | "command" | "print"),
                None => options.ends_with(|letter| letters.contains(letter)),
            };
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use adit_text::{Problems, Severity};

    use crate::file::{Dialect, Environment, Files, Source};

    /// How many problems of which kind a command has.
    fn lint(command: &str, strict: bool) -> Vec<Severity> {
        let text = format!("strict: {strict}\ncomponent: {{type: shell, command: {command}}}");
        let source = Source {
            name: "f.yml",
            bytes: text.as_bytes(),
            dialect: Dialect::Adit,
        };
        let mut problems = Problems::new();
        let files = Files::parse(&[source], &Environment::default(), &mut problems).unwrap();
        files.compose(&mut problems);
        problems.iter().map(adit_text::Problem::severity).collect()
    }

    #[test]
    fn a_variable_in_a_programs_text_is_told_of() {
        for (command, count) in [
            ("[sh, -c, '${input.x}']", 1),
            ("[/bin/bash, -lc, 'echo ${input.x}']", 1),
            ("[env, A=1, sh, -ec, 'echo ${input.x}']", 1),
            ("[python3, -c, 'print(${input.x})']", 1),
            ("[node, --eval, '${input.x}']", 1),
            ("[perl, -E, '${input.x}']", 1),
            ("[[echo, '${input.x}'], [sh, -c, '${input.x}']]", 1),
            ("[sh, -c, 'echo \"$1\"', _, '${input.x}']", 0),
            ("[echo, '${input.x}']", 0),
            ("[grep, -c, '${input.x}']", 0),
            ("[sh, -e, '${input.x}']", 0),
        ] {
            let found = lint(command, false);
            assert_eq!(found, vec![Severity::Warning; count], "{command}");
            let found = lint(command, true);
            assert_eq!(found, vec![Severity::Error; count], "{command}");
        }
    }
}
