use super::*;
use crate::parse;
use proptest::prelude::*;

fn lookup(name: &str) -> Option<String> {
    let value = match name {
        "PORT" => "2222",
        "HOST" => "gw.example",
        "EMPTY" => "",
        "NULL" => "null",
        "TILDE" => "~",
        "YES" => "true",
        "SECRET" => "s3cr3t: #\n\"'${env.HOST}",
        _ => return None,
    };
    Some(value.to_owned())
}

/// The type and text of a scalar after resolving, and what was wrong.
fn resolved(scalar: &str, unset: Unset) -> (Value, String, String) {
    let text = format!("a: {scalar}");
    let mut document = parse("f.yml", text.as_bytes()).unwrap();
    let mut problems = Problems::new();
    document.resolve_environment(&lookup, unset, &mut problems);
    let entry = document.root().as_mapping().unwrap().entry("a").unwrap();
    let scalar = entry.node.as_scalar().unwrap();
    (
        scalar.value(),
        scalar.text().to_owned(),
        problems.to_string(),
    )
}

#[test]
fn references_become_values_and_a_whole_one_has_the_type_of_its_text() {
    use Value::{Boolean, Integer, Null, Text};
    for (scalar, value, text) in [
        ("${env.PORT}", Integer(2222), "2222"),
        ("${ env.PORT }", Integer(2222), "2222"),
        ("${env.PORT|22}", Integer(2222), "2222"),
        ("${env.NONE | 22}", Integer(22), "22"),
        ("${env.NONE|22}", Integer(22), "22"),
        ("${env.NONE | two words}", Text, "two words"),
        ("${env.NONE | \"22\"}", Text, "22"),
        ("'${env.NONE | \"22\"}'", Text, "\"22\""),
        ("${env.NONE | '22'}", Text, "22"),
        ("${env.NONE | \"}", Text, "\""),
        ("${env.NONE | yes}", Text, "yes"),
        ("${env.NONE | ~}", Null, "~"),
        ("${env.NONE | }", Null, ""),
        ("${env.NONE |}", Null, ""),
        ("${env.EMPTY | 22}", Null, ""),
        ("${env.NULL}", Text, "null"),
        ("${env.TILDE}", Text, "~"),
        ("${env.YES}", Boolean(true), "true"),
        ("\"${env.PORT}\"", Text, "2222"),
        ("'${env.PORT | 22}'", Text, "2222"),
        ("${env.PORT as string}", Text, "2222"),
        ("'${env.PORT as integer}'", Integer(2222), "2222"),
        ("${env.NONE as number | 1.5}", Value::Float(1.5), "1.5"),
        ("'${env.NONE as boolean | false}'", Boolean(false), "false"),
        ("${env.HOST}:${env.PORT}", Text, "gw.example:2222"),
        ("1${env.PORT}", Text, "12222"),
        ("http://${env.NONE | \"x\"}/", Text, "http://\"x\"/"),
        (
            "${input.k | ${env.NONE | \"d\"}}",
            Text,
            "${input.k | \"d\"}",
        ),
        ("${env.SECRET}", Text, "s3cr3t: #\n\"'${env.HOST}"),
        ("x ${env.SECRET}", Text, "x s3cr3t: #\n\"'${env.HOST}"),
        // Not references.
        ("${input.text}", Text, "${input.text}"),
        ("${env.PORT as bytes}", Text, "${env.PORT as bytes}"),
        ("${env. PORT}", Text, "${env. PORT}"),
        ("${env.}", Text, "${env.}"),
        ("${env.|x}", Text, "${env.|x}"),
        ("${env.A B}", Text, "${env.A B}"),
        ("${env.PORT", Text, "${env.PORT"),
        ("$env.PORT", Text, "$env.PORT"),
        ("${${${ä}", Text, "${${${ä}"),
        ("'}${env.PORT'", Text, "}${env.PORT"),
    ] {
        let found = resolved(scalar, Unset::Refuse);
        assert_eq!(found, (value, text.to_owned(), String::new()), "{scalar}");
    }
}

#[test]
fn what_cannot_be_replaced_is_a_problem_without_its_value() {
    for (scalar, message) in [
        (
            "${env.NONE}",
            "f.yml:1:4: the environment variable NONE is not set\n\
             help: set it, or write ${env.NONE | a default}",
        ),
        (
            "x ${env.NONE} y",
            "f.yml:1:4: the environment variable NONE is not set\n\
             help: set it, or write ${env.NONE | a default}",
        ),
        (
            "${env.A | ${env.B}}",
            "f.yml:1:4: a reference to the environment cannot hold another reference",
        ),
        (
            "${env.SECRET as integer}",
            "f.yml:1:4: wanted a whole number, found a value from ${env.SECRET}",
        ),
        (
            "${env.NONE as integer | x}",
            "f.yml:1:4: wanted a whole number, found the text \"x\"",
        ),
    ] {
        assert_eq!(resolved(scalar, Unset::Refuse).2, message, "{scalar}");
    }
}

#[test]
fn an_unset_variable_stays_where_the_caller_wants_that() {
    for scalar in ["${env.NONE}", "x ${env.NONE} y"] {
        let found = resolved(scalar, Unset::Leave);
        assert_eq!(found, (Value::Text, scalar.to_owned(), String::new()));
    }
}

#[test]
fn comments_are_no_place_for_references_and_keys_are_refused() {
    let text = b"# ${env.NONE}\na: {\"x${env.PORT}\": 1}\n";
    let mut document = parse("f.yml", text).unwrap();
    let mut problems = Problems::new();
    document.resolve_environment(&lookup, Unset::Refuse, &mut problems);
    assert_eq!(
        problems.to_string(),
        "f.yml:2:5: a key cannot hold a reference to the environment"
    );
}

#[test]
fn a_value_from_the_environment_is_never_shown() {
    let text = b"a: ${env.SECRET}\nb: x ${env.HOST} ${env.SECRET} ${env.HOST}\n";
    let mut document = parse("f.yml", text).unwrap();
    let mut problems = Problems::new();
    document.resolve_environment(&lookup, Unset::Refuse, &mut problems);
    let debug = format!("{document:?}");
    assert!(!debug.contains("s3cr3t"), "{debug}");
    for (key, shown) in [
        ("a", "a value from ${env.SECRET}"),
        ("b", "a value from ${env.HOST} and ${env.SECRET}"),
    ] {
        let node = &document
            .root()
            .as_mapping()
            .unwrap()
            .entry(key)
            .unwrap()
            .node;
        assert_eq!(node.describe(), shown);
        let mut problems = Problems::new();
        node.port(&mut problems);
        node.boolean(&mut problems);
        node.duration(&mut problems);
        node.number(&mut problems);
        node.choice(&[("s3cr3t", 1)], &mut problems);
        node.list(&mut problems, Node::text);
        assert_eq!(problems.count(), 6);
        assert!(!problems.to_string().contains("s3cr3t:"), "{problems}");
        assert!(!problems.to_string().contains("example "), "{problems}");
    }
}

#[test]
fn references_cannot_make_more_text_than_a_file_may_hold() {
    let text = "- x${env.BIG}\n".repeat(100);
    let mut document = parse("f.yml", text.as_bytes()).unwrap();
    let mut problems = Problems::new();
    let lookup = |_: &str| Some("y".repeat(100_000));
    document.resolve_environment(&lookup, Unset::Refuse, &mut problems);
    assert_eq!(
        problems.to_string(),
        "f.yml:42:3: references to the environment make more text than a file may hold"
    );
}

#[test]
fn many_beginnings_of_references_are_searched_in_linear_time() {
    // Quadratic would be minutes.
    for beginning in ["${", "${env.", "${ env.A | ", "${env.A B}"] {
        let text = beginning.repeat(500_000 / beginning.len());
        for text in [text.clone(), format!("{text}}}")] {
            pieces(&text).for_each(drop);
        }
    }
}

proptest! {
    #[test]
    fn pieces_are_the_whole_text(text in r"(\$\{|env\.|[A-C]| |\||\}|as|string|ä){0,40}") {
        let mut joined = String::new();
        let mut is_nested = false;
        for piece in pieces(&text) {
            match piece {
                Piece::Text(part) => joined.push_str(part),
                Piece::Reference(reference) => joined.push_str(reference.written),
                Piece::Nested => is_nested = true,
            }
        }
        prop_assert!(is_nested || joined == text);
    }
}

#[test]
fn a_scalar_names_the_variables_in_it_each_once() {
    let mut document = parse("f.yml", b"\"${env.A}-${env.B}-${env.A}-${env.C | d}\"").unwrap();
    let lookup = |name: &str| (name != "C").then(|| "x".to_owned());
    let mut problems = Problems::new();
    document.resolve_environment(&lookup, Unset::Refuse, &mut problems);
    let scalar = document.root().as_scalar().unwrap();
    assert_eq!(scalar.text(), "x-x-x-d");
    assert_eq!(scalar.variables().collect::<Vec<_>>(), ["A", "B"]);
}

#[test]
fn the_values_of_variables_are_told_apart_from_the_files_own_text() {
    for (scalar, ranges) in [
        ("${env.PORT}", &[(0, 4)][..]),
        ("'${env.SECRET}'", &[(0, 23)][..]),
        ("${env.EMPTY as string}", &[(0, 0)][..]),
        ("${env.NONE | 22}", &[][..]),
        ("${input.x}", &[][..]),
        (
            "a ${env.PORT}-${env.NONE | d}-${env.HOST}",
            &[(2, 6), (9, 19)][..],
        ),
        ("${input.k | ${env.PORT}}", &[(12, 16)][..]),
        (
            "é${env.PORT}${env.EMPTY}${env.PORT}",
            &[(2, 6), (6, 6), (6, 10)][..],
        ),
    ] {
        let mut document = parse("f.yml", format!("- {scalar}").as_bytes()).unwrap();
        let mut problems = Problems::new();
        document.resolve_environment(&lookup, Unset::Refuse, &mut problems);
        let nodes = document.root().as_sequence().unwrap();
        let found = nodes[0].as_scalar().unwrap();
        let ranges: Vec<_> = ranges.iter().map(|(from, to)| *from..*to).collect();
        assert_eq!(found.foreign(), ranges, "{scalar}");
        for range in found.foreign() {
            assert!(found.text().get(range.clone()).is_some(), "{scalar}");
        }
    }
}
