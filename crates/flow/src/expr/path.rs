//! The way from a source to a value.

use std::borrow::Cow;

use crate::expr::template::Step;
use crate::expr::value::Value;

/// What a path leads to: a value, or a list that a slice or `[*]` has put together.
enum Selected<'v> {
    Value(&'v Value),
    List(Vec<Self>),
}

/// Null, for what is missing.
static NULL: Value = Value::Null;

/// The value that `path` leads to; null if there is none. What needs no new list is borrowed.
pub(crate) fn select<'v>(value: &'v Value, path: &[Step]) -> Cow<'v, Value> {
    match walk(Selected::Value(value), path) {
        Selected::Value(value) => Cow::Borrowed(value),
        list @ Selected::List(_) => Cow::Owned(list.into_value()),
    }
}

/// Recurses once for each `[*]` in the path.
fn walk<'v>(mut selected: Selected<'v>, path: &[Step]) -> Selected<'v> {
    let mut rest = path;
    while let Some((step, after)) = rest.split_first() {
        rest = after;
        selected = match (step, selected) {
            (Step::Name(name), Selected::Value(Value::Map(map))) => {
                Selected::Value(map.get(name).unwrap_or(&NULL))
            }
            (Step::Name(_), _) => Selected::Value(&NULL),
            (Step::Index(index), list) => {
                let item = list.into_items().and_then(|items| {
                    let at = position(*index, items.len())?;
                    items.into_iter().nth(at)
                });
                item.unwrap_or(Selected::Value(&NULL))
            }
            (Step::Slice { from, to }, list) => match list.into_items() {
                Some(items) => Selected::List(slice(items, *from, *to)),
                None => Selected::Value(&NULL),
            },
            (Step::All, list) => {
                return match list.into_items() {
                    Some(items) => {
                        Selected::List(items.into_iter().map(|item| walk(item, rest)).collect())
                    }
                    None => Selected::Value(&NULL),
                };
            }
        };
    }
    selected
}

impl Selected<'_> {
    /// The items, if it is a list.
    fn into_items(self) -> Option<Vec<Self>> {
        match self {
            Self::Value(Value::List(list)) => Some(list.iter().map(Selected::Value).collect()),
            Self::Value(_) => None,
            Self::List(items) => Some(items),
        }
    }

    /// Recurses at most once for each step of the path.
    fn into_value(self) -> Value {
        match self {
            Self::Value(value) => value.clone(),
            Self::List(items) => Value::List(items.into_iter().map(Self::into_value).collect()),
        }
    }
}

/// Where an index leads in a list of `length` items; from its end if it is negative.
fn position(index: i64, length: usize) -> Option<usize> {
    let magnitude = usize::try_from(index.unsigned_abs()).ok()?;
    if index < 0 {
        length.checked_sub(magnitude)
    } else {
        Some(magnitude).filter(|at| *at < length)
    }
}

/// Bounds beyond the list are its ends.
fn slice<T>(mut items: Vec<T>, from: Option<i64>, to: Option<i64>) -> Vec<T> {
    let length = items.len();
    let bound = |at: i64| position(at, length).unwrap_or(if at < 0 { 0 } else { length });
    let from = from.map_or(0, bound);
    items.truncate(to.map_or(length, bound));
    items.drain(..from.min(items.len()));
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::scan::relative_path;

    #[test]
    fn a_path_leads_to_what_is_there_and_else_to_null() {
        let value = Value::from_json(
            r#"{"a": [{"n": 1, "t": ["x", "y"]}, {"n": 2}, 3], "m": {"0": "zero", "이름": "Kim"}}"#
                .as_bytes(),
        )
        .unwrap();
        for (path, found) in [
            ("m.이름", r#""Kim""#),
            ("m.0", r#""zero""#),
            ("m[0]", "null"),
            ("a[0].n", "1"),
            ("a[-1]", "3"),
            ("a[-3].n", "1"),
            ("a[-4]", "null"),
            ("a[3]", "null"),
            ("a.0", "null"),
            ("a.n", "null"),
            ("a[0].n.x", "null"),
            ("a[1:]", r#"[{"n":2},3]"#),
            ("a[:1]", r#"[{"n":1,"t":["x","y"]}]"#),
            ("a[-1:]", "[3]"),
            ("a[:-1][1].n", "2"),
            ("a[5:9]", "[]"),
            ("a[-9:9][2]", "3"),
            ("a[2:1]", "[]"),
            ("a[:].n", "null"),
            ("a[:][*].n", "[1,2,null]"),
            ("a[*].n", "[1,2,null]"),
            ("a[*]", r#"[{"n":1,"t":["x","y"]},{"n":2},3]"#),
            ("a[*].t[*]", r#"[["x","y"],null,null]"#),
            ("a[*].t[0]", r#"["x",null,null]"#),
            ("m[*]", "null"),
            ("m[1:]", "null"),
        ] {
            let steps = relative_path(path).unwrap();
            assert_eq!(select(&value, &steps).to_json().unwrap(), found, "{path}");
        }
    }
}
