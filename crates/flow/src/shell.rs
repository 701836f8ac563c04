//! The shell component: programs that are run, and what they say as a value.
//!
//! There is no shell between, unless a program is one: arguments are passed as they are.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::expr::{Map, Value};
use crate::process::{
    ChildEnvironment, Keeper, Lines, Output, Program, RunError, SpawnError, Stream, run,
};

/// An action of a shell component, all of its variables replaced. `Debug` shows no values of variables.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    /// The programs with their arguments.
    pub commands: Vec<Vec<String>>,
    /// The folder that they are run in; [`folder`] finds it.
    pub dir: PathBuf,
    /// Variables beside those of [`ChildEnvironment`]; a later one counts before an earlier one.
    pub env: Vec<(String, String)>,
    /// How long each of them may take. None is for as long as somebody waits.
    pub timeout: Option<Duration>,
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("Command")
            .field("commands", &self.commands)
            .field("dir", &self.dir)
            .field("env", &names)
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// Where an action is run: in its own folder, from the component's, from `base`.
pub fn folder(base: &Path, component: Option<&Path>, action: Option<&str>) -> PathBuf {
    let folder = base.join(component.unwrap_or_else(|| Path::new("")));
    folder.join(action.unwrap_or_default())
}

impl Command {
    /// Runs the programs one after the other, whatever their exit codes are, and gives what they say.
    ///
    /// Of one program that is a map of `stdout`, `stderr` and `exit_code`: texts, without the white space around
    /// them and with what is no UTF-8 replaced, and the program's [exit code](crate::process::Exit). Of several it is a list of
    /// such maps in their order.
    ///
    /// # Errors
    ///
    /// One of them was not started, was stopped, took too long or said too much; those after it were not run.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the program that runs, and no other is started.
    pub async fn run(
        &self,
        keeper: &Keeper,
        environment: &ChildEnvironment,
        stop: &CancellationToken,
    ) -> Result<Value, RunError> {
        let mut results = Vec::with_capacity(self.commands.len());
        for program in self.programs(environment) {
            let output = run(keeper, &program, self.timeout, stop).await?;
            results.push(value(&output));
        }
        Ok(match results.len() {
            1 => results.pop().unwrap_or_default(),
            _ => Value::List(results),
        })
    }

    /// Starts to run the programs one after the other, and gives what they say line by line. What they say on their
    /// standard error goes to the log with `label`.
    pub fn stream(&self, keeper: &Keeper, environment: &ChildEnvironment, label: &str) -> Streamed {
        Streamed {
            keeper: keeper.clone(),
            programs: self.programs(environment).into_iter(),
            running: None,
            timeout: self.timeout,
            label: adit_text::escape(label),
        }
    }

    fn programs(&self, environment: &ChildEnvironment) -> Vec<Program> {
        let own = self.env.iter();
        let own = own.map(|(name, value)| (name.as_str(), value.as_str()));
        let env = environment.with(own);
        let programs = self.commands.iter().map(|argv| Program {
            argv: argv.clone(),
            dir: self.dir.clone(),
            env: env.clone(),
        });
        programs.collect()
    }
}

/// What programs say on their standard output, line by line. They wait when nobody reads; dropped, the one that runs
/// ends, and no other is started.
#[derive(Debug)]
pub struct Streamed {
    keeper: Keeper,
    programs: std::vec::IntoIter<Program>,
    running: Option<Lines>,
    timeout: Option<Duration>,
    label: String,
}

impl Streamed {
    /// The next line without its end, or none when the last program has ended. What is no UTF-8 is replaced; a line
    /// that is longer than [`LINE_BYTES`](crate::process::limits::LINE_BYTES) comes in pieces of that length.
    ///
    /// # Errors
    ///
    /// A program was not started or took too long; nothing runs any more then, and there are no more lines.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Option<String>, RunError> {
        let next = self.line().await;
        if next.is_err() {
            self.running = None;
            self.programs = Vec::new().into_iter();
        }
        next
    }

    /// Whether a program runs.
    pub fn runs(&self) -> bool {
        self.running.is_some()
    }

    /// Ends the program that runs, if one does, and waits until it has ended; no other is started.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends it all the same.
    pub async fn stop(self) {
        if let Some(running) = self.running {
            running.stop().await;
        }
    }

    async fn line(&mut self) -> Result<Option<String>, RunError> {
        loop {
            let Some(running) = &mut self.running else {
                match self.start()? {
                    Some(running) => self.running = Some(running),
                    None => return Ok(None),
                }
                continue;
            };
            match running.next().await? {
                Some(line) if line.stream == Stream::Stdout => return Ok(Some(line.text)),
                Some(line) => {
                    let text = adit_text::escape(&line.text);
                    info!("[{}] {text}", self.label);
                }
                None => {
                    running.exit().await?;
                    self.running = None;
                }
            }
        }
    }

    fn start(&mut self) -> Result<Option<Lines>, SpawnError> {
        let program = self.programs.next();
        program
            .map(|program| Lines::start(&self.keeper, &program, self.timeout))
            .transpose()
    }
}

fn value(output: &Output) -> Value {
    let text = |bytes: &[u8]| Value::Text(String::from_utf8_lossy(bytes).trim().to_owned());
    let mut map = Map::new();
    map.insert("stdout".into(), text(&output.stdout));
    map.insert("stderr".into(), text(&output.stderr));
    map.insert("exit_code".into(), Value::Integer(output.exit.code.into()));
    Value::Map(map)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Exit;

    #[test]
    fn a_folder_is_from_the_components_and_that_from_the_base() {
        let base = Path::new("/w");
        let in_x = Some(Path::new("x"));
        for (component, action, found) in [
            (None, None, "/w"),
            (in_x, None, "/w/x"),
            (in_x, Some("y"), "/w/x/y"),
            (None, Some("y"), "/w/y"),
            (in_x, Some("/y"), "/y"),
        ] {
            // A slash at the end is the same folder.
            assert_eq!(folder(base, component, action), Path::new(found));
        }
    }

    #[test]
    fn what_was_said_is_text_without_white_space_around() {
        let output = Output {
            stdout: b" \xffa\n b\n\n".to_vec(),
            stderr: Vec::new(),
            exit: Exit { code: 3 },
        };
        let json = value(&output).to_json().unwrap();
        assert_eq!(json, r#"{"stdout":"�a\n b","stderr":"","exit_code":3}"#);
    }

    #[test]
    fn no_value_of_the_environment_is_shown() {
        let command = Command {
            commands: vec![vec!["env".to_owned()]],
            dir: PathBuf::from("/"),
            env: vec![("TOKEN".to_owned(), "s3cr3t".to_owned())],
            timeout: None,
        };
        let shown = format!("{command:?}");
        assert!(
            shown.contains("TOKEN") && !shown.contains("s3cr3t"),
            "{shown}"
        );
    }
}
