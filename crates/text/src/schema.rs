//! Which type a plain scalar has: the core schema of YAML 1.2 (section 10.3.2).
//!
//! `yes`, `no`, `on`, `off`, `22:22` and dates are text. `0123` is the number 123; who wants its
//! digits reads the scalar's text, which is always kept.

use crate::node::Value;

/// The value of a plain scalar.
pub(crate) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Boolean(true),
        "false" | "False" | "FALSE" => Value::Boolean(false),
        _ => number(text).unwrap_or(Value::Text),
    }
}

/// The value of an integer or a float.
fn number(text: &str) -> Option<Value> {
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if is_digits(unsigned) {
        // What an i128 cannot hold is still a number.
        let float = || text.parse().ok().map(Value::Float);
        return text.parse().ok().map(Value::Integer).or_else(float);
    }
    match unsigned {
        ".inf" | ".Inf" | ".INF" if text.starts_with('-') => Some(Value::Float(f64::NEG_INFINITY)),
        ".inf" | ".Inf" | ".INF" => Some(Value::Float(f64::INFINITY)),
        ".nan" | ".NaN" | ".NAN" if unsigned == text => Some(Value::Float(f64::NAN)),
        _ if is_float(unsigned) => text.parse().ok().map(Value::Float),
        _ => None,
    }
}

fn radix(digits: &str, radix: u32) -> Option<Value> {
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    i128::from_str_radix(digits, radix).ok().map(Value::Integer)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_float(unsigned: &str) -> bool {
    let mantissa = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => {
            if !is_digits(exponent.strip_prefix(['-', '+']).unwrap_or(exponent)) {
                return false;
            }
            mantissa
        }
        None => unsigned,
    };
    match mantissa.split_once('.') {
        Some(("", fraction)) => is_digits(fraction),
        Some((whole, fraction)) => is_digits(whole) && (fraction.is_empty() || is_digits(fraction)),
        None => is_digits(mantissa),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_have_the_types_of_the_core_schema() {
        use Value::{Boolean, Float, Integer, Null, Text};
        for (text, value) in [
            ("", Null),
            ("~", Null),
            ("null", Null),
            ("nULL", Text),
            ("~/.ssh/id", Text),
            ("true", Boolean(true)),
            ("FALSE", Boolean(false)),
            ("yes", Text),
            ("no", Text),
            ("on", Text),
            ("off", Text),
            ("y", Text),
            ("0", Integer(0)),
            ("8080", Integer(8080)),
            ("-3", Integer(-3)),
            ("+3", Integer(3)),
            ("0123", Integer(123)),
            ("0o17", Integer(15)),
            ("0xfF", Integer(255)),
            ("0x", Text),
            ("0x+1", Text),
            ("-0x1", Text),
            ("0b1", Text),
            ("1_000", Text),
            ("22:22", Text),
            ("2026-11-22", Text),
            ("1.10", Float(1.1)),
            ("1.", Float(1.0)),
            (".5", Float(0.5)),
            ("-.5e+3", Float(-500.0)),
            ("1e3", Float(1000.0)),
            ("e3", Text),
            ("1e", Text),
            (".", Text),
            ("..5", Text),
            ("1.2.3", Text),
            ("inf", Text),
            ("nan", Text),
            ("infinity", Text),
            (".inf", Float(f64::INFINITY)),
            ("-.Inf", Float(f64::NEG_INFINITY)),
            ("-", Text),
            ("+", Text),
            ("10s", Text),
        ] {
            assert_eq!(resolve(text), value, "{text}");
        }
        assert!(matches!(resolve(".nan"), Float(number) if number.is_nan()));
        assert_eq!(resolve("-.nan"), Text);
        assert!(matches!(resolve(&"9".repeat(50)), Float(number) if number > 1e49));
    }
}
