use super::*;
use proptest::prelude::*;

fn process(name: &str) -> Option<String> {
    (name == "HOME").then(|| "/home/me".to_owned())
}

fn variables(text: &str) -> Vec<(String, String)> {
    parse(text, &process).variables.into_iter().collect()
}

/// The value of `A`, alone in its file.
fn value(written: &str) -> String {
    let found = variables(&format!("A={written}"));
    assert_eq!(found.len(), 1, "{written}: {found:?}");
    found[0].1.clone()
}

#[test]
fn comments_export_and_spaces_around_the_sign_change_nothing() {
    for text in [
        "A=1",
        "# c\nA=1",
        "export A=1",
        "export   A=1",
        "A = 1",
        "A\t=\t1  ",
        "  A=1",
        "\n\n A=1\r\n\n",
        "A=1 # one",
        "'A'=1",
        "A=0\nA=1",
        "\u{feff}A=1",
        "B\nA=1",
        "A=1\n#B=2",
    ] {
        assert_eq!(
            variables(text),
            [("A".to_owned(), "1".to_owned())],
            "{text:?}"
        );
    }
}

#[test]
fn a_value_without_quotes_ends_before_space_and_a_hash() {
    for (written, wanted) in [
        ("val # c", "val"),
        ("val#x", "val#x"),
        ("val#x # y", "val#x"),
        ("  val  ", "val"),
        ("a b", "a b"),
        ("a=b=c", "a=b=c"),
        ("~/.ssh/id_rsa", "~/.ssh/id_rsa"),
        ("a\\nb", "a\\nb"),
        ("a'b\"c", "a'b\"c"),
        ("# c", "# c"),
        (" # c", ""),
        ("", ""),
        ("$HOME", "$HOME"),
    ] {
        assert_eq!(value(written), wanted, "{written}");
    }
}

#[test]
fn single_quotes_keep_all_but_two_escapes_and_references() {
    for (written, wanted) in [
        ("'a b # c'", "a b # c"),
        ("'a\\nb'", "a\\nb"),
        ("'it\\'s'", "it's"),
        ("'a\\\\b'", "a\\b"),
        ("'${HOME}'", "/home/me"),
        ("'two\nlines'", "two\nlines"),
        ("'x' # c", "x"),
        ("''", ""),
        ("'\"'", "\""),
    ] {
        assert_eq!(value(written), wanted, "{written}");
    }
}

#[test]
fn double_quotes_decode_escapes_and_span_lines() {
    for (written, wanted) in [
        ("\"a\\nb\\tc\"", "a\nb\tc"),
        ("\"\\\"q\\\"\"", "\"q\""),
        ("\"a\\\\b\"", "a\\b"),
        ("\"a\\\\\"", "a\\"),
        ("\"a # b\"", "a # b"),
        ("\"two\nlines\"", "two\nlines"),
        ("\"\\a\\b\\f\\r\\v\\'\"", "\u{7}\u{8}\u{c}\r\u{b}'"),
        ("\"\\x\\$\"", "\\x\\$"),
        ("\"${HOME}/x\"", "/home/me/x"),
    ] {
        assert_eq!(value(written), wanted, "{written}");
    }
}

#[test]
fn references_look_at_the_file_then_at_the_process_then_at_nothing() {
    for (text, wanted) in [
        ("B=1\nA=${B}", "1"),
        ("A=${HOME}", "/home/me"),
        ("HOME=/x\nA=${HOME}", "/x"),
        ("A=${B}\nB=1", ""),
        ("A=${B:-d e}", "d e"),
        ("B=\nA=${B:-d}", ""),
        ("A=${B:-}", ""),
        ("A=${B:x}", "${B:x}"),
        ("A=${B-x}", ""),
        ("A=${B", "${B"),
        ("A=${}", ""),
        ("A=$B", "$B"),
        ("A=1\nA=${A}2", "12"),
        ("HOME\nA=${HOME:-d}", ""),
        ("B=${C}\nC=1\nA=${B}x", "x"),
    ] {
        let found = parse(text, &process).variables;
        assert_eq!(found.get("A").map(String::as_str), Some(wanted), "{text}");
    }
}

#[test]
fn a_key_without_a_value_is_no_variable() {
    assert_eq!(variables("A"), []);
    assert_eq!(variables("A\nB = \nC"), [("B".to_owned(), String::new())]);
    assert_eq!(variables("A=1\nA"), []);
}

#[test]
fn what_cannot_be_read_is_passed_over_line_by_line() {
    for (text, lines) in [
        ("A=1\n=2\nB=3", vec![2]),
        ("A=1\nC=\"open\nB=3", vec![2]),
        ("A=1\nC='x' y\nB=3", vec![2]),
        ("A=1\nC D=2\nB=3", vec![2]),
        ("A=1\r\n''=2\r\nB=3", vec![2]),
        ("A=1\nC=\"two\nlines\" x\nB=3\n=", vec![2, 5]),
    ] {
        let found = parse(text, &process);
        assert_eq!(found.passed_over, lines, "{text:?}");
        let wanted = [("A", "1"), ("B", "3")].map(|(key, value)| (key.into(), value.into()));
        assert_eq!(found.variables, BTreeMap::from(wanted), "{text:?}");
    }
}

proptest! {
    #[test]
    fn no_file_is_too_strange(text in "[A-C= '\"#\\\\$\\{\\}:\\-\n\r\ta-c]{0,60}") {
        let lines = text.replace("\r\n", "\n").replace('\r', "\n");
        let lines = u32::try_from(lines.matches('\n').count()).unwrap() + 1;
        let found = parse(&text, &process);
        prop_assert!(found.passed_over.iter().all(|line| *line <= lines));
    }
}
