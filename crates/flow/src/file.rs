//! Compose files: from their bytes to a checked configuration, with all that is wrong at once.
//!
//! Several files are merged as trees, references to the environment are replaced in the merged tree
//! (a value that an earlier file gave and a later one replaced needs no variable), and what stands
//! there is read in both shapes of the grammar. Then the whole is checked: ids, graphs, ports, and
//! what would be open to strangers. Nothing is read from the process: files come as bytes, variables
//! as an [`Environment`].
//!
//! ```
//! use adit_flow::file::{Dialect, Environment, Files, Source};
//! use adit_text::Problems;
//!
//! let text = b"
//! workflow: { title: Greet, component: hello }
//! component: { id: hello, type: shell, command: [echo, 'hello ${input.name}'] }
//! ";
//! let source = Source { name: "model-compose.yml", bytes: text, dialect: Dialect::ModelCompose };
//! let mut problems = Problems::new();
//! let environment = Environment::default();
//! let files = Files::parse(&[source], &environment, &mut problems).unwrap();
//! let compose = files.compose(&mut problems).unwrap();
//! assert_eq!(compose.workflows[0].jobs.len(), 1);
//! assert!(problems.is_empty());
//! ```

use std::collections::BTreeSet;

use adit_text::{Document, Fields, Node, Place, Problem, Problems, Severity, Unset};

use crate::model::Compose;

mod callback_server;
mod check;
mod component;
mod controller;
pub mod dotenv;
mod environment;
mod expose;
mod field;
mod http;
mod job;
mod logger;
mod private;
mod route;
mod secret;
mod workflow;

pub use check::check_public;
pub use environment::{EntryError, Environment};
pub use secret::is_secret_name;

/// One file.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// What messages call it.
    pub name: &'a str,
    /// What is in it.
    pub bytes: &'a [u8],
    /// Whose rules it follows.
    pub dialect: Dialect,
}

/// Whose rules a file follows where model-compose and adit differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `model-compose.yml` and `.yaml`: what nobody knows is a warning, and a secret may stand in
    /// the file itself, with a warning.
    ModelCompose,
    /// `adit.yml` and `.yaml`: both are errors.
    Adit,
}

/// Some files as one, with the environment's values in it.
#[derive(Clone, Debug)]
pub struct Files {
    document: Document,
    /// The names of those of adit's own.
    strict: BTreeSet<String>,
    /// Where the environment's part could not be filled in, which was told.
    unfilled: BTreeSet<Place>,
}

impl Files {
    /// Merges files, a later one counting before an earlier one, and replaces the references to the
    /// environment.
    ///
    /// None if there is none, or one of them is no YAML; what else is wrong is only among the
    /// problems.
    pub fn parse(
        sources: &[Source<'_>],
        environment: &Environment,
        problems: &mut Problems,
    ) -> Option<Self> {
        let mut merged: Option<Document> = None;
        let mut is_whole = true;
        for source in sources {
            match adit_text::parse(source.name, source.bytes) {
                Ok(document) => {
                    merged = Some(match merged {
                        Some(earlier) => earlier.merge(document),
                        None => document,
                    });
                }
                Err(found) => {
                    problems.append(found);
                    is_whole = false;
                }
            }
        }
        let mut document = merged.filter(|_| is_whole)?;
        let lookup = |name: &str| environment.value(name).map(str::to_owned);
        let mut unfilled = Problems::new();
        document.resolve_environment(&lookup, Unset::Refuse, &mut unfilled);
        let places = unfilled.iter().map(|problem| problem.place().clone());
        let places = places.collect();
        problems.append(unfilled);
        let strict = sources.iter().filter(|one| one.dialect == Dialect::Adit);
        Some(Self {
            document,
            strict: strict.map(|one| one.name.to_owned()).collect(),
            unfilled: places,
        })
    }

    /// All that the files say together, with the environment's values in it.
    pub fn root(&self) -> &Node {
        self.document.root()
    }

    /// The tunnels of the program, which it reads itself.
    pub fn tunnels(&self) -> Option<&Node> {
        let entry = self.document.root().as_mapping()?.entry("tunnels")?;
        Some(&entry.node)
    }

    /// What the files say, checked.
    ///
    /// None if that cannot be used; the problems say why, and may hold warnings in any case. What
    /// [`parse`](Self::parse) has told of is not told again.
    pub fn compose(&self, problems: &mut Problems) -> Option<Compose> {
        let grammar = Grammar {
            strict: &self.strict,
        };
        let mut found = Problems::new();
        let read = read(self.document.root(), grammar, &mut found);
        if let Some(read) = &read {
            check::all(read, &mut found);
        }
        let is_good = !found.has_errors();
        // What stands where a value is missing is not what was meant.
        for problem in &found {
            if !self.unfilled.contains(problem.place()) {
                problems.push(problem.clone());
            }
        }
        let mut compose = read?.compose;
        compose.private_variables = private::variables(self.document.root());
        compose.secret_variables = secret::variables(self.document.root());
        is_good.then_some(compose)
    }
}

/// What a file says, and how far it could be read.
struct Read {
    compose: Compose,
    /// Parts in which something could not be read, so that what is missing there may be there.
    broken: Vec<Part>,
    /// How bad it is if something is only unwise.
    unwise: Severity,
}

/// A part of a file that others refer to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Exposes,
    CallbackServers,
    Components,
    Workflows,
}

impl Read {
    /// Whether all of a part was read, so that what is missing was never there.
    fn has_all(&self, part: Part) -> bool {
        !self.broken.contains(&part)
    }
}

fn read(root: &Node, grammar: Grammar<'_>, problems: &mut Problems) -> Option<Read> {
    let mut fields = root.fields(problems)?;
    let controller = fields.optional("controller", |node, problems| {
        controller::read(node, grammar, problems)
    });
    let exposes = section(&mut fields, grammar, ["gateway", "gateways"], expose::read);
    let callback_servers = section(
        &mut fields,
        grammar,
        ["listener", "listeners"],
        callback_server::read,
    );
    let components = identified(
        &mut fields,
        grammar,
        ["component", "components"],
        component::read,
    );
    let workflows = identified(
        &mut fields,
        grammar,
        ["workflow", "workflows"],
        workflow::read,
    );
    let loggers = section(&mut fields, grammar, ["logger", "loggers"], logger::read);
    for key in ["system", "systems", "tracer", "tracers"] {
        if fields.node(key).is_some() {
            let place = fields.place_of(key);
            let problem = Problem::warning(place, format!("\"{key}\" is not read by adit"));
            fields.problems().push(problem);
        }
    }
    // The program's own.
    fields.node("tunnels");
    fields.node("groups");
    let unwise = match fields.boolean("strict") {
        Some(true) => Severity::Error,
        Some(false) | None => Severity::Warning,
    };
    grammar.finish(fields);
    let parts = [
        (Part::Exposes, exposes.is_whole),
        (Part::CallbackServers, callback_servers.is_whole),
        (Part::Components, components.is_whole),
        (Part::Workflows, workflows.is_whole),
    ];
    Some(Read {
        compose: Compose {
            controller,
            exposes: exposes.all,
            callback_servers: callback_servers.all,
            components: components.all,
            workflows: workflows.all,
            loggers: loggers.all,
            private_variables: BTreeSet::new(),
            secret_variables: BTreeSet::new(),
        },
        broken: parts
            .into_iter()
            .filter(|(_, is_whole)| !is_whole)
            .map(|(part, _)| part)
            .collect(),
        unwise,
    })
}

/// What stands under one of the top keys.
struct Section<T> {
    all: Vec<T>,
    /// Whether nothing is wrong in it.
    is_whole: bool,
}

/// How one thing is read.
type Reader<T> = fn(&Node, Grammar<'_>, &mut Problems) -> Option<T>;

/// How one thing is read that may have its id from a key above it.
type IdentifiedReader<T> = fn(&Node, Option<Key<'_>>, Grammar<'_>, &mut Problems) -> Option<T>;

/// An id that stands as a key.
#[derive(Clone, Copy)]
struct Key<'a> {
    text: &'a str,
    place: &'a Place,
}

/// Reads what stands under the key for one or under that for several.
fn section<T>(
    fields: &mut Fields<'_, '_>,
    grammar: Grammar<'_>,
    keys: [&'static str; 2],
    read: Reader<T>,
) -> Section<T> {
    of_either(fields, grammar, keys, |node, _, problems| {
        node.one_or_many(problems, |node, problems| read(node, grammar, problems))
    })
}

/// As [`section`]; several may also stand as a mapping with their ids as keys.
fn identified<T>(
    fields: &mut Fields<'_, '_>,
    grammar: Grammar<'_>,
    keys: [&'static str; 2],
    read: IdentifiedReader<T>,
) -> Section<T> {
    of_either(fields, grammar, keys, |node, key, problems| {
        let is_by_id = key == keys[1]
            && node.as_mapping().is_some_and(|mapping| {
                let mut entries = mapping.entries().iter();
                !mapping.entries().is_empty()
                    && entries.all(|entry| entry.node.as_mapping().is_some())
            });
        if !is_by_id {
            return node.one_or_many(problems, |node, problems| {
                read(node, None, grammar, problems)
            });
        }
        node.named(problems, |entry, problems| {
            let id = Key {
                text: &entry.key,
                place: &entry.place,
            };
            read(&entry.node, Some(id), grammar, problems)
        })
    })
}

fn of_either<'a, T>(
    fields: &mut Fields<'a, '_>,
    grammar: Grammar<'_>,
    keys: [&'static str; 2],
    read: impl FnOnce(&'a Node, &str, &mut Problems) -> Option<Vec<T>>,
) -> Section<T> {
    let key = either(fields, grammar, keys);
    let mut is_whole = true;
    let all = fields.optional(key, |node, problems| {
        let mut found = Problems::new();
        let all = read(node, key, &mut found).map(|all| limited(all, node, &mut found));
        is_whole = !found.has_errors();
        problems.append(found);
        all
    });
    Section {
        all: all.unwrap_or_default(),
        is_whole,
    }
}

/// Most entries of one kind. Some checks compare each with each: jobs in the slowest order take half
/// a second (debug build, 2026-11-22), ten times as many would take most of a minute.
const MOST: usize = 1_000;

/// No more than [`MOST`] of those that a node holds; more are an error.
fn limited<T>(mut all: Vec<T>, node: &Node, problems: &mut Problems) -> Vec<T> {
    if all.len() > MOST {
        let message = format!("there are {} here; {MOST} are the most", all.len());
        problems.push(Problem::error(node.place(), message));
        all.truncate(MOST);
    }
    all
}

/// The key that counts of two that say the same, for one and for several. Where both are given the
/// one for several counts, and the other is doubtful.
fn either(
    fields: &mut Fields<'_, '_>,
    grammar: Grammar<'_>,
    [one, several]: [&'static str; 2],
) -> &'static str {
    match (fields.node(one), fields.node(several)) {
        (Some(_), Some(_)) => {
            let place = fields.place_of(one);
            let message = format!("\"{one}\" is not read, since \"{several}\" is there too");
            let problem = grammar.doubt(place, message);
            fields.problems().push(problem);
            several
        }
        (Some(_), None) => one,
        (None, _) => several,
    }
}

/// Which rules count where.
#[derive(Clone, Copy)]
struct Grammar<'a> {
    strict: &'a BTreeSet<String>,
}

impl Grammar<'_> {
    /// Whether a place is in a file of adit's own.
    fn is_strict(self, place: &Place) -> bool {
        self.strict.contains(&*place.file)
    }

    fn severity(self, place: &Place) -> Severity {
        if self.is_strict(place) {
            Severity::Error
        } else {
            Severity::Warning
        }
    }

    /// Reports unknown keys.
    fn finish(self, fields: Fields<'_, '_>) {
        fields.finish_by(|place| self.severity(place));
    }

    /// A problem with something that model-compose would take without a word.
    fn doubt(self, place: &Place, message: impl Into<String>) -> Problem {
        match self.severity(place) {
            Severity::Error => Problem::error(place, message),
            Severity::Warning => Problem::warning(place, message),
        }
    }
}

#[cfg(test)]
mod tests;
