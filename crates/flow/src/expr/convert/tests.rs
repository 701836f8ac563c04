use super::*;
use crate::expr::template::Template;
use crate::expr::value::{Handle, HandleKind};

/// The conversion that stands behind `as`.
fn conversion(written: &str) -> Conversion {
    let template = Template::parse(&format!("${{x as {written}}}"));
    let variable = template.as_variable().expect(written);
    variable.conversion().expect(written).clone()
}

fn json(text: &str) -> Value {
    Value::from_json(text.as_bytes()).unwrap()
}

#[test]
fn values_become_what_their_type_says() {
    for (written, value, expected) in [
        ("string", "42", r#""42""#),
        ("text", "true", r#""true""#),
        ("text", "1.0", r#""1.0""#),
        ("text", r#""as it is""#, r#""as it is""#),
        (
            "markdown",
            r#"{"b":1,"a":[null]}"#,
            r#""{\"b\":1,\"a\":[null]}""#,
        ),
        ("text;sse-text", "7", r#""7""#),
        ("integer", "42", "42"),
        ("integer", "3.9", "3"),
        ("integer", "-3.9", "-3"),
        ("integer", "1e20", "100000000000000000000"),
        ("integer", "true", "1"),
        ("integer", r#"" 42 ""#, "42"),
        ("integer", r#""-7""#, "-7"),
        ("integer", r#""+7""#, "7"),
        ("integer", r#""1_000""#, "1000"),
        ("number", "3", "3.0"),
        ("number", "3.5", "3.5"),
        ("number", "false", "0.0"),
        ("number", r#""3.7""#, "3.7"),
        ("number", r#"" 1e3 ""#, "1000.0"),
        ("number", r#"".5""#, "0.5"),
        ("boolean", "true", "true"),
        ("boolean", r#""TRUE""#, "true"),
        ("boolean", r#""1""#, "true"),
        ("boolean", "1", "true"),
        ("boolean", "1.0", "false"),
        ("boolean", "2", "false"),
        ("boolean", r#""yes""#, "false"),
        ("boolean", r#""""#, "false"),
        ("boolean", "[1]", "false"),
        ("json", r#""{\"a\": 1}""#, r#"{"a":1}"#),
        ("json", r#"{"a":1}"#, r#"{"a":1}"#),
        ("json", r#""null""#, "null"),
        ("object", r#""{\"a\": 1}""#, r#"{"a":1}"#),
        ("list", r#""[1, 2]""#, "[1,2]"),
        ("list", "[1]", "[1]"),
        ("base64", r#""hello""#, r#""aGVsbG8=""#),
        ("base64", "1", r#""MQ==""#),
        ("text;base64", r#""aGVsbG8=""#, r#""hello""#),
        ("json;base64", r#""WzFd""#, "[1]"),
        (
            "text;data-uri",
            r#""data:text/plain;base64,aGVsbG8=""#,
            r#""hello""#,
        ),
        ("integer[]", r#"["1", 2, 3.5, null]"#, "[1,2,3,null]"),
        ("text[]", "[1, [2]]", r#"["1","[2]"]"#),
        // Unknown types and hints change nothing.
        ("select/a,b", r#""c""#, r#""c""#),
        ("slider/0,2,0.1", "0.7", "0.7"),
        ("nonsense", r#"{"a":1}"#, r#"{"a":1}"#),
        ("nonsense[]", "3", "3"),
        ("stream/json", "[1]", "[1]"),
        ("sse-text", r#""x""#, r#""x""#),
    ] {
        let made = conversion(written).apply(json(value)).expect(written);
        assert_eq!(made.to_json().unwrap(), expected, "{value} as {written}");
    }
}

#[test]
fn object_lists_keep_their_maps_and_of_those_the_paths() {
    let users = r#"[{"id": 1, "user": {"name": "Kim", "mail": "k@x"}, "tags": ["a"]}, 5, null,
                    {"id": 2, "user": 3}]"#;
    for (written, value, expected) in [
        (
            "object[]/id,user.name",
            users,
            r#"[{"id":1,"name":"Kim"},{"id":2,"name":null}]"#,
        ),
        ("object[]/id", users, r#"[{"id":1},{"id":2}]"#),
        (
            "object[]/tags[0]",
            users,
            r#"[{"tags[0]":"a"},{"tags[0]":null}]"#,
        ),
        ("object[]/$x", users, r#"[{"$x":null},{"$x":null}]"#),
        ("object[]", r#"[{"a": 1}, 2]"#, r#"[{"a":1}]"#),
        ("object[]/id", r#"{"id": 1}"#, "[]"),
        ("object[]/id", r#""text""#, "[]"),
        ("object[]/id", "[]", "[]"),
    ] {
        let made = conversion(written).apply(json(value)).unwrap();
        assert_eq!(made.to_json().unwrap(), expected, "{written}");
    }
}

#[test]
fn null_stays_null_whatever_is_asked_for() {
    for written in [
        "text",
        "integer",
        "number",
        "boolean",
        "json",
        "object",
        "list",
        "object[]/a",
        "integer[]",
        "base64",
        "image/png;url",
        "stream/text",
        "select/a",
        "nonsense",
    ] {
        let made = conversion(written).apply(Value::Null).unwrap();
        assert_eq!(made, Value::Null, "{written}");
    }
}

#[test]
fn what_does_not_say_what_is_wanted_is_an_error() {
    for (written, value, message) in [
        (
            "integer",
            r#""3.7""#,
            "`integer` requires a whole number, got \"3.7\"",
        ),
        (
            "integer",
            r#""""#,
            "`integer` requires a whole number, got \"\"",
        ),
        (
            "integer",
            r#""1__0""#,
            "`integer` requires a whole number, got \"1__0\"",
        ),
        (
            "integer",
            r#""_1""#,
            "`integer` requires a whole number, got \"_1\"",
        ),
        (
            "integer",
            "[1]",
            "`integer` requires a whole number, got list",
        ),
        (
            "integer",
            "1e300",
            "`integer` requires a whole number, got \"1e+300\"",
        ),
        (
            "number",
            r#""many\u001b""#,
            "`number` requires a number, got \"many\\u{1b}\"",
        ),
        (
            "number",
            r#""inf""#,
            "`number` requires a number, got \"inf\"",
        ),
        (
            "number",
            r#""nan""#,
            "`number` requires a number, got \"nan\"",
        ),
        (
            "number",
            r#""1e999""#,
            "`number` requires a number, got \"1e999\"",
        ),
        ("number", "{}", "`number` requires a number, got object"),
        ("list", "{}", "`list` requires a list input, got object"),
        (
            "list",
            r#""{}""#,
            "`list` requires a list input, got object",
        ),
        ("list", "5", "`list` requires a list input, got integer"),
        (
            "object",
            "[]",
            "`object` requires an object input, got list",
        ),
        (
            "integer[]",
            "5",
            "`integer[]` requires a list input, got integer",
        ),
        (
            "integer[]",
            r#"["x"]"#,
            "`integer[]` requires a whole number, got \"x\"",
        ),
        ("json", r#""{""#, "`json` requires JSON"),
        ("text;base64", r#""?""#, "`text;base64` requires base64"),
        (
            "text;data-uri",
            r#""data:,x""#,
            "`text;data-uri` requires base64",
        ),
        ("text;base64", r#""/w==""#, "`text;base64` requires a text"),
    ] {
        let error = conversion(written).apply(json(value)).unwrap_err();

        assert_eq!(error.to_string(), message, "{value} as {written}");
    }
}

#[test]
fn a_long_text_is_not_read_as_a_number_and_not_quoted_whole() {
    let long = "9".repeat(limits::NUMBER_BYTES + 1);
    let error = conversion("number").apply(Value::Text(long)).unwrap_err();
    assert!(error.to_string().len() < 200, "{error}");
}

#[test]
fn what_needs_io_becomes_pending_with_its_content() {
    let stream = Value::Handle(Handle::new(HandleKind::Bytes, Arc::new(())));
    for (written, value) in [
        ("image", Value::from("aGk=")),
        ("image/png;base64", Value::from("aGk=")),
        ("audio;url", Value::from("https://example.com/a.mp3")),
        ("file", Value::Bytes(Arc::from(*b"\0"))),
        ("video", stream.clone()),
        ("text", stream.clone()),
        ("json", stream.clone()),
        ("base64", stream.clone()),
        ("stream/json", stream.clone()),
        ("sse-text", stream.clone()),
        ("integer[]", stream.clone()),
        ("text;path", Value::from("notes.txt")),
        ("json;url", Value::from("https://example.com/")),
    ] {
        let conversion = conversion(written);
        let made = conversion.apply(value.clone()).unwrap();
        let pending = Value::Pending(Box::new(Pending {
            content: value,
            conversion: conversion.clone(),
        }));
        assert_eq!(made, pending, "{written}");
        // Once is enough.
        assert_eq!(conversion.apply(made.clone()).unwrap(), made, "{written}");
        assert!(made.to_json().is_err() && made.text_form().is_err());
    }
    let unchanged = conversion("nonsense").apply(stream.clone()).unwrap();
    assert_eq!(unchanged, stream);
}

#[test]
fn bytes_are_text_if_they_are_utf8_and_base64_in_any_case() {
    let bytes = |bytes: &[u8]| Value::Bytes(Arc::from(bytes));
    let made = conversion("text").apply(bytes(b"hi")).unwrap();
    assert_eq!(made, Value::from("hi"));
    let made = conversion("json").apply(bytes(b"[1]")).unwrap();
    assert_eq!(made.to_json().unwrap(), "[1]");
    let made = conversion("base64").apply(bytes(&[0xff])).unwrap();
    assert_eq!(made, Value::from("/w=="));
    let error = conversion("text").apply(bytes(&[0xff])).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "binary data has no text form");
}

#[test]
fn subtypes_have_choices_and_attributes() {
    let audio = conversion("audio/pcm[sample_rate=24000,channels=1];base64");
    assert_eq!(audio.choices().collect::<Vec<_>>(), ["pcm"]);
    let attributes: Vec<_> = audio.attributes().collect();
    assert_eq!(attributes, [("sample_rate", "24000"), ("channels", "1")]);
    let select = conversion("select/256x256,512x512");
    assert_eq!(select.choices().collect::<Vec<_>>(), ["256x256", "512x512"]);
    assert_eq!(select.attributes().count(), 0);
    assert_eq!(conversion("text").choices().count(), 0);
}

#[test]
fn a_constant_default_is_a_value_of_its_type() {
    for (text, expected) in [
        ("${x | 3}", Ok(Some("\"3\""))),
        ("${x as integer | 3}", Ok(Some("3"))),
        ("${x as integer | \"3\"}", Ok(Some("3"))),
        ("${x as select/a,b | b}", Ok(Some("\"b\""))),
        ("${x as text | }", Ok(Some("\"\""))),
        ("${x as integer}", Ok(None)),
        ("${x as integer | ${y | 3}}", Ok(None)),
        (
            "${x as integer | three}",
            Err("`integer` requires a whole number, got \"three\""),
        ),
    ] {
        let template = Template::parse(text);
        let found = template.as_variable().unwrap().constant_default();
        let found = found.map(|value| value.map(|value| value.to_json().unwrap()));
        let expected = expected
            .map(|value| value.map(str::to_owned))
            .map_err(str::to_owned);
        assert_eq!(found.map_err(|error| error.to_string()), expected, "{text}");
    }
}

#[test]
fn types_that_mean_nothing_are_told_from_those_that_do() {
    for (written, is_known) in [
        ("integer", true),
        ("object[]/a", true),
        ("image/png;base64", true),
        ("select/a,b", true),
        ("slider/0,1", true),
        ("interger", false),
        ("Integer", false),
    ] {
        assert_eq!(conversion(written).is_known(), is_known, "{written}");
    }
}
