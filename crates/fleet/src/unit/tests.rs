use proptest::prelude::*;

use super::*;

fn unit(argument: &str, path: &str) -> Option<Unit> {
    Some(Unit {
        name: "adit-up".parse().unwrap(),
        about: "adit tunnels",
        program: "/usr/local/bin/adit".parse().unwrap(),
        arguments: vec![
            "up".parse().unwrap(),
            "-f".parse().unwrap(),
            argument.parse().ok()?,
        ],
        account: Account::User("pi".parse().unwrap()),
        folder: Some(path.parse().ok()?),
        environment: vec![("ADIT_X", Value::Word(argument.parse().ok()?))],
        writable: vec![path.parse().ok()?],
        state: None,
        credentials: vec!["/etc/adit/db".parse().unwrap()],
        sandbox: Sandbox::Tight,
        reloads: false,
        watchdog: 60,
        stop: 60,
    })
}

/// Values whose whole line is theirs, as systemd reads a line.
fn keys(text: &str) -> Vec<&str> {
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| line.split_once('=').map_or(line, |(key, _)| key))
        .collect()
}

#[test]
fn a_unit_says_what_boots_and_what_it_may_not() {
    let text = system(&unit("/home/pi/adit.yml", "/home/pi").unwrap());
    for line in [
        "After=network-online.target",
        "StartLimitIntervalSec=0",
        "Type=notify",
        "ExecStart=/usr/local/bin/adit up -f /home/pi/adit.yml",
        "WorkingDirectory=/home/pi",
        "Restart=always",
        "RestartPreventExitStatus=3",
        "WatchdogSec=60s",
        "User=pi",
        "RuntimeDirectory=adit-up",
        "LoadCredential=db:/etc/adit/db",
        "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "ReadWritePaths=-/home/pi",
        "MemoryDenyWriteExecute=yes",
        "WantedBy=multi-user.target",
    ] {
        assert!(text.lines().any(|it| it == line), "{line}: {text}");
    }
    let text = user(&unit("/home/pi/adit.yml", "/home/pi").unwrap());
    assert!(
        text.contains("WantedBy=default.target") && !text.contains("User="),
        "{text}"
    );
}

#[test]
fn what_systemd_or_a_shell_could_take_for_more_is_quoted() {
    let text = system(&unit("a b%n $HOME \"x\\", "/a b/%h").unwrap());
    assert!(
        text.contains("ExecStart=/usr/local/bin/adit up -f \"a b%%n $$HOME \\\"x\\\\\"\n"),
        "{text}"
    );
    assert!(text.contains("WorkingDirectory=/a b/%%h\n"), "{text}");
    assert!(text.contains("ReadWritePaths=\"-/a b/%%h\"\n"), "{text}");
    let text = sysv(&unit("it's $(id)", "/a b").unwrap());
    assert!(text.contains("cd '/a b'"), "{text}");
    assert!(unit("x", "/a\\").is_none() && unit("x", "/a ").is_none());
    for text in ["a\nExecStart=/x", "a\tb", "\u{7f}", "\u{85}x"] {
        assert!(
            unit(text, "/x").is_none() && unit("x", &format!("/{text}")).is_none(),
            "{text:?}"
        );
    }
    for text in ["", "Adit", "-x", "a b", "a/b", "a.b", "a\nb"] {
        assert!(text.parse::<ServiceName>().is_err(), "{text:?}");
    }
    for text in [
        "db",
        "",
        "rel/db",
        "/x/d b",
        "/x/d:b",
        "/x y/db",
        "/x/",
        "/x/db.txt",
        "/x/d\nb",
        "/\"/db",
    ] {
        assert!(text.parse::<Credential>().is_err(), "{text:?}");
    }
}

proptest! {
    /// Whatever a path is, it adds no line and no key.
    #[test]
    fn no_value_becomes_a_directive(argument in "\\PC{0,40}", path in "/\\PC{0,40}") {
        let plain = unit("x", "/x").unwrap();
        if let Some(unit) = unit(&argument, &path) {
            for form in [system, user] {
                let (text, expected) = (form(&unit), form(&plain));
                prop_assert_eq!(keys(&text), keys(&expected));
            }
            for form in [openrc, sysv] {
                prop_assert_eq!(form(&unit).lines().count(), form(&plain).lines().count());
            }
        }
    }
}
