//! From bytes to a tree. The grammar is saphyr-parser's; what its events mean is said here.
//!
//! Nothing recurses: the open mappings and lists are a stack whose height is
//! [`limits::DEPTH`] at most. An alias is replaced by a copy of what it stands for, counted before
//! it is made, so that a short file cannot become a large tree.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Tag};

use crate::limits;
use crate::node::{Content, Document, Entry, Mapping, Node, Scalar, Style, Value};
use crate::printable::{printable, quoted};
use crate::problem::{Place, Problem, Problems};
use crate::schema;

/// Reads one YAML document.
///
/// `name` is how messages call the file.
///
/// # Errors
///
/// What is wrong with the file as YAML: not UTF-8, not YAML, over one of the [`limits`], several
/// documents, duplicate keys (each names both places), an unknown tag. All duplicate keys and tags
/// are reported; what leaves the rest without meaning is reported alone.
pub fn parse(name: &str, bytes: &[u8]) -> Result<Document, Problems> {
    let file: Arc<str> = name.into();
    let text = decode(&file, bytes)?;
    let mut builder = Builder::new(file);
    let mut parser = Parser::new_from_str(text);
    loop {
        let step = match parser.next_event() {
            Some(Ok((event, span))) => builder.take(event, &builder.place(span.start)),
            Some(Err(error)) => Err(builder.not_yaml(&error)),
            None => break,
        };
        if let Err(problem) = step {
            builder.problems.push(problem);
            return Err(builder.problems);
        }
    }
    builder.finish()
}

/// The text without a byte order mark.
fn decode<'a>(file: &Arc<str>, bytes: &'a [u8]) -> Result<&'a str, Problem> {
    let start = Place {
        file: Arc::clone(file),
        line: 1,
        column: 1,
    };
    if bytes.len() > limits::FILE_BYTES {
        let message = format!("the file is longer than {} bytes", limits::FILE_BYTES);
        return Err(Problem::error(&start, message));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let (good, _) = bytes.split_at(error.valid_up_to());
        let good = String::from_utf8_lossy(good);
        let line = good.split('\n').count();
        let column = good.rsplit('\n').next().unwrap_or_default();
        let place = Place {
            line: number(line),
            column: number(column.chars().count().saturating_add(1)),
            ..start
        };
        Problem::error(&place, "the file is not text in UTF-8 from here on")
            .with_help("save it with the encoding UTF-8")
    })
}

/// A count of a file's lines or columns, which [`limits::FILE_BYTES`] keeps far below the limit.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// What usually helps against an error of saphyr-parser with these words in it; the first counts.
const HINTS: [(&str, &str); 8] = [
    ("tabs disallowed", TABS),
    ("a tab", TABS),
    ("tab cannot", TABS),
    (
        "mapping values are not allowed",
        "text with \": \" in it needs quotes, and keys of one mapping one indentation",
    ),
    (
        "flow",
        "text with {, }, [, ] or a comma in it needs quotes in a list or mapping of one line",
    ),
    ("unknown anchor", "text that begins with * needs quotes"),
    (
        "unexpected character",
        "text that begins with @, ` or % needs quotes",
    ),
    (
        "unknown escape",
        "in double quotes \\ stands for itself only as \\\\; single quotes take it as it is",
    ),
];

const TABS: &str = "indent with spaces, not with tabs";

/// What is open and what has been seen.
struct Builder {
    file: Arc<str>,
    stack: Vec<Frame>,
    anchors: HashMap<usize, (Rc<Node>, Measure)>,
    total: Measure,
    root: Option<Node>,
    problems: Problems,
}

/// A list or mapping whose end has not come yet.
struct Frame {
    place: Place,
    anchor: usize,
    open: Open,
}

enum Open {
    Sequence(Vec<Node>),
    Mapping(Box<OpenMapping>),
}

#[derive(Default)]
struct OpenMapping {
    mapping: Mapping,
    /// The key whose value comes next.
    key: Option<Key>,
    /// What `<<` was given, and where that stands.
    merged: Option<Node>,
}

enum Key {
    Merge,
    Entry {
        text: String,
        place: Place,
    },
    /// The value is dropped: the key was reported.
    Refused,
}

/// How large a tree is.
#[derive(Clone, Copy, Default)]
struct Measure {
    nodes: usize,
    text_bytes: usize,
    /// Of mappings and lists inside one another.
    height: usize,
}

impl Builder {
    fn new(file: Arc<str>) -> Self {
        Self {
            file,
            stack: Vec::new(),
            anchors: HashMap::new(),
            total: Measure::default(),
            root: None,
            problems: Problems::new(),
        }
    }

    fn place(&self, marker: Marker) -> Place {
        Place {
            file: Arc::clone(&self.file),
            line: number(marker.line()),
            column: number(marker.col().saturating_add(1)),
        }
    }

    fn not_yaml(&self, error: &ScanError) -> Problem {
        let place = self.place(*error.marker());
        let info = error.info();
        let problem = Problem::error(&place, format!("not YAML: {}", printable(info)));
        match HINTS.iter().find(|(words, _)| info.contains(words)) {
            Some((_, help)) => problem.with_help(*help),
            None => problem,
        }
    }

    /// Takes the next event. An error ends the reading.
    fn take(&mut self, event: Event<'_>, place: &Place) -> Result<(), Problem> {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                let message = "a second document begins here, and a file holds one";
                Err(Problem::error(place, message)
                    .with_help("remove the line \"---\", or give each document its own file"))
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
            Event::Alias(anchor) => self.alias(anchor, place),
            Event::Scalar(text, style, anchor, tag) => {
                let scalar = self.scalar(text.into_owned(), style, tag.as_deref(), place);
                let node = Node {
                    place: place.clone(),
                    content: Content::Scalar(scalar),
                };
                self.charge(measure(&node), place)?;
                self.complete(node, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "seq", place);
                self.open(anchor, Open::Sequence(Vec::new()), place)
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "map", place);
                self.open(anchor, Open::Mapping(Box::default()), place)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
        }
    }

    fn open(&mut self, anchor: usize, open: Open, place: &Place) -> Result<(), Problem> {
        let one = Measure {
            nodes: 1,
            ..Measure::default()
        };
        self.charge(one, place)?;
        check_depth(self.stack.len().saturating_add(1), place)?;
        self.stack.push(Frame {
            place: place.clone(),
            anchor,
            open,
        });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Problem> {
        let Some(frame) = self.stack.pop() else {
            return Ok(());
        };
        let content = match frame.open {
            Open::Sequence(nodes) => Content::Sequence(nodes),
            Open::Mapping(open) => Content::Mapping(self.merge(*open)),
        };
        let node = Node {
            place: frame.place,
            content,
        };
        self.complete(node, frame.anchor)
    }

    /// The mapping with what `<<` adds to it: its own keys win, then earlier mappings before later.
    fn merge(&mut self, open: OpenMapping) -> Mapping {
        let mut mapping = open.mapping;
        let Some(merged) = open.merged else {
            return mapping;
        };
        let sources = match merged.content {
            Content::Sequence(nodes) => nodes,
            Content::Scalar(_) | Content::Mapping(_) => vec![merged],
        };
        for source in sources {
            let (place, found) = (source.place.clone(), source.describe());
            if let Content::Mapping(source) = source.content {
                for entry in source.into_entries() {
                    mapping.insert_new(entry);
                }
            } else {
                let message = format!("<< wants a mapping or a list of mappings, found {found}");
                let problem = Problem::error(&place, message);
                self.problems
                    .push(problem.with_help("for example: <<: *defaults"));
            }
        }
        mapping
    }

    /// A node is whole: it is remembered under its anchor and given to what is open.
    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), Problem> {
        // saphyr-parser numbers anchors from 1; 0 is none.
        if anchor != 0 {
            let measure = measure(&node);
            self.charge(measure, &node.place)?;
            self.anchors
                .insert(anchor, (Rc::new(node.clone()), measure));
        }
        self.deliver(node);
        Ok(())
    }

    fn alias(&mut self, anchor: usize, place: &Place) -> Result<(), Problem> {
        let Some((node, measure)) = self.anchors.get(&anchor) else {
            let message = "this alias stands inside of what it stands for";
            return Err(Problem::error(place, message));
        };
        let node = Rc::clone(node);
        let measure = *measure;
        let height = self.stack.len().saturating_add(measure.height);
        check_depth(height, place)?;
        self.charge(measure, place)?;
        self.deliver(Node::clone(&node));
        Ok(())
    }

    /// Counts what is about to be kept.
    fn charge(&mut self, more: Measure, place: &Place) -> Result<(), Problem> {
        self.total.nodes = self.total.nodes.saturating_add(more.nodes);
        self.total.text_bytes = self.total.text_bytes.saturating_add(more.text_bytes);
        let (nodes, bytes) = (limits::NODES, limits::TEXT_BYTES);
        if self.total.nodes > nodes || self.total.text_bytes > bytes {
            let message =
                format!("more than {nodes} nodes or {bytes} bytes of text, aliases replaced");
            return Err(Problem::error(place, message));
        }
        Ok(())
    }

    /// Gives a node to the innermost open list or mapping.
    fn deliver(&mut self, node: Node) {
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(node);
            return;
        };
        let open = match &mut frame.open {
            Open::Sequence(nodes) => {
                nodes.push(node);
                return;
            }
            Open::Mapping(open) => open,
        };
        match open.key.take() {
            None => open.key = Some(key(open, node, &mut self.problems)),
            Some(Key::Merge) => open.merged = Some(node),
            Some(Key::Entry { text, place }) => open.mapping.insert_new(Entry {
                key: text,
                place,
                node,
            }),
            Some(Key::Refused) => {}
        }
    }

    fn scalar(
        &mut self,
        text: String,
        style: ScalarStyle,
        tag: Option<&Tag>,
        place: &Place,
    ) -> Scalar {
        let style = match (style, tag) {
            (ScalarStyle::Plain, None) => Style::Plain,
            _ => Style::Fixed,
        };
        let value = match (style, tag) {
            (Style::Plain, _) => schema::resolve(&text),
            (Style::Fixed, None) => Value::Text,
            (Style::Fixed, Some(tag)) => self.tagged(tag, &text, place),
        };
        Scalar {
            text,
            value,
            style,
            variables: Vec::new(),
        }
    }

    /// The value of a scalar whose type is said by a tag.
    fn tagged(&mut self, tag: &Tag, text: &str, place: &Place) -> Value {
        let kind = core_tag(tag);
        let value = schema::resolve(text);
        match (kind, value) {
            (Some("" | "str"), _) => Value::Text,
            (Some("null"), Value::Null)
            | (Some("bool"), Value::Boolean(_))
            | (Some("int"), Value::Integer(_))
            | (Some("float"), Value::Float(_)) => value,
            #[expect(clippy::cast_precision_loss, reason = "!!float asks for it")]
            #[expect(clippy::as_conversions, reason = "no other way from i128 to f64")]
            (Some("float"), Value::Integer(integer)) => Value::Float(integer as f64),
            (Some("null" | "bool" | "int" | "float"), _) => {
                let message = format!("{} is not {}", quoted(text), printable(&tag.to_string()));
                self.problems.push(Problem::error(place, message));
                Value::Text
            }
            _ => {
                self.problems.push(unknown_tag(tag, place));
                Value::Text
            }
        }
    }

    /// Reports a tag on a list or mapping that is neither `wanted` nor `!`.
    fn check_tag(&mut self, tag: Option<&Tag>, wanted: &str, place: &Place) {
        if let Some(tag) = tag
            && core_tag(tag).is_none_or(|kind| !kind.is_empty() && kind != wanted)
        {
            self.problems.push(unknown_tag(tag, place));
        }
    }

    fn finish(self) -> Result<Document, Problems> {
        if self.problems.has_errors() {
            return Err(self.problems);
        }
        let root = self.root.unwrap_or(Node {
            place: Place {
                file: self.file,
                line: 1,
                column: 1,
            },
            content: Content::Scalar(Scalar {
                text: String::new(),
                value: Value::Null,
                style: Style::Plain,
                variables: Vec::new(),
            }),
        });
        Ok(Document { root })
    }
}

/// What `node` means as the next key of `open`.
fn key(open: &OpenMapping, node: Node, problems: &mut Problems) -> Key {
    let found = node.describe();
    let Content::Scalar(scalar) = node.content else {
        let message = format!("a key is a word, found {found}");
        problems.push(Problem::error(&node.place, message));
        return Key::Refused;
    };
    if scalar.text.is_empty() && scalar.value == Value::Null {
        problems.push(Problem::error(
            &node.place,
            "a key is missing before the colon",
        ));
        return Key::Refused;
    }
    if scalar.style == Style::Plain && scalar.text == "<<" {
        if open.merged.is_some() {
            let problem = Problem::error(&node.place, "<< is given twice in one mapping");
            problems.push(problem.with_help("for example: <<: [*first, *second]"));
            return Key::Refused;
        }
        return Key::Merge;
    }
    if let Some(first) = open.mapping.entry(&scalar.text) {
        let shown = quoted(&scalar.text);
        let message = format!("the key {shown} is given already at {}", first.place);
        problems.push(Problem::error(&node.place, message).with_help("remove one of the two"));
        return Key::Refused;
    }
    Key::Entry {
        text: scalar.text,
        place: node.place,
    }
}

/// The name of a tag of the core schema; empty for `!`, which leaves a text a text.
fn core_tag(tag: &Tag) -> Option<&str> {
    if tag.is_yaml_core_schema() {
        return Some(&tag.suffix);
    }
    match (tag.handle.as_str(), tag.suffix.as_str()) {
        ("", "!") | ("!", "") => Some(""),
        ("", suffix) => suffix.strip_prefix("tag:yaml.org,2002:"),
        _ => None,
    }
}

fn unknown_tag(tag: &Tag, place: &Place) -> Problem {
    let shown = printable(&tag.to_string());
    Problem::error(place, format!("the tag {shown} means nothing here"))
        .with_help("text that begins with ! needs quotes")
}

fn check_depth(depth: usize, place: &Place) -> Result<(), Problem> {
    if depth > limits::DEPTH {
        let message = format!(
            "more than {} mappings and lists in one another",
            limits::DEPTH
        );
        return Err(Problem::error(place, message));
    }
    Ok(())
}

/// The size of a whole tree. Recurses at most [`limits::DEPTH`] times.
fn measure(node: &Node) -> Measure {
    let mut total = Measure {
        nodes: 1,
        ..Measure::default()
    };
    let mut add = |part: Measure| {
        total.nodes = total.nodes.saturating_add(part.nodes);
        total.text_bytes = total.text_bytes.saturating_add(part.text_bytes);
        total.height = total.height.max(part.height.saturating_add(1));
    };
    match &node.content {
        Content::Scalar(scalar) => total.text_bytes = scalar.text.len(),
        Content::Sequence(nodes) => {
            add(Measure::default());
            nodes.iter().map(measure).for_each(add);
        }
        Content::Mapping(mapping) => {
            add(Measure::default());
            for entry in mapping.entries() {
                add(measure(&entry.node));
                add(Measure {
                    text_bytes: entry.key.len(),
                    ..Measure::default()
                });
            }
        }
    }
    total
}

#[cfg(test)]
mod tests;
