//! The input of a run, which comes in parts: a line has a longest length, and an input a longer one.

use adit_flow::expr::Value;

/// Most bytes of an input.
pub(crate) const INPUT: usize = 16 << 20;

/// The parts of an input that have come.
#[derive(Debug, Default)]
pub(super) struct Input(String);

impl Input {
    /// Takes a part.
    ///
    /// # Errors
    ///
    /// It is too much.
    pub(super) fn push(&mut self, part: &str) -> Result<(), String> {
        if self.0.len().saturating_add(part.len()) > INPUT {
            return Err(format!("the input has more than {INPUT} bytes"));
        }
        self.0.push_str(part);
        Ok(())
    }

    /// What the parts say together; without any, nothing is said.
    ///
    /// # Errors
    ///
    /// It is no JSON.
    pub(super) fn value(&self) -> Result<Value, String> {
        if self.0.is_empty() {
            return Ok(Value::Null);
        }
        let value = Value::from_json(self.0.as_bytes());
        value.map_err(|error| format!("the input is not understood: {error}"))
    }
}
