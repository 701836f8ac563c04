use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use adit_model::address::Scope;
use adit_model::grant::{Reach, Sockets};
use adit_model::id::PrincipalId;
use base64ct::Encoding as _;
use proptest::prelude::*;

use super::*;
use crate::gateway::policy::Policy;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6v0mgHMVS3e3qEoUMXpu7i1tAd1WknWXTQjw5xHYf+";
const OTHER: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPbDYRqSBWqrvp0N3Qo6vbt5eXa1xFJLzAa4cBpXoNqz";

fn defaults(reach: Reach) -> Defaults {
    Defaults {
        grant: Grant {
            ports: "10000-20000".parse().unwrap(),
            any_port: true,
            reach,
            ..Grant::default()
        },
        zone: TimeZone::UTC,
    }
}

fn parse(text: &str) -> AuthorizedKeys {
    AuthorizedKeys::parse(text.as_bytes(), &defaults(Reach::Asked)).unwrap()
}

/// The one line with those options.
#[track_caller]
fn with(options: &str, reach: Reach) -> Line {
    let text = format!("{options} {KEY}\n");
    let mut keys = AuthorizedKeys::parse(text.as_bytes(), &defaults(reach)).unwrap();
    assert_eq!(keys.rejected, [], "{options}");
    keys.lines.remove(0)
}

#[track_caller]
fn grant(options: &str) -> Grant {
    with(options, Reach::Asked).grant
}

#[test]
fn lines_are_read_as_sshd_reads_them() {
    let text = format!(
        "# a comment\n\n   \t\n  # another\r\n{KEY}\r\n\t restrict,port-forwarding\t{OTHER}  me # and \u{1b}[31m you  \r\n"
    );
    let keys = parse(&text);
    assert_eq!(keys.rejected, []);
    let comments: Vec<_> = keys
        .lines
        .iter()
        .map(|line| (line.number, &*line.comment))
        .collect();
    assert_eq!(comments, [(5, ""), (6, r"me # and \u{1b}[31m you")]);
    let fingerprint = keys.lines[0].fingerprint.as_str();
    assert!(fingerprint.starts_with("SHA256:"), "{fingerprint}");
    assert_eq!(keys.lines[0].blob.len(), 51);
}

#[test]
fn a_line_without_options_has_the_default_grant() {
    let line = with("", Reach::Public);
    assert_eq!(line.grant, defaults(Reach::Public).grant);
    assert_eq!(
        line.role,
        Role::Key {
            touch_required: true,
            verify_required: false
        }
    );
}

#[test]
fn forwards_are_what_the_last_flag_left() {
    for (options, is_on) in [
        ("pty", true),
        ("restrict", false),
        ("no-port-forwarding", false),
        ("restrict,port-forwarding", true),
        ("port-forwarding,restrict", false),
        ("RESTRICT,Port-Forwarding,no-X11-forwarding", true),
        (r#"command="true",port-forwarding"#, true),
        (r#"command="true""#, false),
        (r#"restrict,permitlisten="10001""#, false),
    ] {
        let ports = grant(options).ports;
        assert_eq!(!ports.is_empty(), is_on, "{options}: {ports}");
    }
}

#[test]
fn what_sshd_would_do_otherwise_is_told() {
    for (options, notes) in [
        (r#"command="true""#, &[Note::CommandOnly][..]),
        (r#"command="true",port-forwarding"#, &[]),
        (r#"command="true",permitlisten="1""#, &[]),
        (
            r#"command="true",adit-unix="a""#,
            &[Note::CommandOnly, Note::WithoutEffect],
        ),
        (r#"restrict,permitopen="a:1""#, &[Note::WithoutEffect]),
        ("restrict", &[]),
        // To sshd any port is port 0, too.
        (r#"permitlisten="*:*""#, &[Note::AnyPort]),
        (r#"permitlisten="*:*",adit-port0"#, &[]),
        (r#"permitlisten="8080""#, &[]),
    ] {
        assert_eq!(with(options, Reach::Asked).notes, notes, "{options}");
    }
}

#[test]
fn a_bare_port_is_public_only_where_the_default_is() {
    let bare = r#"permitlisten="8080",adit-permitlisten="9000-9010""#;
    let asked = grant(bare);
    assert_eq!(asked.ports.to_string(), "8080,9000-9010");
    assert!(!asked.any_port && asked.listen("localhost", 0).is_err());
    assert_eq!(asked.listen("localhost", 8080), Ok(Scope::Loopback));
    assert_eq!(asked.listen("::1", 9010), Ok(Scope::read("::1").unwrap()));
    for text in ["", "*", "0.0.0.0", "192.0.2.1", "::"] {
        assert!(asked.listen(text, 8080).is_err(), "{text}");
    }
    assert!(asked.listen("localhost", 10_000).is_err());
    let public = with(bare, Reach::Public).grant;
    assert_eq!(public.listen("localhost", 8080), Ok(Scope::Any));
    assert_eq!(public.listen("", 8080), Ok(Scope::Any));
    let local = with(bare, Reach::Local).grant;
    assert_eq!(local.listen("*", 8080), Ok(Scope::Loopback));
}

#[test]
fn a_host_that_is_named_is_the_one_that_is_bound() {
    for reach in [Reach::Asked, Reach::Public] {
        let line = with(r#"permitlisten="localhost:8080""#, reach).grant;
        assert_eq!(line.listen("localhost", 8080), Ok(Scope::Loopback));
        assert!(line.listen("*", 8080).is_err());
        assert!(line.listen("127.0.0.1", 8080).is_err());
    }
    let any = grant(r#"permitlisten="*:8080",permitlisten="[2001:db8::1]:*""#);
    assert_eq!(any.listen("", 8080), Ok(Scope::Any));
    assert!(any.listen("2001:db8::1", 10_000).is_ok());
    assert!(any.listen("2001:db8::1", 9_999).is_err());
    assert!(any.listen("", 10_000).is_err());
}

#[test]
fn port_0_draws_from_what_is_permitted_and_from_nothing_else() {
    assert!(grant("").any_port);
    let few = grant(r#"permitlisten="8080",adit-permitlisten="9000-9001",adit-port0"#);
    assert!(few.any_port);
    assert_eq!(few.ports.to_string(), "8080,9000-9001");
}

#[test]
fn names_have_an_option_of_their_own() {
    let names: Vec<_> = ["app", "dev-*"].map(|name| name.parse().unwrap()).into();
    let offered = grant(r#"adit-names="App,dev-*",adit-any-name,adit-own-domains,adit-pool="2""#);
    assert_eq!(offered.names, names);
    assert!(offered.any_name && offered.own_domains);
    assert_eq!(offered.pool.map(|pool| pool.places), Some(2));
    let permitted = grant(r#"permitlisten="80""#);
    assert!(!permitted.any_name && !permitted.own_domains);
    assert!(grant(r#"restrict,adit-names="app""#).names.is_empty());
    assert!(grant("").names.is_empty());
}

#[test]
fn sockets_have_an_option_of_their_own() {
    assert_eq!(grant(r#"permitlisten="8080""#).sockets, Sockets::None);
    assert_eq!(grant(r#"adit-unix="*""#).sockets, Sockets::Any);
    let named = Sockets::Named(vec!["a".parse().unwrap(), "b.sock".parse().unwrap()]);
    assert_eq!(grant(r#"adit-unix="a,b.sock""#).sockets, named);
    assert_eq!(grant(r#"restrict,adit-unix="*""#).sockets, Sockets::None);
}

#[test]
fn targets_are_names_or_the_very_address() {
    let grant = grant(
        r#"permitopen="Red001:22",permitopen="192.0.2.1:*",permitopen="localhost:5432",permitopen="[::1]:1""#,
    );
    let red = "red001".parse().unwrap();
    assert!(grant.opens_name(&red, 22).is_ok() && grant.opens_name(&red, 23).is_err());
    assert!(
        grant
            .opens_address("192.0.2.1".parse().unwrap(), 65_535)
            .is_ok()
    );
    assert!(
        grant
            .opens_address("192.0.2.2".parse().unwrap(), 80)
            .is_err()
    );
    assert!(
        grant
            .opens_address("127.0.0.1".parse().unwrap(), 5432)
            .is_ok()
    );
    assert!(
        grant
            .opens_address("127.0.0.1".parse().unwrap(), 22)
            .is_err()
    );
    let every = self::grant(r#"permitopen="*:22""#);
    assert!(every.opens_name(&red, 22).is_ok() && !every.opens_addresses());
    assert!(self::grant("").targets.is_empty());
}

#[test]
fn when_and_where_a_key_may_be_used_is_the_lines() {
    let line = with(
        r#"from="192.0.2.0/24,!192.0.2.7",expiry-time="20301231",expiry-time="202906011200Z",adit-takeover-from="192.0.2.1""#,
        Reach::Asked,
    );
    assert!(line.sources.contains("192.0.2.1".parse().unwrap()));
    assert!(!line.sources.contains("192.0.2.7".parse().unwrap()));
    assert_eq!(
        line.not_after,
        Some("2029-06-01T12:00:00Z".parse().unwrap())
    );
    assert!(!line.grant.takeover_from.is_everywhere());
    let berlin = Defaults {
        zone: TimeZone::fixed(jiff::tz::offset(2)),
        ..defaults(Reach::Asked)
    };
    let text = format!("expiry-time=\"20300102030405\" {KEY}");
    let keys = AuthorizedKeys::parse(text.as_bytes(), &berlin).unwrap();
    assert_eq!(
        keys.lines[0].not_after,
        Some("2030-01-02T01:04:05Z".parse().unwrap())
    );
}

#[test]
fn an_authority_is_for_the_names_that_are_listed() {
    let line = with(r#"cert-authority,principals="alice,bob""#, Reach::Asked);
    let names = vec!["alice".to_owned(), "bob".to_owned()];
    assert_eq!(line.role, Role::Authority { names });
    let identities: Vec<_> = line.identities().iter().map(Identity::to_string).collect();
    assert_eq!(identities[0], format!("alice@{}", line.fingerprint));
}

/// Each case: a line, the column at which it goes wrong, and words of why.
fn refused<const N: usize>(cases: [(String, usize, &str); N]) {
    for (text, column, words) in cases {
        let keys = parse(&format!("#\n{text}\n{OTHER} other\n"));
        let [rejected] = &keys.rejected[..] else {
            panic!("{text}: {keys:?}");
        };
        let why = rejected.to_string();
        assert_eq!(
            (rejected.line, rejected.column),
            (2, column),
            "{text}: {why}"
        );
        assert!(why.contains(words), "{text}: {why}");
        assert_eq!(keys.lines.len(), 1, "{text}");
    }
}

#[test]
fn an_option_that_is_not_understood_refuses_its_line_at_its_column() {
    refused([
        (
            format!("permit-all {KEY}"),
            1,
            "\"permit-all\" is no option",
        ),
        (
            format!("restrict,adit-everything {KEY}"),
            10,
            "\"adit-everything\" is no option",
        ),
        (format!("adit-everything=\"1\" {KEY}"), 1, "is no option"),
        (format!("adit-principal=\"me\" {KEY}"), 1, "is no option"),
        (format!("no-restrict {KEY}"), 1, "is no option"),
        (format!("restrict=\"1\" {KEY}"), 1, "is no option"),
        (format!("from {KEY}"), 1, "is no option"),
        (format!("restrict, {KEY}"), 10, "missing"),
        (format!(",restrict {KEY}"), 1, "missing"),
        (format!("restrict,,pty {KEY}"), 10, "missing"),
        (format!("command=true {KEY}"), 9, "between quotes"),
        (format!("command=\"true {KEY}"), 9, "does not end"),
        (format!("command=\"true\\\" {KEY}"), 9, "does not end"),
        (format!("command=\"a\"b {KEY}"), 1, "is no option"),
        (format!("command=\"a\",command=\"b\" {KEY}"), 13, "twice"),
        (
            format!("from=\"10.0.0.1\",from=\"10.0.0.2\" {KEY}"),
            17,
            "twice",
        ),
        (format!("from=\"\" {KEY}"), 1, "without gaps"),
        (
            format!("from=\"10.0.0.1, 10.0.0.2\" {KEY}"),
            1,
            "without blanks",
        ),
        (format!("from=\"*.example.com\" {KEY}"), 1, "not looked up"),
        (format!("from=\"10.0.0.1/24\" {KEY}"), 1, "bits"),
        (format!("from=\"!10.0.0.1\" {KEY}"), 1, "nobody"),
        (format!("expiry-time=\"2030\" {KEY}"), 1, "YYYYMMDD"),
        (format!("expiry-time=\"20300231\" {KEY}"), 1, "YYYYMMDD"),
        (format!("expiry-time=\"19700101Z\" {KEY}"), 1, "YYYYMMDD"),
    ]);
}

#[test]
fn a_permit_that_is_not_understood_refuses_its_line_at_its_column() {
    refused([
        (format!("permitlisten=\"0\" {KEY}"), 1, "port 0"),
        (format!("permitlisten=\"65536\" {KEY}"), 1, "is no port"),
        (format!("permitlisten=\"http\" {KEY}"), 1, "is no port"),
        (format!("permitlisten=\"80,81\" {KEY}"), 1, "host:port"),
        (
            format!("permitlisten=\"*.example:80\" {KEY}"),
            1,
            "host of permitlisten",
        ),
        (
            format!("adit-permitlisten=\"*\" {KEY}"),
            1,
            "adit-permitlisten",
        ),
        (format!("permitopen=\"80\" {KEY}"), 1, "host:port"),
        (format!("permitopen=\"host:0\" {KEY}"), 1, "port 0"),
        (format!("permitopen=\"::1:80\" {KEY}"), 1, "host:port"),
        (format!("permitopen=\"a b:80\" {KEY}"), 1, "host:port"),
        (
            format!("permitopen=\"-a:80\" {KEY}"),
            1,
            "host of permitopen",
        ),
        (format!("adit-unix=\"../x\" {KEY}"), 1, "one part of a path"),
        (format!("cert-authority {KEY}"), 1, "need each other"),
        (format!("principals=\"a\" {KEY}"), 1, "need each other"),
        (
            format!("cert-authority,principals=\"a*\" {KEY}"),
            16,
            "names without",
        ),
        (
            format!("cert-authority,principals=\"\" {KEY}"),
            16,
            "names without",
        ),
        (format!("environment=\"a-b=1\" {KEY}"), 1, "NAME=value"),
        (format!("tunnel=\"x\" {KEY}"), 1, "a number or any"),
        (format!("command=\"a\u{1}\" {KEY}"), 9, "no text"),
        (
            format!("permitlisten=\"localhost:1\",permitlisten=\"*:2\",adit-port0 {KEY}"),
            47,
            "several hosts",
        ),
    ]);
}

#[test]
fn a_key_that_is_not_understood_refuses_its_line_at_its_column() {
    let cert = "ssh-ed25519-cert-v01@openssh.com AAAA";
    refused([
        ("restrict".to_owned(), 9, "no type of a key"),
        ("restrict ssh-rsa2 AAAA".to_owned(), 10, "no type of a key"),
        ("ssh-ed25519".to_owned(), 1, "cannot be read"),
        ("ssh-ed25519 AAAA".to_owned(), 1, "cannot be read"),
        (
            KEY.replacen("ssh-ed25519", "ssh-rsa", 1),
            1,
            "cannot be read",
        ),
        (format!("{KEY}="), 1, "cannot be read"),
        (cert.to_owned(), 1, "a certificate is not listed"),
        (
            format!("restrict {cert}"),
            10,
            "a certificate is not listed",
        ),
        ("\u{feff}restrict".to_owned(), 1, "is no option"),
    ]);
}

#[test]
fn a_key_that_fits_every_signature_is_refused() {
    let mut blob = vec![0, 0, 0, 11];
    blob.extend(b"ssh-ed25519");
    blob.extend([0, 0, 0, 32, 1]);
    blob.extend([0; 31]);
    let text = format!("ssh-ed25519 {}", base64ct::Base64::encode_string(&blob));
    let keys = parse(&text);
    assert_eq!(
        keys.rejected[0].why,
        Why::Key(adit_ssh::key::KeyError::WeakPoint)
    );
}

#[test]
fn the_first_line_of_a_key_counts() {
    let text = format!("restrict {KEY} a\n{KEY} b\ncert-authority,principals=\"p\" {KEY}\n");
    let keys = parse(&text);
    assert_eq!(keys.lines.len(), 2);
    assert!(keys.lines[0].grant.ports.is_empty());
    assert_eq!(
        keys.rejected[0].to_string(),
        "line 2, column 1: the same key as in line 1"
    );
}

#[test]
fn gw_duplicate_fingerprint_refused() {
    let keys = parse(&format!(
        "{KEY}\ncert-authority,principals=\"a,b\" {OTHER}\n"
    ));
    let mut policy = Policy::default();
    let mut rows = Vec::new();
    let refused = keys.add_to(&mut policy, |identity| {
        rows.push(identity.to_string());
        PrincipalId::new(i64::try_from(rows.len()).unwrap())
    });
    assert_eq!(refused, []);
    assert_eq!(policy.principals.len(), 3);
    let key = &policy.keys[&keys.lines[0].fingerprint];
    assert_eq!(key.principal, PrincipalId::new(1));
    assert_eq!(policy.principals[&key.principal].name, rows[0]);
    assert_eq!(policy.authorities[0].names["b"], PrincipalId::new(3));
    let refused = keys.add_to(&mut policy, |_| PrincipalId::new(9));
    assert_eq!(
        refused.iter().map(|it| &it.why).collect::<Vec<_>>(),
        [&Why::Taken; 2]
    );
    assert_eq!((policy.principals.len(), policy.authorities.len()), (3, 1));
}

#[test]
fn gw_authorized_keys_hostile_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let read = |content: &[u8], mode: u32| {
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        AuthorizedKeys::read(&path, &defaults(Reach::Asked))
    };
    let good = format!("{KEY} me\r\n");
    assert_eq!(read(good.as_bytes(), 0o644).unwrap().lines[0].comment, "me");
    let long = format!("{KEY} {}\n", "x".repeat(LINE_LENGTH - KEY.len() - 1));
    assert_eq!(read(long.as_bytes(), 0o600).unwrap().lines.len(), 1);
    let longer = format!("#\n{KEY} {}\n", "x".repeat(LINE_LENGTH - KEY.len()));
    assert!(matches!(
        read(longer.as_bytes(), 0o600),
        Err(FileError::LineLength { line: 2 })
    ));
    assert!(matches!(
        read(b"#\n#\nssh-ed25519 \0\n", 0o600),
        Err(FileError::Nul { line: 3 })
    ));
    assert!(matches!(
        read(&vec![b'\n'; FILE_LENGTH + 1], 0o600),
        Err(FileError::Length)
    ));
    for mode in [0o620, 0o602, 0o666] {
        assert!(matches!(
            read(good.as_bytes(), mode),
            Err(FileError::Guarded)
        ));
    }
    for special in [folder.path(), "/dev/null".as_ref(), "/dev/zero".as_ref()] {
        let refused = AuthorizedKeys::read(special, &defaults(Reach::Asked));
        assert!(matches!(refused, Err(FileError::NotAFile)), "{special:?}");
    }
    let pipe = folder.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    // Nobody writes to it, and it is not waited for.
    let refused = AuthorizedKeys::read(&pipe, &defaults(Reach::Asked));
    assert!(matches!(refused, Err(FileError::NotAFile)));
    let missing = AuthorizedKeys::read(&folder.path().join("no"), &defaults(Reach::Asked));
    assert!(matches!(missing, Err(FileError::Read(_))));
}

proptest! {
    #[test]
    fn no_line_causes_a_panic_and_none_is_lost(
        options in "[a-z0-9=\",\\\\ :*.\\-]{0,60}", junk in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let mut text = format!("{options} {KEY}\n").into_bytes();
        text.extend(junk);
        if let Ok(keys) = AuthorizedKeys::parse(&text, &defaults(Reach::Asked)) {
            let lines = text.split(|byte| *byte == b'\n').count();
            prop_assert!(keys.lines.len() + keys.rejected.len() <= lines);
            prop_assert!(!keys.lines.is_empty() || !keys.rejected.is_empty());
        }
    }

    #[test]
    fn an_option_never_lets_a_line_do_more_than_it_names(
        listens in proptest::collection::vec((0_u8..3, 1_u16..40_000), 1..4),
        is_public: bool,
        port: u16,
        asked in 0_usize..5,
    ) {
        let reach = if is_public { Reach::Public } else { Reach::Asked };
        let options: Vec<_> = listens.iter().map(|(host, port)| match host {
            0 => format!("permitlisten=\"{port}\""),
            1 => format!("permitlisten=\"localhost:{port}\""),
            _ => format!("permitlisten=\"*:{port}\""),
        }).collect();
        let grant = with(&options.join(","), reach).grant;
        let asked = ["localhost", "", "*", "0.0.0.0", "127.0.0.1"][asked];
        let port = if port % 2 == 0 { listens[0].1 } else { port };
        if let Ok(scope) = grant.listen(asked, port) {
            let of_port: Vec<_> = listens.iter().filter(|(_, it)| *it == port).collect();
            prop_assert!(!of_port.is_empty());
            let may_be_public = of_port.iter().any(|(host, _)| *host == 2 || (*host == 0 && is_public));
            prop_assert!(may_be_public || !scope.is_public(), "{options:?} {asked:?} {scope}");
        }
    }
}
