use super::*;

#[test]
fn json_keeps_order_types_and_large_numbers() {
    for text in [
        r#"{"z":1,"a":{"y":[true,false,null],"b":"ü\n"}}"#,
        "18446744073709551615",
        "-9223372036854775808",
        "1.0",
        "1e20",
        r#""""#,
    ] {
        let value = Value::from_json(text.as_bytes()).unwrap();
        assert_eq!(value.to_json().unwrap().replace("e+", "e"), text);
    }
    let beyond = Value::from_json(b"18446744073709551616").unwrap();
    assert_eq!(beyond, Value::Float(18_446_744_073_709_551_616.0));
}

#[test]
fn a_key_that_is_there_twice_has_its_last_value_at_its_first_place() {
    let value = Value::from_json(br#"{"a":1,"b":2,"a":3}"#).unwrap();
    assert_eq!(value.to_json().unwrap(), r#"{"a":3,"b":2}"#);
}

#[test]
fn what_is_no_json_or_too_deep_is_refused_without_quoting_it() {
    for text in ["", "{", "[1,]", "nope", "1 2", "\"secret", "{\"secret\" 1}"] {
        let error = Value::from_json(text.as_bytes()).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(Value::from_json(nested(limits::JSON_DEPTH).as_bytes()).is_ok());
    let error = Value::from_json(nested(limits::JSON_DEPTH + 1).as_bytes()).unwrap_err();
    let message = "more than 64 lists and objects inside one another";
    assert!(error.to_string().starts_with(message), "{error}");
    assert!(Value::from_json(nested(1_000_000).as_bytes()).is_err());
}
