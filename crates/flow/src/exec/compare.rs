//! Conditions: how values are compared.

use std::cmp::Ordering;

use regex::RegexBuilder;

use super::error::JobError;
use super::limits;
use crate::expr::Value;
use crate::model::job::Operator;

/// Whether a comparison holds.
///
/// Numbers are equal by their value, whether written whole or not; a number and a text never are.
/// Numbers are ordered with numbers and texts with texts, by their characters. `match` searches the
/// text for a regular expression; `^` and `$` tie it to the ends.
///
/// # Errors
///
/// What cannot be compared so: an order of values of two kinds, `in` without a list, a text that is
/// no regular expression.
pub(super) fn holds(operator: Operator, input: &Value, value: &Value) -> Result<bool, JobError> {
    Ok(match operator {
        Operator::Equal => is_same(input, value),
        Operator::NotEqual => !is_same(input, value),
        Operator::Greater => order(input, value)? == Ordering::Greater,
        Operator::GreaterOrEqual => order(input, value)? != Ordering::Less,
        Operator::Less => order(input, value)? == Ordering::Less,
        Operator::LessOrEqual => order(input, value)? != Ordering::Greater,
        Operator::In => is_in(input, value)?,
        Operator::NotIn => !is_in(input, value)?,
        Operator::StartsWith => text(input)?.starts_with(text(value)?),
        Operator::EndsWith => text(input)?.ends_with(text(value)?),
        Operator::Match => matches(text(input)?, text(value)?)?,
    })
}

/// Whether two values are the same.
pub(super) fn is_same(one: &Value, other: &Value) -> bool {
    match (number(one), number(other)) {
        (Some(one), Some(other)) => compare(one, other) == Some(Ordering::Equal),
        _ => one == other,
    }
}

#[derive(Clone, Copy)]
enum Number {
    Integer(i128),
    Float(f64),
}

fn number(value: &Value) -> Option<Number> {
    match value {
        Value::Integer(integer) => Some(Number::Integer(*integer)),
        Value::Float(float) => Some(Number::Float(*float)),
        Value::Null
        | Value::Boolean(_)
        | Value::Text(_)
        | Value::List(_)
        | Value::Map(_)
        | Value::Bytes(_)
        | Value::Handle(_)
        | Value::Pending(_) => None,
    }
}

fn compare(one: Number, other: Number) -> Option<Ordering> {
    match (one, other) {
        (Number::Integer(one), Number::Integer(other)) => Some(one.cmp(&other)),
        (Number::Float(one), Number::Float(other)) => one.partial_cmp(&other),
        (Number::Integer(one), Number::Float(other)) => float(one).partial_cmp(&other),
        (Number::Float(one), Number::Integer(other)) => one.partial_cmp(&float(other)),
    }
}

/// The nearest float, as text would be read.
fn float(integer: i128) -> f64 {
    integer.to_string().parse().unwrap_or(f64::NAN)
}

fn order(input: &Value, value: &Value) -> Result<Ordering, JobError> {
    let found = match (number(input), number(value)) {
        (Some(input), Some(value)) => compare(input, value),
        _ => match (input, value) {
            (Value::Text(input), Value::Text(value)) => Some(input.cmp(value)),
            _ => None,
        },
    };
    found.ok_or_else(|| {
        JobError::new(format!(
            "cannot say which is greater, {} or {}; \"as number\" behind a variable makes a number of it",
            shown(input),
            shown(value)
        ))
    })
}

fn is_in(input: &Value, value: &Value) -> Result<bool, JobError> {
    match value {
        Value::List(list) => Ok(list.iter().any(|one| is_same(input, one))),
        Value::Text(value) => Ok(value.contains(text(input)?)),
        Value::Map(map) => Ok(map.contains_key(text(input)?)),
        Value::Null
        | Value::Boolean(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Bytes(_)
        | Value::Handle(_)
        | Value::Pending(_) => Err(JobError::new(format!(
            "the condition wants a list to look in, found {}",
            shown(value)
        ))),
    }
}

fn text(value: &Value) -> Result<&str, JobError> {
    value.as_text().ok_or_else(|| {
        JobError::new(format!(
            "the condition wants a text, found {}; \"as text\" behind a variable makes one of it",
            shown(value)
        ))
    })
}

fn matches(text: &str, pattern: &str) -> Result<bool, JobError> {
    let regex = RegexBuilder::new(pattern)
        .size_limit(limits::PATTERN_BYTES)
        .dfa_size_limit(limits::PATTERN_BYTES)
        .build();
    match regex {
        Ok(regex) => Ok(regex.is_match(text)),
        Err(error) => Err(JobError::new(format!(
            "{} is no regular expression: {}",
            adit_text::show(pattern),
            // The last line is the reason, the others draw where it is.
            error.to_string().lines().last().unwrap_or_default().trim()
        ))),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("the text {}", adit_text::show(text)),
        Value::Integer(_) | Value::Float(_) => {
            format!("the number {}", value.text_form().unwrap_or_default())
        }
        Value::Boolean(boolean) => boolean.to_string(),
        Value::Null
        | Value::List(_)
        | Value::Map(_)
        | Value::Bytes(_)
        | Value::Handle(_)
        | Value::Pending(_) => value.kind().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Value {
        Value::from_json(text.as_bytes()).unwrap()
    }

    #[test]
    fn values_compare_as_people_mean_it() {
        use Operator::*;
        for (input, operator, value, holds) in [
            ("85", GreaterOrEqual, "70", true),
            ("85.0", Equal, "85", true),
            ("85", NotEqual, "\"85\"", true),
            ("\"ko\"", Equal, "\"ko\"", true),
            ("null", Equal, "null", true),
            ("{\"a\":1,\"b\":2}", Equal, "{\"b\":2,\"a\":1}", true),
            ("\"b\"", Greater, "\"a\"", true),
            ("1", Less, "1.5", true),
            ("2", LessOrEqual, "2", true),
            ("2", In, "[1, 2.0]", true),
            ("\"2\"", NotIn, "[1, 2]", true),
            ("\"ell\"", In, "\"hello\"", true),
            ("\"a\"", In, "{\"a\": 1}", true),
            ("\"hello\"", StartsWith, "\"he\"", true),
            ("\"hello\"", EndsWith, "\"he\"", false),
            ("\"order-17\"", Match, "\"[0-9]+$\"", true),
            ("\"order-x\"", Match, "\"[0-9]+$\"", false),
        ] {
            let found = super::holds(operator, &json(input), &json(value)).unwrap();
            assert_eq!(found, holds, "{input} {operator:?} {value}");
        }
    }

    #[test]
    fn what_cannot_be_compared_says_so() {
        for (input, operator, value, message) in [
            (
                "\"85\"",
                Operator::Greater,
                "70",
                "cannot say which is greater, the text \"85\" or the number 70; \"as number\" behind a variable makes a number of it",
            ),
            (
                "1",
                Operator::In,
                "2",
                "the condition wants a list to look in, found the number 2",
            ),
            (
                "1",
                Operator::StartsWith,
                "\"1\"",
                "the condition wants a text, found the number 1; \"as text\" behind a variable makes one of it",
            ),
            (
                "\"a\"",
                Operator::Match,
                "\"(\"",
                "\"(\" is no regular expression: error: unclosed group",
            ),
        ] {
            let error = holds(operator, &json(input), &json(value)).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }
}
