//! Ways of command lines and configurations.

use std::path::{Path, PathBuf};
use std::time::Duration;

use adit_tunnel::agent::dial::ProxyEnvironment;
use adit_tunnel::agent::supervise::Peer;
use clap::Parser as _;

use super::super::config;
use super::*;
use crate::cli::{Cli, Command};

/// The way of a command line in a home folder whose configuration is `text`.
fn way(text: &str, words: &str, variables: &[(&str, &str)]) -> anyhow::Result<PeerConfig> {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".ssh")).unwrap();
    std::fs::write(home.path().join(".ssh/id_ed25519"), "").unwrap();
    let file = home.path().join("config");
    std::fs::write(&file, text).unwrap();
    let surroundings = Surroundings {
        ssh_agent: None,
        home: Some(home.path().to_owned()),
        state: None,
        user: Some(String::from("local")),
        proxies: ProxyEnvironment::read(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        }),
    };
    let words = format!("adit forward -F {} -R 1:a:2 {words}", file.display());
    let Command::Forward(arguments) = Cli::try_parse_from(words.split(' '))?.command else {
        panic!("another command")
    };
    Ok(config(&arguments.written(), &surroundings)?.peer)
}

/// A way as text, the destination first.
fn shown(peer: &PeerConfig) -> String {
    let Peer { host, port, user } = &peer.peer;
    let own = format!("{user}@{host}:{port}");
    match &peer.way.through {
        Through::Nothing => own,
        Through::Proxy(proxy) => format!("{own} < {proxy}"),
        Through::Command(command) => format!("{own} < {command:?}"),
        Through::Jump(hop) => format!("{own} < {}", shown(hop)),
    }
}

const CONFIG: &str = "\
Host target
 HostName 192.0.2.9
 User boss
 ProxyJump inner
Host inner
 Port 2222
 ProxyJump outer
Host outer
 User gate
Host aside
 ProxyJump none
Host loop-a
 ProxyJump loop-b
Host loop-b
 ProxyJump loop-c,loop-a
Host loop-c
 ProxyJump loop-b
";

#[test]
fn ways_are_found_as_ssh_finds_them() {
    for (words, expected) in [
        ("plain", "local@plain:22"),
        ("aside", "local@aside:22"),
        (
            "target",
            "boss@192.0.2.9:22 < local@inner:2222 < gate@outer:22",
        ),
        ("-J none target", "boss@192.0.2.9:22"),
        ("-o ProxyJump=none target", "boss@192.0.2.9:22"),
        ("-J me@outer:5 target", "boss@192.0.2.9:22 < me@outer:5"),
        // The last of a list is reached through those before it, whatever is written of it.
        (
            "-J a,inner target",
            "boss@192.0.2.9:22 < local@inner:2222 < local@a:22",
        ),
        // The first is reached as it is written of it.
        (
            "-J inner,b -p 7 me@plain",
            "me@plain:7 < local@b:22 < local@inner:2222 < gate@outer:22",
        ),
        // The first word counts.
        ("-J a -o ProxyJump=b plain", "local@plain:22 < local@a:22"),
    ] {
        let peer = way(CONFIG, words, &[]).unwrap();
        assert_eq!(shown(&peer), expected, "{words}");
    }
}

#[test]
fn a_circle_is_refused_with_its_hosts() {
    for (words, part) in [
        (
            "loop-c",
            "circle: loop-c, reached through loop-b, reached through loop-a",
        ),
        (
            "-J a,b,a plain",
            "circle: plain, reached through a, reached through b, reached through a",
        ),
        ("-J plain plain", "to itself"),
    ] {
        let error = format!("{:#}", way(CONFIG, words, &[]).unwrap_err());
        assert!(error.contains(part), "{words}: {error}");
    }
    // Names that are made from names end at a number.
    let error = way("Host *\n ProxyJump x%h\n", "plain", &[]).unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains("more than 16 hosts"), "{error}");
}

#[test]
fn what_the_command_line_says_of_the_destination_is_not_said_of_a_hop() {
    let words = "-i k -o StrictHostKeyChecking=accept-new -o ConnectTimeout=3 \
                 -o HostKeyAlias=db -J hop plain";
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = "Host hop\n HostKeyAlias bastion\n ConnectTimeout 1m\n AddressFamily inet6\n";
    let peer = way(text, &words, &[]).unwrap();
    let Through::Jump(hop) = &peer.way.through else {
        panic!("{peer:?}");
    };
    assert_eq!(peer.login.keys, [PathBuf::from("k")]);
    assert!(hop.login.keys[0].ends_with(Path::new(".ssh/id_ed25519")));
    assert_ne!(peer.host_keys.new_hosts, hop.host_keys.new_hosts);
    assert_eq!(peer.way.timeout, Duration::from_secs(3));
    assert_eq!(hop.way.timeout, Duration::from_secs(60));
    assert_eq!(peer.host_key_alias.as_deref(), Some("db"));
    assert_eq!(hop.host_key_alias.as_deref(), Some("bastion"));
    assert_eq!((peer.way.family, hop.way.family), (Family::Any, Family::V6));
    // Which addresses there are is a matter of this machine.
    let peer = way(text, "-4 -J hop plain", &[]).unwrap();
    let Through::Jump(hop) = &peer.way.through else {
        panic!("{peer:?}");
    };
    assert_eq!((peer.way.family, hop.way.family), (Family::V4, Family::V4));
    assert!(way(text, "-4 -6 plain", &[]).is_err());
}

#[test]
fn a_command_has_its_words_filled_in_and_hostile_names_never_get_there() {
    let text =
        "Host db\n HostName 192.0.2.7\n Port 99\n User me\n ProxyCommand nc -X '%r %n' %h %p\n";
    let shown_of = |text: &str, words: &str| shown(&way(text, words, &[]).unwrap());
    let expected = "program: \"nc\", arguments: [\"-X\", \"me db\", \"192.0.2.7\", \"99\"]";
    assert!(shown_of(text, "db").contains(expected));
    assert_eq!(shown_of(text, "-o ProxyCommand=none db"), "me@192.0.2.7:99");
    let by_option = shown_of("", "-o ProxyCommand=nc me@db");
    assert!(by_option.contains("program: \"nc\", arguments: []"));
    for (text, words) in [
        ("", "-o ProxyCommand=nc $(x)@db"),
        ("", "-o ProxyCommand=nc a;b@db"),
        ("", "-o ProxyCommand=nc me@-db"),
        (
            "Host db\n HostName -oProxyCommand=x\n ProxyCommand nc %h\n",
            "db",
        ),
        ("Host db\n User a`b`\n ProxyCommand nc %r\n", "db"),
        ("ProxyJump $(x)@a\n", "db"),
        ("ProxyJump a;b\n", "db"),
    ] {
        assert!(way(text, words, &[]).is_err(), "{text} {words}");
    }
}

#[test]
fn a_proxy_of_the_environment_is_before_the_first_host_unless_something_else_is() {
    let proxy = [
        ("https_proxy", "http://u:hunter2@proxy:3128"),
        ("no_proxy", "inside"),
    ];
    let suffix = " < HTTP proxy proxy port 3128 (from https_proxy)";
    for (words, is_proxied) in [
        ("plain", true),
        ("-J a,b plain", true),
        ("-J inside plain", false),
        ("inside", false),
        ("localhost", false),
        ("127.0.0.1", false),
        ("--no-proxy plain", false),
        ("--no-proxy -J a plain", false),
        ("-o ProxyCommand=nc plain", false),
    ] {
        let peer = way("", words, &proxy).unwrap();
        assert_eq!(shown(&peer).ends_with(suffix), is_proxied, "{words}");
        assert!(!format!("{peer:?}").contains("hunter2"));
    }
    let error = way("", "plain", &[("all_proxy", "ftp://u:hunter2@proxy")]);
    let error = format!("{:#}", error.unwrap_err());
    assert!(
        error.contains("all_proxy") && error.contains("--no-proxy"),
        "{error}"
    );
    assert!(!error.contains("hunter2"), "{error}");
}
