use std::fmt::Write as _;

use adit_text::Problems;
use proptest::prelude::*;

use super::*;
use crate::callback::limits;
use crate::file::{Dialect, Environment, Files};
use crate::model::callback_server::Routes;

/// The rule of a callback that says this besides its path, in YAML's flow style.
fn rule(keys: &str) -> Rule {
    let file = format!("listener: {{type: http-callback, callbacks: [{{path: /c, {keys}}}]}}");
    let source = crate::file::Source {
        name: "f.yml",
        bytes: file.as_bytes(),
        dialect: Dialect::Adit,
    };
    let mut problems = Problems::new();
    let files = Files::parse(&[source], &Environment::default(), &mut problems).unwrap();
    let compose = files.compose(&mut problems);
    let compose = compose.unwrap_or_else(|| panic!("{problems}"));
    let Routes::Callbacks(callbacks) = &compose.callback_servers[0].routes else {
        panic!("{compose:?}");
    };
    Rule::new(&callbacks[0]).unwrap()
}

fn json(text: &str) -> Value {
    Value::from_json(text.as_bytes()).unwrap()
}

/// Each item's id and what it says, in a line.
fn read(rule: &Rule, body: &str, query: &str) -> String {
    let (body, query) = (json(body), json(query));
    let items = match rule.items(&body, &query) {
        Ok(items) => items,
        Err(error) => return error.to_string(),
    };
    let mut told = String::new();
    for item in items.iter() {
        let id = match item.id() {
            Ok(id) => id.as_str().to_owned(),
            Err(error) => format!("({error})"),
        };
        let verdict = match item.verdict() {
            Verdict::NotFinal => "goes on".to_owned(),
            Verdict::Final(Outcome::Done(value)) => value.to_json().unwrap(),
            Verdict::Final(Outcome::Failed(failure)) => format!("failed: {failure}"),
        };
        writeln!(told, "{id}: {verdict}").unwrap();
    }
    told.trim_end().to_owned()
}

#[test]
fn an_item_says_whose_it_is_and_what_it_brings() {
    for (keys, body, told) in [
        ("method: POST", "[1, 2]", "__callback__: [1,2]"),
        (
            "identify_by: '${body.id}'",
            r#"{"id": 8}"#,
            r#"8: {"id":8}"#,
        ),
        (
            "identify_by: '${item.id}'",
            r#"{"id": "8"}"#,
            r#"8: {"id":"8"}"#,
        ),
        (
            "identify_by: 'a-${body.id}'",
            r#"{"id": 8}"#,
            r#"a-8: {"id":8}"#,
        ),
        (
            "identify_by: '${body.id}'",
            "{}",
            "(the callback has no id): {}",
        ),
        (
            "identify_by: '${body.id}'",
            "null",
            "(the callback has no id): null",
        ),
        (
            "identify_by: '${body.id as integer}'",
            r#"{"id": "x"}"#,
            r#"(the callback's id could not be read): {"id":"x"}"#,
        ),
        (
            "identify_by: '${query.id}', result: {a: ['${body.x}', '${query.id}', 1, ~, t]}",
            r#"{"x": {"y": 1.5}}"#,
            r#"q: {"a":[{"y":1.5},"q",1,null,"t"]}"#,
        ),
        ("result: '${body.x}'", r#"{"x": [1]}"#, "__callback__: [1]"),
        ("result: '${env.HOME}'", "1", "__callback__: null"),
        (
            "result: '${body.x as integer}'",
            r#"{"x": "y"}"#,
            "__callback__: failed: the callback's result could not be read",
        ),
        (
            "item: '${body.d}', identify_by: '${body.id}'",
            r#"{"d": {"id": 1}}"#,
            r#"1: {"id":1}"#,
        ),
    ] {
        assert_eq!(
            read(&rule(keys), body, r#"{"id": "q"}"#),
            told,
            "{keys} {body}"
        );
    }
}

#[test]
fn a_status_decides_what_an_item_means() {
    let both = "status: '${body.s}', success_when: [ok, '200'], fail_when: [bad], result: 1";
    let only_fail = "status: '${body.s}', fail_when: bad, result: 1";
    let neither = "status: '${body.s}', result: 1";
    for (keys, status, told) in [
        (both, r#""ok""#, "1"),
        (both, "200", "1"),
        (both, r#""bad""#, "failed: the callback's status is \"bad\""),
        (both, r#""OK""#, "goes on"),
        (both, r#""working""#, "goes on"),
        (both, "null", "1"),
        (both, r#""""#, "1"),
        (
            only_fail,
            r#""bad""#,
            "failed: the callback's status is \"bad\"",
        ),
        (only_fail, r#""fine""#, "goes on"),
        (neither, r#""anything""#, "1"),
    ] {
        let body = format!(r#"{{"s": {status}}}"#);
        assert_eq!(
            read(&rule(keys), &body, "{}"),
            format!("__callback__: {told}")
        );
    }
}

#[test]
fn a_status_that_is_missing_of_another_kind_or_not_to_be_had_is_not_taken_for_one() {
    let lists = "success_when: [ok, '7', '?'], fail_when: [bad, '{\"a\":2}'], result: 1";
    for (status, body, told) in [
        // Nothing said is nothing wrong, however deep it is missing, unless the file says what it means.
        ("${body.s}", "{}", "1"),
        ("${body.s.t[3].u}", r#"{"s": 7}"#, "1"),
        ("${body.s}", r#""text""#, "1"),
        ("${body.s as integer}", "{}", "1"),
        ("${body.s | working}", "{}", "goes on"),
        (
            "${body.s | bad}",
            "{}",
            "failed: the callback's status is \"bad\"",
        ),
        // What is no text is compared as the text that it is written as.
        ("${body.s}", r#"{"s": ["ok"]}"#, "goes on"),
        ("${body.s}", r#"{"s": {"a": 1}}"#, "goes on"),
        (
            "${body.s}",
            r#"{"s": {"a": 2}}"#,
            r#"failed: the callback's status is "{"a":2}""#,
        ),
        ("${body.s}", r#"{"s": true}"#, "goes on"),
        ("${body.s as integer}", r#"{"s": "7"}"#, "1"),
        (
            "${body.s as integer}",
            r#"{"s": "soon"}"#,
            "failed: the callback's status could not be read",
        ),
        (
            "${body.s as list}",
            r#"{"s": {}}"#,
            "failed: the callback's status could not be read",
        ),
    ] {
        let rule = rule(&format!("status: '{status}', {lists}"));
        let told = format!("__callback__: {told}");
        assert_eq!(read(&rule, body, "{}"), told, "{status} {body}");
    }
    // Bytes have no text, whatever the lists say.
    let rule = rule(&format!("status: '${{body.s}}', {lists}"));
    let bytes = Value::Bytes(vec![0xff].into());
    let body = Value::Map([("s".to_owned(), bytes)].into_iter().collect());
    let items = rule.items(&body, &Value::Null).unwrap();
    let verdicts: Vec<Verdict> = items.iter().map(|item| item.verdict()).collect();
    assert!(matches!(verdicts[..], [Verdict::NotFinal]), "{verdicts:?}");
}

#[test]
fn a_list_is_items_of_their_own_if_the_callback_says_so() {
    let keys = "bulk: true, item: '${body.all}', identify_by: '${item.id}', \
        status: '${item.s}', success_when: ok, fail_when: bad, result: '${item.r}'";
    let body = r#"{"s": "ok", "all": [
        {"id": 1, "s": "ok", "r": "x"}, {"id": 2, "s": "bad"}, {"id": 3, "s": "?"}, {"s": "ok"}, 7
    ]}"#;
    let told = "1: \"x\"\n2: failed: the callback's status is \"bad\"\n3: goes on\n\
        (the callback has no id): null\n(the callback has no id): null";
    assert_eq!(read(&rule(keys), body, "{}"), told);
    assert_eq!(read(&rule("bulk: true"), "[]", "{}"), "");
    let no_list = "the request is no list of items";
    assert_eq!(read(&rule("bulk: true"), "{}", "{}"), no_list);
    assert_eq!(read(&rule(keys), "{}", "{}"), no_list);
    let many = format!("[{}1]", "1,".repeat(limits::ITEMS));
    let told = read(&rule("bulk: true"), &many, "{}");
    assert_eq!(told, "the request has more than 1024 items");
    assert!(read(&rule("bulk: false"), &many, "{}").starts_with("__callback__: [1,"));
}

#[test]
fn whether_a_request_is_a_list_may_stand_in_it() {
    let rule = rule("bulk: '${query.many}'");
    for (query, told) in [
        (r#"{"many": "true"}"#, "__callback__: 1\n__callback__: 2"),
        (r#"{"many": "1"}"#, "__callback__: 1\n__callback__: 2"),
        (r#"{"many": "False"}"#, "__callback__: [1,2]"),
        ("{}", "__callback__: [1,2]"),
        (
            r#"{"many": "yes"}"#,
            "the request does not say whether it is a list of items",
        ),
    ] {
        assert_eq!(read(&rule, "[1,2]", query), told, "{query}");
    }
}

#[test]
fn items_that_cannot_be_found_are_an_error() {
    let rule = rule("item: '${body as integer}'");
    let told = read(&rule, r#""x""#, "{}");
    assert_eq!(told, "the request's items could not be found");
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Boolean),
        any::<i128>().prop_map(Value::Integer),
        any::<f64>().prop_map(Value::Float),
        any::<String>().prop_map(Value::Text),
        any::<Vec<u8>>().prop_map(|bytes| Value::Bytes(bytes.into())),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let key = prop_oneof![Just("id".to_owned()), Just("s".to_owned()), any::<String>()];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            prop::collection::vec((key, inner), 0..4)
                .prop_map(|entries| Value::Map(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_body_is_too_much(body in any_value(), query in any_value()) {
        for keys in [
            "bulk: '${body.id}', item: '${body.s}', identify_by: '${query.id}'",
            "bulk: true, identify_by: '${item.id}', status: '${item.s}', fail_when: x, \
                result: ['${item.id as integer}', 'a ${item}']",
            "identify_by: '${body.id[0]} ${body}', status: '${body as number}', fail_when: x",
        ] {
            let rule = rule(keys);
            let Ok(items) = rule.items(&body, &query) else { continue };
            for item in items.iter() {
                if let Ok(id) = item.id() {
                    prop_assert!(!id.as_str().is_empty());
                    prop_assert!(id.as_str().len() <= limits::ID_BYTES);
                }
                drop(item.verdict());
            }
        }
    }
}
