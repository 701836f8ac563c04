//! What the tags of YAML's core schema mean; there are no others.

use saphyr_parser::{ScalarStyle, Tag};

use crate::node::{Scalar, Style, Value};
use crate::printable::{printable, quoted};
use crate::problem::{Place, Problem, Problems};
use crate::schema;

/// The scalar of one event.
pub(super) fn scalar(
    text: String,
    style: ScalarStyle,
    tag: Option<&Tag>,
    place: &Place,
    problems: &mut Problems,
) -> Scalar {
    let style = match (style, tag) {
        (ScalarStyle::Plain, None) => Style::Plain,
        _ => Style::Fixed,
    };
    let value = match (style, tag) {
        (Style::Plain, _) => schema::resolve(&text),
        (Style::Fixed, None) => Value::Text,
        (Style::Fixed, Some(tag)) => tagged(tag, &text, place, problems),
    };
    Scalar {
        text,
        value,
        style,
        variables: Vec::new(),
        foreign: Vec::new(),
    }
}

/// The value of a scalar whose type is said by a tag.
fn tagged(tag: &Tag, text: &str, place: &Place, problems: &mut Problems) -> Value {
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
            problems.push(Problem::error(place, message));
            Value::Text
        }
        _ => {
            problems.push(unknown_tag(tag, place));
            Value::Text
        }
    }
}

/// Reports a tag on a list or mapping that is neither `wanted` nor `!`.
pub(super) fn check(tag: Option<&Tag>, wanted: &str, place: &Place, problems: &mut Problems) {
    if let Some(tag) = tag
        && core_tag(tag).is_none_or(|kind| !kind.is_empty() && kind != wanted)
    {
        problems.push(unknown_tag(tag, place));
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
