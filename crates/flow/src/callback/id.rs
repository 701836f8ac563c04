//! Ids: what a delivery and its waiter have in common, and what runs and waiters are called by.

use std::sync::Arc;

use super::limits;
use crate::expr::{NoTextError, Value};

/// What says whose a delivery is. Ids are compared as text: 8 and "8" are one.
///
/// It is not empty and has at most [`limits::ID_BYTES`] bytes. It may be a stranger's text, so it
/// is escaped before it is shown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallbackId(Arc<str>);

/// Why a value is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// It is null or an empty text, so it would be the same of every delivery that lacks it.
    #[error("the id is empty")]
    Empty,
    /// It is longer than any id.
    #[error("the id is longer than {} bytes", limits::ID_BYTES)]
    Long,
    /// It is bytes or a stream, for example.
    #[error("the id cannot be compared")]
    NoText(#[from] NoTextError),
}

impl CallbackId {
    /// The id where nothing is said: model-compose's own.
    pub fn unsaid() -> Self {
        Self(UNSAID.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&Value> for CallbackId {
    type Error = IdError;

    fn try_from(value: &Value) -> Result<Self, IdError> {
        let text = value.text_form()?;
        if text.is_empty() {
            return Err(IdError::Empty);
        }
        if text.len() > limits::ID_BYTES {
            return Err(IdError::Long);
        }
        Ok(Self(text.as_ref().into()))
    }
}

/// Which callback, counted by the caller. Where a job does not say which callback completes it, all
/// callbacks that may are one here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallbackIndex(pub u32);

/// Which run, counted by the caller. It may have several waiters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunNumber(pub u64);

/// Which waiter. No two of one process have the same; a later one is larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub(super) u64);

const UNSAID: &str = "__callback__";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_compare_as_text() {
        for (json, id) in [
            ("8", Ok("8")),
            (r#""8""#, Ok("8")),
            ("true", Ok("true")),
            ("1.5", Ok("1.5")),
            (r#"{"a":[1]}"#, Ok(r#"{"a":[1]}"#)),
            (r#""x\u0000y""#, Ok("x\0y")),
            ("null", Err(IdError::Empty)),
            (r#""""#, Err(IdError::Empty)),
        ] {
            let value = Value::from_json(json.as_bytes()).unwrap();
            let read = CallbackId::try_from(&value);
            assert_eq!(read.as_ref().map(CallbackId::as_str), id.as_ref().copied());
        }
    }

    #[test]
    fn an_id_has_an_end_and_a_text() {
        let longest = Value::from("a".repeat(limits::ID_BYTES));
        assert!(CallbackId::try_from(&longest).is_ok());
        let longer = Value::from("a".repeat(limits::ID_BYTES + 1));
        assert_eq!(CallbackId::try_from(&longer), Err(IdError::Long));
        let bytes = Value::Bytes([0xff].as_slice().into());
        let read = CallbackId::try_from(&bytes);
        assert!(matches!(read, Err(IdError::NoText(_))));
    }
}
