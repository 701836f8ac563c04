//! Variables: parsed, printed and parsed again, and evaluated.
//!
//! The first line is a template, the rest is JSON: the value of every source, and a tree. Of the
//! template, what stands between two bells (U+0007) is literal.
#![no_main]

use adit_flow::expr::{Map, Part, Template, Tree, Value, duration};
use libfuzzer_sys::fuzz_target;

/// Parts follow the rules of their type, and every place is in the text.
fn check(text: &str, template: &Template) {
    let is_text = |part: &Part| matches!(part, Part::Text(_));
    for pair in template.parts().windows(2) {
        assert!(!(is_text(&pair[0]) && is_text(&pair[1])));
    }
    for variable in template.variables() {
        let written = text.get(variable.span()).expect("the span is of the text");
        assert!(written.starts_with("${") && written.ends_with('}'));
    }
    for stray in template.strays() {
        let rest = text.get(stray.start..).expect("the start is in the text");
        assert!(rest.starts_with("${") && stray.offset <= text.len());
    }
}

/// Literal text stays as it is, and what it says changes nothing: beside what another text in its
/// place would make of the template, nothing but that text is different.
fn literals(text: &str) {
    let read = |value: fn(&str) -> &str| {
        let (mut written, mut literals) = (String::new(), Vec::new());
        for (at, piece) in text.split('\u{7}').enumerate() {
            let start = written.len();
            if at % 2 == 1 {
                written.push_str(value(piece));
                literals.push(start..written.len());
            } else {
                written.push_str(piece);
            }
        }
        let template = Template::parse_with_literals(&written, &literals);
        check(&written, &template);
        template
    };
    let is_name = |piece: &str| {
        let mut letters = piece.bytes();
        letters.all(|it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_'))
    };
    // A name may be part of a variable; anything else means the same as anything else.
    if text.split('\u{7}').skip(1).step_by(2).any(is_name) {
        read(|value| value);
        return;
    }
    let (found, other) = (read(|value| value), read(|_| "."));
    assert_eq!(found.strays().len(), other.strays().len());
    assert_eq!(found.parts().len(), other.parts().len());
    for (part, other) in found.parts().iter().zip(other.parts()) {
        match (part, other) {
            (Part::Text(_), Part::Text(_)) => {}
            (Part::Variable(one), Part::Variable(other)) => {
                assert_eq!(one.to_string(), other.to_string());
            }
            _ => panic!("text is a variable"),
        }
    }
}

/// Printed and parsed again it is the same, and stays so.
fn print(template: &Template) {
    let printed = template.to_string();
    let again = Template::parse(&printed);
    assert_eq!(again.to_string(), printed);
    assert_eq!(again.parts().len(), template.parts().len());
    let variables = again.variables();
    assert_eq!(variables.len(), template.variables().len());
    for (variable, other) in variables.iter().zip(template.variables()) {
        assert_eq!(variable.source(), other.source());
        assert_eq!(variable.path(), other.path());
        assert_eq!(variable.conversion(), other.conversion());
        assert_eq!(variable.annotations(), other.annotations());
        assert_eq!(variable.default().is_some(), other.default().is_some());
    }
}

/// Twice it is the same, and what is JSON is read as what was written, but for whole numbers of more than 64
/// bits, which JSON's reader takes for floats: so what was read once is read the same from there on.
fn evaluate(tree: &Tree, sources: &Map) {
    let once = tree.evaluate(sources);
    let twice = tree.evaluate(sources);
    let (Ok(once), Ok(twice)) = (&once, &twice) else {
        assert_eq!(once.is_ok(), twice.is_ok());
        return;
    };
    assert_eq!(once, twice);
    if let Ok(json) = once.to_json()
        && let Ok(read) = Value::from_json(json.as_bytes())
    {
        let written = read.to_json().expect("it was JSON");
        let again = Value::from_json(written.as_bytes()).expect("it was JSON");
        assert_eq!(again.to_json().expect("it was JSON"), written);
    }
}

fuzz_target!(|input: &[u8]| {
    let Ok(input) = std::str::from_utf8(input) else {
        return;
    };
    let (text, json) = input.split_once('\n').unwrap_or((input, "null"));
    let template = Template::parse(text);
    check(text, &template);
    print(&template);
    literals(text);
    let value = Value::from_json(json.as_bytes()).unwrap_or_default();
    duration(&value).ok();
    let mut sources = Map::new();
    for variable in template.variables() {
        sources.insert(variable.source().to_string(), value.clone());
    }
    for value in [Value::from(text), value] {
        if let Ok(tree) = Tree::parse(&value) {
            evaluate(&tree, &sources);
        }
    }
});
