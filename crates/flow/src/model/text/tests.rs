use adit_text::{Problems, Unset};
use proptest::prelude::*;

use super::*;
use crate::expr::{Map, Value};

/// What is read where `value` is the value of `K`.
fn node(written: &str, value: &str) -> adit_text::Node {
    let quoted = written.replace('\'', "''");
    let mut document = adit_text::parse("f.yml", format!("'{quoted}'").as_bytes()).unwrap();
    let mut problems = Problems::new();
    let lookup = |name: &str| (name == "K").then(|| value.to_owned());
    document.resolve_environment(&lookup, Unset::Refuse, &mut problems);
    assert!(problems.is_empty(), "{problems}");
    document.root().clone()
}

fn text(written: &str, value: &str) -> Text {
    let node = node(written, value);
    Text::new(node.as_scalar().unwrap(), node.place())
}

fn sources() -> Map {
    let input = Value::from_json(br#"{"x": "X", "secret": "s3cr3t", "list": [1, 2]}"#).unwrap();
    Map::from_iter([("input".to_owned(), input)])
}

fn rendered(written: &str, value: &str) -> Value {
    let template = text(written, value).template();
    template.evaluate(&sources()).unwrap()
}

#[test]
fn issue_4_a_value_of_the_environment_is_text_whatever_it_says() {
    for (written, value, wanted) in [
        ("${env.K}", "${input.secret}", "${input.secret}"),
        ("a ${env.K}", "${input.secret}", "a ${input.secret}"),
        (
            "${input.k | ${env.K}}",
            "${input.secret}",
            "${input.secret}",
        ),
        ("${input.k | ${env.K}}", "a}b", "a}b"),
        ("${input.k | ${env.K}}", r#""q""#, r#""q""#),
        ("${input.k | \"${env.K}\"}", r#"q""#, r#"q""#),
        ("${input.k | ${env.K}}", "", ""),
        ("${input.k |${env.K}}", "", ""),
        ("${input.k | ${env.K}}", " a ", " a "),
        (
            "${input.k | a ${env.K} @(description d)}",
            "@(x y)",
            "a @(x y)",
        ),
        (r"${input.k | \${env.K}}", "}", r"\}"),
        ("${input.k | ${input.l | ${env.K}}}", "} | {", "} | {"),
        ("${input.x @(description ${env.K})}", "no) }", "X"),
        ("$${env.K}{input.secret}", "", "${input.secret}"),
        ("${env.K}{input.secret}", "$", "${input.secret}"),
        ("$${env.K}", "{input.secret}", "${input.secret}"),
        ("${env.K}}", "${input.secret", "${input.secret}"),
        ("${input.x}${env.K}", "${input.secret}", "X${input.secret}"),
    ] {
        assert_eq!(
            rendered(written, value),
            Value::from(wanted),
            "{written} {value}"
        );
    }
}

#[test]
fn a_value_of_the_environment_may_be_a_name_and_nothing_else_inside_a_variable() {
    for (written, value, wanted) in [
        ("${input.${env.K}}", "x", "X"),
        ("${input.sec${env.K}t}", "re", "s3cr3t"),
        ("${input.list[${env.K}]}", "-1", "2"),
        ("${input.${env.K}}", "x | y", "${input.x | y}"),
        ("${input.${env.K}}", "list[0]", "${input.list[0]}"),
        ("${input.${env.K}}", "", "${input.}"),
        ("${input.list[${env.K}]}", "0:1", "${input.list[0:1]}"),
        ("${${env.K}.x}", "input", "${input.x}"),
        ("${${env.K}input.x}", "", "${input.x}"),
        (
            "${input.list ${env.K} integer}",
            "as",
            "${input.list as integer}",
        ),
        ("${input.list as ${env.K}}", "json", "${input.list as json}"),
        ("${input.x ${env.K} y}", "|", "${input.x | y}"),
        ("${input.x ${env.K}}", "@(a b)", "${input.x @(a b)}"),
        ("${input.x ${env.K}", "}", "${input.x }"),
    ] {
        let found = rendered(written, value).text_form().unwrap().into_owned();
        assert_eq!(found, wanted, "{written} {value}");
        let strays = text(written, value).template().strays().len();
        assert_eq!(
            strays,
            usize::from(found == wanted && wanted.starts_with("${"))
        );
    }
    let text = text("http://${gateway:${env.K}.public_address}/", "8090");
    let source = text.template().variables()[0].source().clone();
    assert_eq!(source.name(), "gateway:8090");
    let span = text.template().variables()[0].span();
    assert_eq!(
        text.as_str().get(span),
        Some("${gateway:8090.public_address}")
    );
}

#[test]
fn text_is_known_if_only_values_of_the_environment_look_like_variables() {
    for (written, value, is_literal) in [
        ("${env.K}", "${input.x}", true),
        ("a$${env.K}b", "{input.x}", true),
        ("a${env.K}b", "", true),
        ("${input.x}${env.K}", "", false),
        ("${input.k | ${env.K}}", "${input.x}", false),
        ("${1}", "", false),
    ] {
        assert_eq!(
            text(written, value).is_literal(),
            is_literal,
            "{written} {value}"
        );
    }
    let place = node("a", "").place().clone();
    assert_eq!(text("${env.K}", "a"), Text::implied("a", &place));
    assert_ne!(
        text("${env.K}", "${input.x}"),
        Text::implied("${input.x}", &place)
    );
}

/// What values are of: all that means something to the grammar, and some that does not.
const PIECES: &str =
    r#"(\$|\{|\}|\$\{|\||"|'|\\|@|\(|\)|\[|\]|\.| |as|input|input\.x|\n|é|7){0,8}"#;

/// Templates with places for values, each of which stands where text does.
fn around() -> impl Strategy<Value = String> {
    let text = "(a|b |\\$|\\{|\\}|\"|'|é|\\$\\{input\\.x\\}|\\$\\{1\\}|<K>){0,5}";
    (text, text, text, 0_u8..5).prop_map(|(before, inside, behind, shape)| match shape {
        0 => format!("{before}<K>{behind}"),
        1 => format!("{before}${{input.none | <K>{inside}}}{behind}"),
        2 => format!("{before}${{input.none | {inside}<K>}}<K>{behind}"),
        3 => format!("${{input.none | ${{input.no | {inside}<K>}}{behind}}}"),
        _ => format!("${{input.none | \"<K>\"}}{behind}"),
    })
}

/// Whether a value stands in the name of a variable, where it is part of that name: `${a<K>}`.
fn is_in_a_name(around: &str) -> bool {
    around.split("${").skip(1).any(|behind| {
        let name = behind.split(['|', '{', '}', '$']).next();
        name.is_some_and(|name| name.contains("<K>"))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// What cannot mean anything in a template takes the value's place, and is replaced afterwards.
    #[test]
    fn a_value_is_put_in_as_it_is_wherever_text_is(around in around(), value in PIECES) {
        const PLACEHOLDER: &str = "\u{e000}";
        prop_assume!(!is_in_a_name(&around));
        let read = |value: &str| {
            let mut written = String::new();
            let mut literals = Vec::new();
            for (at, piece) in around.split("<K>").enumerate() {
                if at > 0 {
                    let start = written.len();
                    written.push_str(value);
                    literals.push(start..written.len());
                }
                written.push_str(piece);
            }
            let template = Template::parse_with_literals(&written, &literals);
            (template.evaluate(&sources()).unwrap(), template.strays().len())
        };
        let (found, strays) = read(&value);
        let (with_placeholder, others) = read(PLACEHOLDER);
        let as_text = |value: &Value| value.text_form().unwrap().into_owned();
        let wanted = as_text(&with_placeholder).replace(PLACEHOLDER, &value);
        prop_assert_eq!(as_text(&found), wanted);
        prop_assert_eq!(strays, others);
        prop_assert!(as_text(&found).contains(&value));
    }
}
