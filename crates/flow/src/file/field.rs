//! Readers that several areas use.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use adit_text::{
    Content, Fields, Node, Place, Problem, Problems, Scalar, SecretSource, Value, show,
};

use super::{Grammar, Key};
use crate::expr::{self, OPERATORS, parse_duration};
use crate::model::{DEFAULT, Id, Placed, Setting, Text, Written};

/// What a message shows as a good duration.
const DURATION_EXAMPLE: &str = "30s";

/// Text with variables or without.
pub(super) fn text(node: &Node, problems: &mut Problems) -> Option<Text> {
    node.text(problems)?;
    node.as_scalar()
        .map(|scalar| Text::new(scalar, node.place()))
}

/// A text that is kept as it is.
pub(super) fn owned(node: &Node, problems: &mut Problems) -> Option<String> {
    node.text(problems).map(str::to_owned)
}

/// The id of something.
pub(super) fn name(node: &Node, problems: &mut Problems) -> Option<Id> {
    text(node, problems).map(Id::new)
}

/// A port, with its place.
pub(super) fn port(node: &Node, problems: &mut Problems) -> Option<Placed<u16>> {
    node.port(problems)
        .map(|port| Placed::new(port, node.place()))
}

/// A value of any shape. Recurses at most [`adit_text::limits::DEPTH`] times.
pub(super) fn tree(node: &Node) -> Written {
    match node.content() {
        Content::Scalar(scalar) if scalar.value() == Value::Text => {
            Written::Text(Text::new(scalar, node.place()))
        }
        Content::Scalar(scalar) => Written::Plain(scalar.clone()),
        Content::Sequence(nodes) => Written::List(nodes.iter().map(tree).collect()),
        Content::Mapping(mapping) => {
            let entries = mapping.entries().iter();
            Written::Mapping(
                entries
                    .map(|entry| (entry.key.clone(), tree(&entry.node)))
                    .collect(),
            )
        }
    }
}

/// A field with a value of any shape.
pub(super) fn any(fields: &mut Fields<'_, '_>, key: &'static str) -> Option<Written> {
    fields.optional(key, |node, problems| {
        operators(node, problems);
        Some(tree(node))
    })
}

/// Reports operators. Recurses at most [`adit_text::limits::DEPTH`] times.
fn operators(node: &Node, problems: &mut Problems) {
    match node.content() {
        Content::Scalar(_) => {}
        Content::Sequence(nodes) => {
            for node in nodes {
                let is_spread = |scalar: &Scalar| expr::is_spread(scalar.text(), scalar.foreign());
                if node.as_scalar().is_some_and(is_spread) {
                    problems.push(operator("...", node.place()));
                }
                operators(node, problems);
            }
        }
        Content::Mapping(mapping) => {
            for entry in mapping.entries() {
                if OPERATORS.contains(&entry.key.as_str()) {
                    problems.push(operator(&entry.key, &entry.place));
                }
                operators(&entry.node, problems);
            }
        }
    }
}

fn operator(operator: &str, place: &Place) -> Problem {
    Problem::error(
        place,
        format!("adit does not have the operator {}", show(operator)),
    )
}

/// Texts by name; nothing is an empty text.
pub(super) fn texts(fields: &mut Fields<'_, '_>, key: &'static str) -> Vec<(String, Text)> {
    let texts = fields.named(key, |entry, problems| {
        let text = if entry.node.is_null() {
            Text::implied("", entry.node.place())
        } else {
            text(&entry.node, problems)?
        };
        Some((entry.key.clone(), text))
    });
    texts.unwrap_or_default()
}

/// Headers, of which one without a value is none.
pub(super) fn headers(fields: &mut Fields<'_, '_>) -> Vec<(String, Text)> {
    let headers = fields.named("headers", |entry, problems| {
        if entry.node.is_null() {
            return None;
        }
        Some((entry.key.clone(), text(&entry.node, problems)?))
    });
    headers.unwrap_or_default()
}

/// Values of any shape by name.
pub(super) fn trees(fields: &mut Fields<'_, '_>, key: &'static str) -> Vec<(String, Written)> {
    let trees = fields.named(key, |entry, problems| {
        operators(&entry.node, problems);
        Some((entry.key.clone(), tree(&entry.node)))
    });
    trees.unwrap_or_default()
}

/// A list of texts, or one of them alone.
pub(super) fn words(fields: &mut Fields<'_, '_>, key: &'static str) -> Vec<String> {
    fields.one_or_many(key, owned).unwrap_or_default()
}

/// A duration.
pub(super) fn duration(node: &Node, problems: &mut Problems) -> Option<Duration> {
    node.parsed("a duration", DURATION_EXAMPLE, problems, parse_duration)
}

/// Something that a file may also turn off.
pub(super) enum Switched<T> {
    On(T),
    Off,
}

impl<T> Switched<T> {
    /// What it is, if it is on.
    pub(super) fn on(self) -> Option<T> {
        match self {
            Self::On(value) => Some(value),
            Self::Off => None,
        }
    }
}

/// `true` for `usual`, `false`, or what `read` makes of a mapping.
pub(super) fn switched<T>(
    node: &Node,
    problems: &mut Problems,
    usual: T,
    read: impl FnOnce(&Node, &mut Problems) -> Option<T>,
) -> Option<Switched<T>> {
    if node.as_mapping().is_some() {
        return read(node, problems).map(Switched::On);
    }
    let is_on = node.boolean(problems)?;
    Some(if is_on {
        Switched::On(usual)
    } else {
        Switched::Off
    })
}

/// What `read` makes of the node, unless its text holds variables.
pub(super) fn setting<T>(
    node: &Node,
    problems: &mut Problems,
    read: impl FnOnce(&Node, &mut Problems) -> Option<T>,
) -> Option<Setting<T>> {
    let text = node
        .as_scalar()
        .map(|scalar| Text::new(scalar, node.place()));
    match text {
        Some(text) if !text.is_literal() => Some(Setting::Rendered(text)),
        _ => read(node, problems).map(Setting::Known),
    }
}

/// A field with a duration that may hold variables.
pub(super) fn duration_setting(
    fields: &mut Fields<'_, '_>,
    key: &'static str,
) -> Option<Setting<Duration>> {
    fields.optional(key, |node, problems| setting(node, problems, duration))
}

/// A whole number from 1.
pub(super) fn count(node: &Node, problems: &mut Problems) -> Option<NonZeroU32> {
    let number = node.integer(1..=u32::MAX.into(), problems)?;
    u32::try_from(number).ok().and_then(NonZeroU32::new)
}

/// A field with a number of which 0 is none.
pub(super) fn limit(fields: &mut Fields<'_, '_>, key: &'static str) -> Option<NonZeroU32> {
    let number = fields.integer(key, 0..=u32::MAX.into())?;
    u32::try_from(number).ok().and_then(NonZeroU32::new)
}

/// A field with a program and its arguments.
pub(super) fn arguments(node: &Node, problems: &mut Problems) -> Option<Vec<Text>> {
    if node.as_sequence().is_none() {
        let message = format!("wanted a list of arguments, found {}", node.describe());
        let help = "no shell reads it; for example: [\"sh\", \"-c\", \"df -h | tail -n 1\"]";
        problems.push(Problem::error(node.place(), message).with_help(help));
        return None;
    }
    let arguments = node.list(problems, text)?;
    if arguments.is_empty() {
        let problem = Problem::error(node.place(), "the list names no program");
        problems.push(problem);
        return None;
    }
    Some(arguments)
}

/// A list of programs with their arguments, or one of them alone.
pub(super) fn commands(node: &Node, problems: &mut Problems) -> Option<Vec<Vec<Text>>> {
    let is_several = node.as_sequence().is_some_and(|nodes| {
        nodes
            .first()
            .is_some_and(|node| node.as_sequence().is_some())
    });
    if is_several {
        node.list(problems, arguments)
    } else {
        arguments(node, problems).map(|arguments| vec![arguments])
    }
}

/// An id: what stands as a key above, or in the field, or `unnamed`.
pub(super) fn id(fields: &mut Fields<'_, '_>, above: Option<Key<'_>>, unnamed: &str) -> Id {
    let written = fields.optional("id", name);
    let id = match (above, written) {
        (None, Some(written)) => written,
        (None, None) => implied(unnamed, fields.place()),
        (Some(above), None) => implied(above.text, above.place),
        (Some(above), Some(written)) => {
            if written.as_str() != above.text {
                let shown = show(above.text);
                fields.refuse("id", format!("the key above has another id, {shown}"));
            }
            written
        }
    };
    if id.as_str() == DEFAULT {
        let message = format!("no id is \"{DEFAULT}\", which stands for the one that is meant");
        let problem = Problem::error(id.place(), message);
        fields.problems().push(problem);
    }
    id
}

/// A path of a URL: it begins with a slash and ends without one. Empty is none.
pub(super) fn base_path(fields: &mut Fields<'_, '_>) -> String {
    let path = fields.text("base_path").unwrap_or_default();
    let path = path.trim_matches('/');
    match path {
        "" => String::new(),
        path => format!("/{path}"),
    }
}

/// The host that something listens at.
pub(super) fn host(fields: &mut Fields<'_, '_>, usual: &str) -> String {
    fields.text("host").unwrap_or(usual).to_owned()
}

/// A port that something listens at.
pub(super) fn listen_port(fields: &mut Fields<'_, '_>, usual: u16) -> Placed<u16> {
    let port = fields.optional("port", port);
    port.unwrap_or_else(|| Placed::new(usual, fields.place()))
}

/// Where something is run. What we have is the process of adit itself and processes of their own;
/// both are alike here. What would be shut in elsewhere is not run unshut.
pub(super) fn runtime(fields: &mut Fields<'_, '_>) {
    fields.optional("runtime", |node, problems| {
        let scalar = match node.as_mapping() {
            Some(mapping) => mapping.entry("type").map(|entry| &entry.node),
            None => Some(node),
        };
        let Some(node) = scalar else {
            problems.push(Problem::error(node.place(), "the key \"type\" is missing"));
            return None;
        };
        match node.as_scalar().map(Scalar::text) {
            Some("native" | "embedded" | "process") => Some(()),
            Some("docker" | "virtualenv" | "apple-container") => {
                let message = "adit runs programs as they are, in no container or environment";
                let problem = Problem::error(node.place(), message);
                problems.push(problem.with_help("write \"native\" if they may run here"));
                None
            }
            _ => node.choice(
                &[("native", ()), ("embedded", ()), ("process", ())],
                problems,
            ),
        }
    });
}

/// A secret. In a file of adit's own it is named; elsewhere it may also stand there itself.
pub(super) fn secret(
    node: &Node,
    grammar: Grammar<'_>,
    problems: &mut Problems,
) -> Option<SecretSource> {
    if let Some(scalar) = node.as_scalar()
        && is_written_out(scalar)
        && !grammar.is_strict(node.place())
    {
        let message = "a secret stands here itself, for everyone who reads the file";
        let problem = Problem::warning(node.place(), message);
        problems.push(problem.with_help("name it by ${env.NAME}, env:NAME or file:PATH"));
        return Some(SecretSource::Value(scalar.text().to_owned()));
    }
    node.secret(problems)
}

fn is_written_out(scalar: &Scalar) -> bool {
    let text = scalar.text();
    let is_named = text.starts_with("file:") || text.starts_with("env:");
    !scalar.is_from_environment() && !text.is_empty() && !is_named && scalar.value() != Value::Null
}

/// A path as it was written.
pub(super) fn path(fields: &mut Fields<'_, '_>, key: &'static str) -> Option<PathBuf> {
    fields.path(key)
}

/// A warning that a key is known and without effect here.
pub(super) fn without_effect(fields: &mut Fields<'_, '_>, key: &'static str, reason: &str) {
    if fields.node(key).is_some() {
        let message = format!("\"{key}\" has no effect: {reason}");
        let problem = Problem::warning(fields.place_of(key), message);
        fields.problems().push(problem);
    }
}

/// Whether the node has one of these keys.
pub(super) fn has_any(node: &Node, keys: &[&str]) -> bool {
    node.as_mapping()
        .is_some_and(|mapping| keys.iter().any(|key| mapping.entry(key).is_some()))
}

/// Reports keys of the flat shape that stand beside the nested one and are not read.
pub(super) fn left_over(
    node: &Node,
    fields: &mut Fields<'_, '_>,
    keys: &[&'static str],
    nested: &str,
    grammar: Grammar<'_>,
) {
    for key in keys {
        let Some(entry) = node.as_mapping().and_then(|mapping| mapping.entry(key)) else {
            continue;
        };
        fields.node(key);
        let message = format!("\"{key}\" is not read here, since \"{nested}\" is there too");
        let problem = grammar.doubt(&entry.place, message);
        let help = format!("move it into \"{nested}\"");
        fields.problems().push(problem.with_help(help));
    }
}

/// The id of something that says none.
pub(super) fn implied(id: &str, place: &Place) -> Id {
    Id::new(Text::implied(id, place))
}
