use super::*;
use crate::expr::value::{Handle, HandleKind};
use proptest::prelude::*;
use std::sync::Arc;

fn json(text: &str) -> Value {
    Value::from_json(text.as_bytes()).unwrap()
}

fn sources() -> Map {
    let sources = json(
        r#"{
        "input": {
            "text": "hi", "empty": "", "zero": 0, "no": false, "nothing": null, "n": 42, "x": 1.0,
            "o": {"x": 1, "y": [true, null, "s"]}, "list": [1, {"id": 7}], "이름": "Kim"
        },
        "context": {"run_id": "01M807NV3JXGM9XZMGP9MM86GF"},
        "gateway:8090": {"public_address": "example.com:9834"},
        "response": {"task_id": "t-1"},
        "response[]": {"choices": [{"delta": {"content": "chunk"}}]},
        "result": {"processed_data": "HELLO", "length": 5},
        "jobs": {"get-disk-usage": {"output": {"stdout": "df"}}},
        "item": 3
    }"#,
    );
    sources.as_map().unwrap().clone()
}

fn evaluated(text: &str) -> Value {
    Template::parse(text).evaluate(&sources()).unwrap()
}

#[test]
fn a_variable_alone_keeps_its_type_and_one_in_a_text_becomes_text() {
    for (text, expected) in [
        ("${input.text}", r#""hi""#),
        ("${input.n}", "42"),
        ("${input.x}", "1.0"),
        ("${input.no}", "false"),
        ("${input.nothing}", "null"),
        ("${input.o}", r#"{"x":1,"y":[true,null,"s"]}"#),
        ("${input.list[1].id}", "7"),
        ("${input.이름}", r#""Kim""#),
        ("${jobs.get-disk-usage.output.stdout}", r#""df""#),
        ("${response[].choices[0].delta.content}", r#""chunk""#),
        ("${response.task_id}", r#""t-1""#),
        (
            "http://${gateway:8090.public_address}/callback",
            r#""http://example.com:9834/callback""#,
        ),
        // No trimming.
        (" ${input.n}", r#"" 42""#),
        ("${input.n} ", r#""42 ""#),
        // Null is nothing, booleans and JSON are JSON's.
        ("<${input.nothing}>", r#""<>""#),
        ("<${input.no}>", r#""<false>""#),
        ("<${input.x}>", r#""<1.0>""#),
        ("<${input.o}>", r#""<{\"x\":1,\"y\":[true,null,\"s\"]}>""#),
        ("<${input.list}>", r#""<[1,{\"id\":7}]>""#),
        ("${item}-${item}", r#""3-3""#),
        ("", r#""""#),
        ("no variable", r#""no variable""#),
        ("${1a.b} ${한글.x}", r#""${1a.b} ${한글.x}""#),
    ] {
        assert_eq!(evaluated(text).to_json().unwrap(), expected, "{text}");
    }
}

#[test]
fn what_is_missing_is_null_and_never_an_error() {
    for text in [
        "${nobody}",
        "${nobody.x[0]}",
        "${input.missing}",
        "${input.missing.deeper[3]}",
        "${input.text.length}",
        "${input.list[9]}",
        "${input.list.id}",
        "${input.o[0]}",
        "${gateway:1.public_address}",
        "${result[]}",
        "${env.HOME}",
        "${context.task_id}",
        "${input.nothing as integer}",
        "${input.missing | ${nobody}}",
    ] {
        assert_eq!(evaluated(text), Value::Null, "{text}");
    }
}

#[test]
fn null_takes_the_default_and_nothing_zero_and_false_do_not() {
    for (text, expected) in [
        ("${input.nothing | d}", r#""d""#),
        ("${input.missing | d}", r#""d""#),
        ("${nobody | d}", r#""d""#),
        ("${input.empty | d}", r#""""#),
        ("${input.zero | d}", "0"),
        ("${input.no | d}", "false"),
        // A default is text until it is converted.
        ("${nobody | 3}", r#""3""#),
        ("${nobody | true}", r#""true""#),
        ("${nobody as integer | 3}", "3"),
        ("${nobody as integer|3}", "3"),
        ("${nobody as boolean | true}", "true"),
        (r#"${nobody as json | {"a": [1]}}"#, r#"{"a":[1]}"#),
        ("${input.n as integer | 3}", "42"),
        // Without its quotes.
        (r#"${nobody | "q"}"#, r#""q""#),
        ("${nobody | 'q'}", r#""q""#),
        (r#"${nobody | ""}"#, r#""""#),
        ("${nobody | }", r#""""#),
        ("${input.size | 1024x1024 }", r#""1024x1024""#),
        // Variables in it.
        ("${input.k | ${env.K | d}}", r#""d""#),
        ("${input.k | ${input.n}}", "42"),
        ("${input.k | \"${input.n}\"}", r#""42""#),
        ("${input.k | n is ${input.n}}", r#""n is 42""#),
        (
            "${input.k as text | ${input.o}}",
            r#""{\"x\":1,\"y\":[true,null,\"s\"]}""#,
        ),
        ("x${input.k | y}z", r#""xyz""#),
        (r#"{"a":"${input.a | x}"}"#, r#""{\"a\":\"x\"}""#),
        // The backslash stays.
        (r"${nobody | \}}", r#""\\}""#),
    ] {
        assert_eq!(evaluated(text).to_json().unwrap(), expected, "{text}");
    }
}

#[test]
fn a_tree_keeps_its_order_and_its_keys() {
    let tree = json(
        r#"{
        "z": "${input.n}", "${input.text}": 1, "a": ["${input.text}!", null, true, 2.5, {"b": "${item}"}],
        "task_id": "${context.run_id}", "result": "${result as json}"
    }"#,
    );
    let made = Tree::parse(&tree).unwrap().evaluate(&sources()).unwrap();
    assert_eq!(
        made.to_json().unwrap(),
        r#"{"z":42,"${input.text}":1,"a":["hi!",null,true,2.5,{"b":3}],"#.to_owned()
            + r#""task_id":"01M807NV3JXGM9XZMGP9MM86GF","result":{"processed_data":"HELLO","length":5}}"#
    );
}

#[test]
fn a_value_is_not_searched_for_variables() {
    let mut sources = Map::new();
    sources.insert("input".to_owned(), Value::from("${secret}"));
    sources.insert("secret".to_owned(), Value::from("told"));
    for text in ["${input}", "${nobody | ${input}}"] {
        let made = Template::parse(text).evaluate(&sources).unwrap();
        assert_eq!(made, Value::from("${secret}"));
    }
}

/// Answers a part of the way by itself, and notes what it was asked for.
struct Jobs {
    asked: std::cell::RefCell<Vec<String>>,
}

impl Sources for Jobs {
    fn look_up(&self, source: &Source, path: &[Step]) -> Option<Found<'_>> {
        let path: String = path.iter().map(Step::to_string).collect();
        self.asked.borrow_mut().push(format!("{source}{path}"));
        (source.name() == "jobs").then(|| Found {
            value: Cow::Owned(json(r#"{"text": "lazy"}"#)),
            steps: 2,
        })
    }
}

#[test]
fn a_source_is_asked_for_what_is_needed_and_may_go_part_of_the_way() {
    let jobs = Jobs {
        asked: Vec::new().into(),
    };
    let text = "${jobs.fetch.output.text | ${input.unused}}";
    let made = Template::parse(text).evaluate(&jobs).unwrap();
    assert_eq!(made, Value::from("lazy"));
    let made = Template::parse("${jobs.fetch.output}")
        .evaluate(&jobs)
        .unwrap();
    assert_eq!(made, json(r#"{"text": "lazy"}"#));
    assert_eq!(
        jobs.asked.into_inner(),
        ["jobs.fetch.output.text", "jobs.fetch.output"]
    );
}

#[test]
fn errors_say_where_and_quote_safely() {
    let tree = json(r#"{"body": {"n": [0, "${input.text as integer}"]}}"#);
    let error = Tree::parse(&tree)
        .unwrap()
        .evaluate(&sources())
        .unwrap_err();
    assert_eq!(error.at().to_string(), "body.n[1]");
    assert_eq!(
        error.to_string(),
        "\"${input.text as integer}\" cannot be converted"
    );
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "`integer` requires a whole number, got \"hi\"");
}

#[test]
fn what_is_held_elsewhere_passes_as_it_is_and_is_no_part_of_a_text() {
    let mut sources = Map::new();
    let held = Handle::new(HandleKind::Bytes, Arc::new(7_u8));
    sources.insert("response".to_owned(), Value::Handle(held.clone()));
    let made = Template::parse("${response}").evaluate(&sources).unwrap();
    assert_eq!(made, Value::Handle(held.clone()));
    assert_eq!(held.held::<u8>().as_deref(), Some(&7));
    assert_eq!(held.held::<u16>(), None);
    let error = Template::parse("x${response}")
        .evaluate(&sources)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"${response}\" cannot be part of a text"
    );
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "byte stream has no text form");
}

#[test]
fn a_result_has_a_limit_in_bytes() {
    let mut sources = Map::new();
    let large = Value::Text("x".repeat(limits::OUTPUT_BYTES / 4));
    sources.insert("input".to_owned(), large);
    for (text, is_right) in [
        ("${input}", true),
        ("${input}${input}", false),
        ("${nobody | ${input}${input}}", false),
        ("${input as text}", true),
    ] {
        let made = Template::parse(text).evaluate(&sources);
        assert_eq!(made.is_ok(), is_right, "{text}");
    }
    let many = Value::List(vec![Value::from("${input}"); 5]);
    let error = Tree::parse(&many).unwrap().evaluate(&sources).unwrap_err();
    assert_eq!(error.at().to_string(), "[3]");
    assert_eq!(error.to_string(), "the result would be larger than 64 MiB");
}

#[test]
fn a_result_has_a_limit_in_depth() {
    let nested = |depth: usize| (0..depth).fold(Value::Null, |inner, _| Value::List(vec![inner]));
    let mut sources = Map::new();
    sources.insert("input".to_owned(), nested(100));
    for (wrapped, is_right) in [(28, true), (29, false)] {
        let tree = (0..wrapped).fold(Value::from("${input}"), |inner, _| Value::List(vec![inner]));
        let made = Tree::parse(&tree).unwrap().evaluate(&sources);
        assert_eq!(made.is_ok(), is_right, "{wrapped}");
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Boolean),
        any::<i64>().prop_map(|integer| Value::Integer(integer.into())),
        (-1e9..1e9).prop_map(Value::Float),
        ".{0,8}".prop_map(Value::Text),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::List),
            prop::collection::vec(("[ab]", inner), 0..3)
                .prop_map(|entries| Value::Map(entries.into_iter().collect())),
        ]
    })
}

const LIKELY: &str = r#"(\$\{a|\$\{|\.a|\.b|\[0\]|\[-1\]|\[1:\]|\[\*\]| as (text|integer|number|boolean|json|list|object\[\]/a|base64|image)| \| |\}|"|x| ){0,16}"#;

proptest! {
    #[test]
    fn evaluation_does_not_depend_on_when_it_is_done(text in LIKELY, value in value()) {
        let mut sources = Map::new();
        sources.insert("a".to_owned(), value);
        let template = Template::parse(&text);
        let once = template.evaluate(&sources).map_err(|error| error.to_string());
        let twice = template.evaluate(&sources).map_err(|error| error.to_string());
        prop_assert_eq!(&once, &twice);
        if template.variables().is_empty() {
            prop_assert_eq!(once, Ok(Value::Text(text)));
        }
    }

    #[test]
    fn any_value_without_variables_is_its_own_evaluation(value in value()) {
        if let Ok(tree) = Tree::parse(&value) && tree.references().is_empty() {
            let made = tree.evaluate(&Map::new()).unwrap();
            prop_assert_eq!(made.to_json().unwrap(), value.to_json().unwrap());
        }
    }

    #[test]
    fn json_is_written_and_read_in_its_order(value in value()) {
        let written = value.to_json().unwrap();
        let read = Value::from_json(written.as_bytes()).unwrap();
        prop_assert_eq!(read.to_json().unwrap(), written);
    }
}
