//! Forms: keys and values, and what brackets in keys mean.

use bytes::Bytes;

use super::{ContentError, FIELDS, Keys};
use crate::expr::{Map, Value, limits};

/// The most brackets of a key: as deep as JSON may be.
pub(super) const DEPTH: usize = limits::JSON_DEPTH;

/// The fields that were read so far.
pub(super) struct Form {
    keys: Keys,
    count: usize,
    map: Map,
}

/// A step into a value.
#[derive(Clone, Copy)]
enum Step<'k> {
    Key(&'k str),
    Push,
}

/// Reads `a=1&b=2`.
pub(super) fn read(body: &Bytes, keys: Keys) -> Result<Value, ContentError> {
    let mut form = Form::new(keys);
    for (key, value) in form_urlencoded::parse(body) {
        form.add(&key, Value::Text(value.into_owned()))?;
    }
    Ok(form.into_value())
}

impl Form {
    pub(super) fn new(keys: Keys) -> Self {
        Self {
            keys,
            count: 0,
            map: Map::new(),
        }
    }

    /// Adds a field, a text or bytes.
    pub(super) fn add(&mut self, key: &str, value: Value) -> Result<(), ContentError> {
        debug_assert!(matches!(value, Value::Text(_) | Value::Bytes(_)));
        if self.count == FIELDS {
            return Err(ContentError::Fields);
        }
        self.count += 1;
        let (key, steps) = match self.keys {
            Keys::Plain => (key, Vec::new()),
            Keys::Nested => split(key)?,
        };
        let mut at = self.map.entry(key.to_owned()).or_default();
        for step in steps {
            at = enter(at, step)?;
        }
        put(at, value)
    }

    pub(super) fn into_value(self) -> Value {
        Value::Map(self.map)
    }
}

/// Where a step leads; what is not there yet comes to be.
fn enter<'v>(value: &'v mut Value, step: Step<'_>) -> Result<&'v mut Value, ContentError> {
    if value.is_null() {
        *value = match step {
            Step::Key(_) => Value::Map(Map::new()),
            Step::Push => Value::List(Vec::new()),
        };
    }
    match (step, value) {
        (Step::Key(key), Value::Map(map)) => Ok(map.entry(key.to_owned()).or_default()),
        (Step::Push, Value::List(list)) => {
            list.push(Value::Null);
            list.last_mut().ok_or(ContentError::Conflict)
        }
        _ => Err(ContentError::Conflict),
    }
}

/// The first value stands alone; with the second, both are in a list.
fn put(at: &mut Value, value: Value) -> Result<(), ContentError> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "fields are texts and bytes")]
    match at {
        Value::Null => *at = value,
        Value::List(list) => list.push(value),
        Value::Text(_) | Value::Bytes(_) => {
            *at = Value::List(vec![std::mem::take(at), value]);
        }
        // No field has a value of another kind, so this is a map.
        _ => return Err(ContentError::Conflict),
    }
    Ok(())
}

/// `a[b][]` into `a` and its steps. A key that is not written like that is one without steps.
fn split(key: &str) -> Result<(&str, Vec<Step<'_>>), ContentError> {
    let Some((name, rest)) = key.split_once('[') else {
        return Ok((key, Vec::new()));
    };
    let Some(inside) = rest.strip_suffix(']').filter(|_| !name.is_empty()) else {
        return Ok((key, Vec::new()));
    };
    let mut steps = Vec::new();
    for step in inside.split("][") {
        if step.contains(['[', ']']) {
            return Ok((key, Vec::new()));
        }
        if steps.len() == DEPTH {
            return Err(ContentError::Depth);
        }
        steps.push(if step.is_empty() {
            Step::Push
        } else {
            Step::Key(step)
        });
    }
    Ok((name, steps))
}
