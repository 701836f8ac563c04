//! What the events of one document make: a tree, or problems.
//!
//! Nothing recurses while it grows: the open mappings and lists are a stack whose height is
//! [`limits::DEPTH`] at most. An alias is replaced by a copy of what it stands for, counted before
//! it is made, so that a short file cannot become a large tree.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use saphyr_parser::Event;

use super::tag;
use crate::limits;
use crate::node::{Content, Document, Entry, Mapping, Node, Scalar, Style, Value};
use crate::printable::quoted;
use crate::problem::{Place, Problem, Problems};

/// What is open and what has been seen.
#[derive(Debug)]
pub(super) struct Builder {
    file: Arc<str>,
    stack: Vec<Frame>,
    anchors: HashMap<usize, (Rc<Node>, Measure)>,
    total: Measure,
    root: Option<Node>,
    problems: Problems,
}

/// A list or mapping whose end has not come yet.
#[derive(Debug)]
struct Frame {
    place: Place,
    anchor: usize,
    open: Open,
}

#[derive(Debug)]
enum Open {
    Sequence(Vec<Node>),
    Mapping(Box<OpenMapping>),
}

#[derive(Debug, Default)]
struct OpenMapping {
    mapping: Mapping,
    /// The key whose value comes next.
    key: Option<Key>,
    /// What `<<` was given, and where that stands.
    merged: Option<Node>,
}

#[derive(Debug)]
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
#[derive(Clone, Copy, Debug, Default)]
struct Measure {
    nodes: usize,
    text_bytes: usize,
    /// Of mappings and lists inside one another.
    height: usize,
}

impl Builder {
    pub(super) fn new(file: Arc<str>) -> Self {
        Self {
            file,
            stack: Vec::new(),
            anchors: HashMap::new(),
            total: Measure::default(),
            root: None,
            problems: Problems::new(),
        }
    }

    /// Takes the next event. An error ends the reading.
    pub(super) fn take(&mut self, event: Event<'_>, place: &Place) -> Result<(), Problem> {
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
                let text = text.into_owned();
                let scalar = tag::scalar(text, style, tag.as_deref(), place, &mut self.problems);
                let node = Node {
                    place: place.clone(),
                    content: Content::Scalar(scalar),
                };
                self.charge(measure(&node), place)?;
                self.complete(node, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                tag::check(tag.as_deref(), "seq", place, &mut self.problems);
                self.open(anchor, Open::Sequence(Vec::new()), place)
            }
            Event::MappingStart(anchor, tag) => {
                tag::check(tag.as_deref(), "map", place, &mut self.problems);
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

    /// All problems, with one after which nothing can be read.
    pub(super) fn fail(mut self, problem: Problem) -> Problems {
        self.problems.push(problem);
        self.problems
    }

    /// The document, after the last event.
    pub(super) fn finish(self) -> Result<Document, Problems> {
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
                foreign: Vec::new(),
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
