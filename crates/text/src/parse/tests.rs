use super::*;
use crate::node::{Content, Node, Value};
use proptest::prelude::*;
use std::fmt::Write as _;

/// A short picture of a tree: types and texts, without places.
pub(crate) fn picture(node: &Node) -> String {
    match node.content() {
        Content::Scalar(scalar) => match scalar.value() {
            Value::Null => "null".to_owned(),
            Value::Boolean(boolean) => boolean.to_string(),
            Value::Integer(integer) => integer.to_string(),
            Value::Float(float) => format!("{float:?}"),
            Value::Text => format!("{:?}", scalar.text()),
        },
        Content::Sequence(nodes) => {
            let nodes: Vec<String> = nodes.iter().map(picture).collect();
            format!("[{}]", nodes.join(", "))
        }
        Content::Mapping(mapping) => {
            let entries: Vec<String> = mapping
                .entries()
                .iter()
                .map(|entry| format!("{}: {}", entry.key, picture(&entry.node)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

fn read(text: &str) -> String {
    picture(parse("f.yml", text.as_bytes()).unwrap().root())
}

fn refused(text: impl AsRef<[u8]>) -> String {
    parse("f.yml", text.as_ref()).unwrap_err().to_string()
}

#[test]
fn files_become_trees() {
    for (text, tree) in [
        ("", "null"),
        ("# only a comment\n", "null"),
        ("\u{feff}a: 1", "{a: 1}"),
        ("---\na: 1\n...\n", "{a: 1}"),
        ("a: 1\r\nb: 2\r\n", "{a: 1, b: 2}"),
        ("b: 1\na: 2", "{b: 1, a: 2}"),
        (
            "a:\n  - x\n  - y: 1\n    z: 2",
            "{a: [\"x\", {y: 1, z: 2}]}",
        ),
        (
            "{a: [1, 2.50, ~, yes], 'b c': \"1\"}",
            "{a: [1, 2.5, null, \"yes\"], b c: \"1\"}",
        ),
        ("a: |\n  two\n  lines\n", "{a: \"two\\nlines\\n\"}"),
        ("a: >-\n  one\n  line\n", "{a: \"one line\"}"),
        ("8080: x\ntrue: y", "{8080: \"x\", true: \"y\"}"),
        (
            "a: !!str 8080\nb: !!int \"7\"\nc: !!float 1\nd: ! 1",
            "{a: \"8080\", b: 7, c: 1.0, d: \"1\"}",
        ),
        ("a: !!map {b: !!seq [1]}", "{a: {b: [1]}}"),
        ("a: '8080:localhost:80'", "{a: \"8080:localhost:80\"}"),
        ("a: 8080:localhost:80", "{a: \"8080:localhost:80\"}"),
    ] {
        assert_eq!(read(text), tree, "{text}");
    }
}

#[test]
fn a_scalar_keeps_the_text_that_it_was_written_as() {
    for text in [
        "8080",
        "1.10",
        "0600",
        "0x1F",
        "true",
        "~",
        "1e3",
        "plain words",
    ] {
        let document = parse("f.yml", format!("[{text}]").as_bytes()).unwrap();
        let node = &document.root().as_sequence().unwrap()[0];
        assert_eq!(node.as_scalar().unwrap().text(), text);
    }
}

#[test]
fn every_node_and_key_knows_its_place() {
    let text = "# head\nweb:\n  host: gw\n  ports: [1, 22]\nlist:\n- ä: {x: y}\n";
    let document = parse("f.yml", text.as_bytes()).unwrap();
    let root = document.root().as_mapping().unwrap();
    let web = root.entry("web").unwrap();
    let host = web.node.as_mapping().unwrap().entry("host").unwrap();
    let ports = web.node.as_mapping().unwrap().entry("ports").unwrap();
    let list = root.entry("list").unwrap();
    let item = &list.node.as_sequence().unwrap()[0];
    let inner = item.as_mapping().unwrap().entry("ä").unwrap();
    for (place, at) in [
        (document.root().place(), "f.yml:2:1"),
        (&web.place, "f.yml:2:1"),
        (web.node.place(), "f.yml:3:3"),
        (&host.place, "f.yml:3:3"),
        (host.node.place(), "f.yml:3:9"),
        (ports.node.place(), "f.yml:4:10"),
        (ports.node.as_sequence().unwrap()[1].place(), "f.yml:4:14"),
        (list.node.place(), "f.yml:6:3"),
        (item.place(), "f.yml:6:3"),
        (inner.node.place(), "f.yml:6:6"),
    ] {
        assert_eq!(place.to_string(), at);
    }
}

#[test]
fn aliases_stand_for_what_was_anchored() {
    for (text, tree) in [
        ("a: &x 1\nb: *x", "{a: 1, b: 1}"),
        (
            "a: &x [1, {c: 2}]\nb: [*x, *x]",
            "{a: [1, {c: 2}], b: [[1, {c: 2}], [1, {c: 2}]]}",
        ),
        ("a: &x 1\nb: &x 2\nc: *x", "{a: 1, b: 2, c: 2}"),
        ("&k a: 1\nb: *k", "{a: 1, b: \"a\"}"),
    ] {
        assert_eq!(read(text), tree, "{text}");
    }
}

#[test]
fn a_merge_key_adds_what_is_not_given() {
    for (text, tree) in [
        (
            "a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}",
            "{a: {p: 1, q: 2}, b: {q: 3, p: 1}}",
        ),
        (
            "a: &x {p: 1, q: 2}\nb: {q: 3, <<: *x}",
            "{a: {p: 1, q: 2}, b: {q: 3, p: 1}}",
        ),
        (
            "a: &x {p: 1}\nb: &y {p: 2, q: 2}\nc: {<<: [*x, *y]}",
            "{a: {p: 1}, b: {p: 2, q: 2}, c: {p: 1, q: 2}}",
        ),
        ("<<: {a: 1}", "{a: 1}"),
        ("'<<': {a: 1}", "{<<: {a: 1}}"),
    ] {
        assert_eq!(read(text), tree, "{text}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (text, message) in [
        (
            "a: 1\nb: 2\na: 3\n",
            "f.yml:3:1: the key \"a\" is given already at f.yml:1:1\nhelp: remove one of the two",
        ),
        (
            "a: 1\n---\nb: 2\n",
            "f.yml:2:1: a second document begins here, and a file holds one\n\
             help: remove the line \"---\", or give each document its own file",
        ),
        (
            "a:\n\t- 1\n",
            "f.yml:2:2: not YAML: tabs disallowed within this context (block indentation)\n\
             help: indent with spaces, not with tabs",
        ),
        (
            "a: b: c",
            "f.yml:1:5: not YAML: mapping values are not allowed in this context\n\
             help: text with \": \" in it needs quotes, and keys of one mapping one indentation",
        ),
        (
            "a: *x",
            "f.yml:1:4: not YAML: while parsing node, found unknown anchor\n\
             help: text that begins with * needs quotes",
        ),
        (
            "a: @x",
            "f.yml:1:4: not YAML: unexpected character: `@'\n\
             help: text that begins with @, ` or % needs quotes",
        ),
        (
            "a: &x [*x]",
            "f.yml:1:8: this alias stands inside of what it stands for",
        ),
        (
            "[a, b",
            "f.yml:2:1: not YAML: while parsing a flow sequence, expected ',' or ']'\n\
             help: text with {, }, [, ] or a comma in it needs quotes in a list or mapping of one line",
        ),
        (
            "a: !secret x",
            "f.yml:1:4: the tag !secret means nothing here\n\
             help: text that begins with ! needs quotes",
        ),
        (
            "a: !!int x",
            "f.yml:1:4: \"x\" is not tag:yaml.org,2002:!int",
        ),
        ("? [a]\n: b", "f.yml:1:3: a key is a word, found a list"),
        (": b", "f.yml:1:1: a key is missing before the colon"),
        (
            "<<: 1",
            "f.yml:1:5: << wants a mapping or a list of mappings, found the number 1\n\
             help: for example: <<: *defaults",
        ),
        (
            "<<: {a: 1}\n<<: {b: 1}",
            "f.yml:2:1: << is given twice in one mapping\n\
             help: for example: <<: [*first, *second]",
        ),
        ("a: \0", "f.yml:1:4: not YAML: found unprintable character"),
    ] {
        assert_eq!(refused(text), message, "{text}");
    }
}

#[test]
fn every_duplicate_key_is_named_at_once() {
    let message = refused("a: 1\na: 2\nb: {c: 1, c: 2}\n");
    assert_eq!(message.matches("is given already").count(), 2, "{message}");
}

#[test]
fn bytes_that_are_not_utf8_are_refused_where_they_stand() {
    assert_eq!(
        refused(b"a: 1\nb: \xc3\xa4\xff\n"),
        "f.yml:2:5: the file is not text in UTF-8 from here on\n\
         help: save it with the encoding UTF-8"
    );
}

#[test]
fn what_a_terminal_would_obey_is_escaped_in_messages() {
    let message = refused("\"a\\x1b[2J\": 1\n\"a\\x1b[2J\": 2\n");
    assert!(
        message.contains("the key \"a\\u{1b}[2J\" is given"),
        "{message}"
    );
}

#[test]
fn the_limits_refuse_what_is_over_them_and_nothing_else() {
    let file = |bytes: usize| format!("#{}", "x".repeat(bytes - 1));
    assert_eq!(read(&file(limits::FILE_BYTES)), "null");
    assert!(refused(file(limits::FILE_BYTES + 1)).contains("longer than 1048576 bytes"));

    let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(parse("f", deep(limits::DEPTH).as_bytes()).is_ok());
    assert!(refused(deep(limits::DEPTH + 1)).contains("f.yml:1:65: more than 64 mappings"));
    let blocks = |depth: usize| "- ".repeat(depth);
    assert!(refused(blocks(300_000)).contains("more than 64 mappings"));

    // An alias at the bottom of one tree is as deep as what it stands for.
    let half = limits::DEPTH / 2;
    let joined = |more: usize| {
        format!(
            "- &x {}\n- {}*x{}\n",
            deep(half),
            "[".repeat(more),
            "]".repeat(more)
        )
    };
    assert!(parse("f", joined(half - 1).as_bytes()).is_ok());
    assert!(refused(joined(half)).contains("f.yml:2:35: more than 64"));

    let nodes = |count: usize| format!("[{}]", "1,".repeat(count - 1));
    assert!(parse("f", nodes(limits::NODES).as_bytes()).is_ok());
    assert!(refused(nodes(limits::NODES + 1)).contains("more than 100000 nodes"));
}

#[test]
fn a_billion_laughs_are_not_laughed() {
    let mut text = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for level in 1..10 {
        let below = format!("*a{}", level - 1);
        let list = [below.as_str(); 9].join(", ");
        writeln!(text, "a{level}: &a{level} [{list}]").unwrap();
    }
    assert!(refused(text).contains("more than 100000 nodes"));

    // Few nodes, but long ones.
    let long = "x".repeat(500_000);
    let text = format!("a: &a {long}\nb: [*a, *a, *a, *a, *a, *a, *a, *a]");
    assert!(refused(text).contains("4194304 bytes of text"));
}

#[test]
fn long_files_of_every_pattern_are_read_in_linear_time() {
    // Quadratic would be minutes.
    const LENGTH: usize = 100_000;
    let patterns = [
        "[",
        "{",
        "- ",
        "? ",
        "a: ",
        "a:\n",
        "\"",
        "'",
        "&a ",
        "&a",
        "*a ",
        "!!",
        "!a ",
        "%TAG ! a\n",
        "#",
        "#\n",
        "\n",
        " ",
        "\t",
        " \n",
        "|\n",
        "|\n \n",
        ">\n a\n",
        "a",
        "a ",
        "a\n",
        "a b\n  ",
        ",",
        ":",
        ": ",
        "[a,",
        "{a: ",
        "{a,",
        "[]",
        "- a\n",
        "- &a b\n",
        "- *a\n",
        "<<: {}\n",
        "---\n",
        "...\n",
        "${env.A | b",
        "ä",
        "\\",
        "\"\\\n",
        "a: b\n",
        "[a]: b,",
        "? a\n: b\n",
    ];
    for pattern in patterns {
        for start in ["", "["] {
            let text = start.to_owned() + &pattern.repeat(LENGTH / pattern.len());
            parse("f", text.as_bytes()).ok();
        }
    }
}

/// A tree to write down and read back.
#[derive(Clone, Debug)]
enum Tree {
    Text(String),
    Integer(i64),
    Boolean(bool),
    Null,
    List(Vec<Self>),
    Mapping(std::collections::BTreeMap<String, Self>),
}

impl Tree {
    /// As flow YAML, with escapes as JSON has them.
    fn render(&self) -> String {
        let quoted = |text: &str| {
            let inside: String = text
                .chars()
                .map(|c| match c {
                    '"' | '\\' => format!("\\{c}"),
                    c if c.is_ascii_alphanumeric() => c.to_string(),
                    c => format!("\\U{:08x}", u32::from(c)),
                })
                .collect();
            format!("\"{inside}\"")
        };
        match self {
            Self::Text(text) => quoted(text),
            Self::Integer(integer) => integer.to_string(),
            Self::Boolean(boolean) => boolean.to_string(),
            Self::Null => "null".to_owned(),
            Self::List(trees) => {
                let trees: Vec<String> = trees.iter().map(Self::render).collect();
                format!("[{}]", trees.join(", "))
            }
            Self::Mapping(trees) => {
                let entries: Vec<String> = trees
                    .iter()
                    .map(|(key, tree)| format!("{}: {}", quoted(key), tree.render()))
                    .collect();
                format!("{{{}}}", entries.join(", "))
            }
        }
    }

    fn picture(&self) -> String {
        match self {
            Self::Text(text) => format!("{text:?}"),
            Self::Integer(integer) => integer.to_string(),
            Self::Boolean(boolean) => boolean.to_string(),
            Self::Null => "null".to_owned(),
            Self::List(trees) => {
                let trees: Vec<String> = trees.iter().map(Self::picture).collect();
                format!("[{}]", trees.join(", "))
            }
            Self::Mapping(trees) => {
                let entries: Vec<String> = trees
                    .iter()
                    .map(|(key, tree)| format!("{key}: {}", tree.picture()))
                    .collect();
                format!("{{{}}}", entries.join(", "))
            }
        }
    }
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        any::<String>().prop_map(Tree::Text),
        any::<i64>().prop_map(Tree::Integer),
        any::<bool>().prop_map(Tree::Boolean),
        Just(Tree::Null),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Tree::List),
            proptest::collection::btree_map("[a-zA-Z0-9 :#{-]{0,12}", inner, 0..6)
                .prop_map(Tree::Mapping),
        ]
    })
}

proptest! {
    #[test]
    fn a_tree_that_is_written_is_read_back(tree in tree()) {
        let text = tree.render();
        prop_assert_eq!(read(&text), tree.picture(), "{}", text);
    }

    #[test]
    fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        parse("f", &bytes).ok();
    }

    #[test]
    fn no_yaml_is_too_strange(text in r#"[-a-c:,\[\]{}&*!|>'"~<?%# \n\t0-9.]{0,120}"#) {
        match parse("f", text.as_bytes()) {
            Ok(document) => drop(picture(document.root())),
            Err(problems) => prop_assert!(problems.has_errors()),
        }
    }
}
