//! Variables: parsed, printed and parsed again, and evaluated.
//!
//! The first line is a template, the rest is JSON: the value of every source, and a tree.
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
