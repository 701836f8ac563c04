use super::*;
use crate::parse;

/// The result does not matter, only the problems.
fn done<T>(_: T) {}

/// What a reader of the root's fields leaves as problems.
fn problems(text: &str, read: impl FnOnce(&mut Fields<'_, '_>)) -> String {
    let document = parse("f.yml", text.as_bytes()).unwrap();
    let mut problems = Problems::new();
    if let Some(mut fields) = document.root().fields(&mut problems) {
        read(&mut fields);
        fields.finish();
    }
    problems.to_string()
}

#[derive(Debug, PartialEq)]
struct Tunnel {
    name: String,
    host: String,
    port: Option<u16>,
    remote: Vec<String>,
    keepalive: Option<Duration>,
}

fn tunnel(entry: &Entry, problems: &mut Problems) -> Option<Tunnel> {
    let mut fields = entry.node.fields(problems)?;
    let host = fields.required("host", Node::text);
    let port = fields.port("port");
    let keepalive = fields.duration("keepalive");
    let remote = fields.list("forwards", |node, problems| {
        let mut fields = node.fields(problems)?;
        let remote = fields.required("remote", Node::text);
        fields.finish();
        remote.map(str::to_owned)
    });
    fields.finish();
    Some(Tunnel {
        name: entry.key.clone(),
        host: host?.to_owned(),
        port,
        remote: remote.unwrap_or_default(),
        keepalive,
    })
}

#[test]
fn a_file_is_read_field_by_field() {
    let text = "tunnels: {web: {host: gw, forwards: [{remote: \"8080:localhost:80\"}]}}";
    let document = parse("f.yml", text.as_bytes()).unwrap();
    let mut problems = Problems::new();
    let mut fields = document.root().fields(&mut problems).unwrap();
    let tunnels = fields.named("tunnels", tunnel);
    fields.finish();
    assert_eq!(problems.to_string(), "");
    let web = Tunnel {
        name: "web".into(),
        host: "gw".into(),
        port: None,
        remote: vec!["8080:localhost:80".into()],
        keepalive: None,
    };
    assert_eq!(tunnels, Some(vec![web]));
}

#[test]
fn all_problems_of_a_file_are_found_at_once() {
    let text = "\
tunnels:
  web:
    hots: gw
    port: http
    forwards:
      - remote: [1]
      - local: 1
  db: 7
  empty:
  ok: {host: 10}
verbose: true
";
    let shown = problems(text, |fields| {
        let tunnels = fields.named("tunnels", tunnel).unwrap();
        assert_eq!(tunnels.len(), 1);
        assert_eq!(tunnels[0].host, "10");
    });
    assert_eq!(
        shown,
        "\
f.yml:3:5: web: the key \"host\" is missing
f.yml:3:5: web: unknown key \"hots\"
help: did you mean \"host\"?
f.yml:4:11: port: wanted a port from 1 to 65535, found the text \"http\"
help: for example: 8080
f.yml:6:17: remote: wanted a text, found a list
help: for example: some words
f.yml:7:9: forwards: the key \"remote\" is missing
f.yml:7:9: forwards: unknown key \"local\"
help: known keys: remote
f.yml:8:7: db: wanted a mapping, found the number 7
help: for example: lines of \"key: value\"
f.yml:9:8: empty: the key \"host\" is missing
f.yml:11:1: unknown key \"verbose\"
help: known keys: tunnels"
    );
}

type Read = fn(&mut Fields<'_, '_>);

/// Each reader of the field `a` says what is wrong with its value, at a column.
fn refusals(cases: &[(&str, Read, u32, &str)]) {
    for (value, read, column, message) in cases {
        let shown = problems(&format!("a: {value}"), read);
        assert_eq!(shown, format!("f.yml:1:{column}: a: {message}"), "{value}");
    }
}

#[test]
fn a_scalar_of_the_wrong_type_is_named_with_what_is_wanted() {
    const PORT: &str = "wanted a port from 1 to 65535, found";
    refusals(&[
        (
            "{b: 1}",
            |f| done(f.text("a")),
            4,
            "wanted a text, found a mapping\nhelp: for example: some words",
        ),
        (
            "maybe",
            |f| done(f.boolean("a")),
            4,
            "wanted true or false, found the text \"maybe\"\nhelp: for example: true",
        ),
        (
            "0",
            |f| done(f.port("a")),
            4,
            &format!("{PORT} the number 0\nhelp: for example: 8080"),
        ),
        (
            "65536",
            |f| done(f.port("a")),
            4,
            &format!("{PORT} the number 65536\nhelp: for example: 8080"),
        ),
        (
            "80.0",
            |f| done(f.port("a")),
            4,
            &format!("{PORT} the number 80.0\nhelp: for example: 8080"),
        ),
        (
            "true",
            |f| done(f.port("a")),
            4,
            &format!("{PORT} the boolean true\nhelp: for example: 8080"),
        ),
        (
            "11",
            |f| done(f.integer("a", 0..=10)),
            4,
            "wanted a whole number from 0 to 10, found the number 11\nhelp: for example: 1",
        ),
        (
            "-1",
            |f| done(f.integer("a", 0..=i64::MAX)),
            4,
            "wanted a whole number from 0, found the number -1\nhelp: for example: 1",
        ),
        (
            "x",
            |f| done(f.integer("a", i64::MIN..=i64::MAX)),
            4,
            "wanted a whole number, found the text \"x\"\nhelp: for example: 1",
        ),
        (
            ".nan",
            |f| done(f.optional("a", Node::number)),
            4,
            "wanted a number, found the number .nan\nhelp: for example: 1.5",
        ),
        (
            "strit",
            |f| done(f.choice("a", &[("strict", 1), ("accept-new", 2)])),
            4,
            "wanted \"strict\" or \"accept-new\", found the text \"strit\"\nhelp: did you mean \"strict\"?",
        ),
        (
            "7",
            |f| done(f.choice("a", &[("x", 1), ("y", 2), ("z", 3)])),
            4,
            "wanted \"x\", \"y\" or \"z\", found the number 7",
        ),
    ]);
}

#[test]
fn a_text_without_the_wanted_meaning_says_why() {
    refusals(&[
        (
            "30",
            |f| done(f.duration("a")),
            4,
            "wanted a duration, found the number 30: the unit is missing; units are ms, s, m, h and d\nhelp: for example: 1h30m",
        ),
        (
            "-5s",
            |f| done(f.duration("a")),
            4,
            "wanted a duration, found the text \"-5s\": a duration is not negative\nhelp: for example: 1h30m",
        ),
        (
            "999999999999d",
            |f| done(f.duration("a")),
            4,
            "wanted a duration, found the text \"999999999999d\": the duration is too long\nhelp: for example: 1h30m",
        ),
        (
            "[1]",
            |f| done(f.duration("a")),
            4,
            "wanted a duration, found a list\nhelp: for example: 1h30m",
        ),
        (
            "soon",
            |f| done(f.optional("a", Node::duration_or_seconds)),
            4,
            "wanted a duration, found the text \"soon\": a duration is whole numbers with units\nhelp: for example: 1h30m",
        ),
        (
            "10 MB",
            |f| done(f.size("a")),
            4,
            "wanted a size, found the text \"10 MB\": units are B, kB, MB, GB, TB, KiB, MiB, GiB and TiB\nhelp: for example: 64KiB",
        ),
        (
            "''",
            |f| done(f.path("a")),
            4,
            "wanted a path, found the text \"\": it is empty\nhelp: for example: /etc/adit/key",
        ),
        (
            "\"x\\0\"",
            |f| done(f.path("a")),
            4,
            "wanted a path, found the text \"x\\u{0}\": it holds a NUL\nhelp: for example: /etc/adit/key",
        ),
    ]);
}

#[test]
fn lists_and_mappings_say_what_is_wanted_of_them_and_of_what_they_hold() {
    refusals(&[
        (
            "x",
            |f| done(f.list("a", Node::text)),
            4,
            "wanted a list, found the text \"x\"\nhelp: for example: [first, second]",
        ),
        (
            "[x, 1]",
            |f| done(f.list("a", Node::port)),
            5,
            "wanted a port from 1 to 65535, found the text \"x\"\nhelp: for example: 8080",
        ),
        (
            "[1, {}]",
            |f| done(f.list("a", Node::port)),
            8,
            "wanted a port from 1 to 65535, found a mapping\nhelp: for example: 8080",
        ),
        (
            "[~]",
            |f| done(f.one_or_many("a", Node::text)),
            5,
            "wanted a text, found nothing\nhelp: for example: some words",
        ),
        (
            "{}",
            |f| done(f.one_or_many("a", Node::text)),
            4,
            "wanted a text, found a mapping\nhelp: for example: some words",
        ),
        (
            "[x]",
            |f| done(f.named("a", tunnel)),
            4,
            "wanted a mapping of names, found a list\nhelp: for example: {web: ...}",
        ),
    ]);
}

#[test]
fn good_values_are_taken_in_every_spelling() {
    let text = "\
text: 1.10
yes: yes
off: \"off\"
port: \"8080\"
count: 0x10
ratio: 2
time: 1m30s
seconds: 90
size: 64KiB
path: ~/.ssh/id
mode: strict
one: a
many: [a, 2]
nothing:
";
    let shown = problems(text, |fields| {
        assert_eq!(fields.text("text"), Some("1.10"));
        assert_eq!(fields.boolean("yes"), Some(true));
        assert_eq!(fields.boolean("off"), Some(false));
        assert_eq!(fields.port("port"), Some(8080));
        assert_eq!(fields.integer("count", 0..=16), Some(16));
        assert_eq!(fields.optional("ratio", Node::number), Some(2.0));
        assert_eq!(fields.duration("time"), Some(Duration::from_secs(90)));
        let seconds = fields.optional("seconds", Node::duration_or_seconds);
        assert_eq!(seconds, Some(Duration::from_secs(90)));
        assert_eq!(fields.size("size"), Some(65_536));
        assert_eq!(fields.path("path"), Some("~/.ssh/id".into()));
        assert_eq!(fields.choice("mode", &[("strict", 7)]), Some(7));
        assert_eq!(fields.one_or_many("one", Node::text), Some(vec!["a"]));
        assert_eq!(fields.one_or_many("many", Node::text), Some(vec!["a", "2"]));
        assert_eq!(fields.text("nothing"), None);
        assert_eq!(fields.text("absent"), None);
    });
    assert_eq!(shown, "");
}

#[test]
fn what_is_required_is_neither_absent_nor_null() {
    let shown = problems("a:\n", |fields| {
        fields.required("a", Node::text);
        fields.required("b", Node::text);
    });
    assert_eq!(
        shown,
        "f.yml:1:1: a: wants a value, found nothing\nf.yml:1:1: the key \"b\" is missing"
    );
}

#[test]
fn an_empty_file_has_no_fields_and_says_what_it_lacks() {
    let shown = problems("", |fields| done(fields.required("tunnels", tunnels)));
    assert_eq!(shown, "f.yml:1:1: the key \"tunnels\" is missing");
}

fn tunnels(node: &Node, problems: &mut Problems) -> Option<Vec<Tunnel>> {
    node.named(problems, tunnel)
}

#[test]
fn a_key_is_as_unknown_as_the_file_that_it_stands_in_says() {
    let parsed = |name, text: &str| parse(name, text.as_bytes()).unwrap();
    let merged = parsed("lax.yml", "a: 1").merge(parsed("strict.yml", "b: 2"));
    let mut problems = Problems::new();
    let fields = merged.root().fields(&mut problems).unwrap();
    fields.finish_by(|place| match &*place.file {
        "strict.yml" => Severity::Error,
        _ => Severity::Warning,
    });
    let help = "help: no key is known here";
    let shown = format!(
        "lax.yml:1:1: warning: unknown key \"a\"\n{help}\nstrict.yml:1:1: unknown key \"b\"\n{help}"
    );
    assert_eq!(problems.to_string(), shown);
}

#[test]
fn unknown_keys_may_be_warnings() {
    let document = parse("f.yml", b"hots: 1\nhost: 2\n\"\\e[2J\": 3\n").unwrap();
    let mut problems = Problems::new();
    let mut fields = document.root().fields(&mut problems).unwrap();
    fields.text("host");
    fields.finish_with_warnings();
    assert!(!problems.has_errors());
    assert_eq!(
        problems.to_string(),
        "f.yml:1:1: warning: unknown key \"hots\"\nhelp: known keys: host\n\
         f.yml:3:1: warning: unknown key \"\\u{1b}[2J\"\nhelp: known keys: host"
    );
}

#[test]
fn a_renamed_key_is_refused_with_its_new_name() {
    let shown = problems("server: gw\n", |fields| {
        fields.text("host");
        fields.renamed("server", "host");
    });
    assert_eq!(
        shown,
        "f.yml:1:1: the key \"server\" is now called \"host\""
    );
}

#[test]
fn a_caller_adds_what_only_meaning_shows() {
    let shown = problems("a: 1\nb: 2\n", |fields| {
        fields.integer("a", 0..=9);
        fields.integer("b", 0..=9);
        fields.refuse("b", "is smaller than a");
    });
    assert_eq!(shown, "f.yml:2:1: b: is smaller than a");
}
