//! Bodies of requests: the first line is a content type, the rest the body, and a query too.
#![no_main]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use adit_flow::body::{self, Keys, Kind};
use adit_flow::expr::{Value, limits};
use libfuzzer_sys::fuzz_target;

/// How many lists and maps are inside one another.
fn depth(value: &Value) -> usize {
    match value {
        Value::List(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        Value::Map(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// A form is a map with one level for its keys; a bracket is a level, and a repeated key a list.
const MOST: usize = limits::JSON_DEPTH + 2;

fuzz_target!(|input: &[u8]| {
    let end = input.iter().position(|byte| *byte == b'\n');
    let (content_type, body) = input.split_at(end.unwrap_or(0));
    let content_type = std::str::from_utf8(content_type).ok();
    for keys in [Keys::Plain, Keys::Nested] {
        let reading = pin!(body::read(content_type, body.to_vec().into(), keys));
        let Poll::Ready(read) = reading.poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("everything is there");
        };
        if let Ok(value) = read {
            assert!(depth(&value) <= MOST);
            let is_form = matches!(Kind::of(content_type), Kind::Form | Kind::Multipart);
            assert!(!is_form || value.as_map().is_some_and(|map| map.len() <= body::FIELDS));
        }
    }
    if let Ok(query) = std::str::from_utf8(body)
        && let Ok(value) = body::query(Some(query))
    {
        assert_eq!(depth(&value), 1);
    }
});
