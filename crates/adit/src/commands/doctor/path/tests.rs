//! What answers mean.

use adit_tunnel::agent::forward::{Destination, Listens};

use super::super::diagnosis::State;
use super::*;

const TIME: Duration = Duration::from_millis(3);

fn bind(host: &str, port: u16) -> Bind {
    Bind::Tcp {
        host: host.to_owned(),
        port,
    }
}

fn forward(host: &str, port: u16) -> Forward {
    Forward {
        listens: Listens::There,
        bind: bind(host, port),
        to: Destination::One(Target::Tcp {
            host: String::from("localhost"),
            port: 80,
        }),
    }
}

fn granted(host: &str, inside: Sight, second: Option<Sight>, outside: Outside) -> Vec<Diagnosis> {
    let grant = Grant::Granted {
        bind: bind(host, 9000),
        time: TIME,
    };
    let seen = Seen {
        grant,
        inside: Some(inside),
        second,
        outside,
    };
    judge(&forward(host, 9000), "gw", &seen)
}

fn worst(diagnoses: &[Diagnosis]) -> State {
    let states = diagnoses.iter().map(|diagnosis| diagnosis.state);
    states.max().unwrap()
}

fn text(diagnoses: &[Diagnosis]) -> String {
    let lines: Vec<String> = diagnoses.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[test]
fn a_refused_forward_is_told_by_what_else_was_answered() {
    let answers = Listener::Answers(TIME);
    let nobody = || Listener::Nobody(String::from("Connection refused"));
    for (host, port, other, listener, check, part) in [
        (
            "localhost",
            9000,
            true,
            answers.clone(),
            Check::Port,
            "is taken there",
        ),
        (
            "localhost",
            9000,
            false,
            answers,
            Check::Port,
            "cannot be told",
        ),
        (
            "localhost",
            80,
            true,
            nobody(),
            Check::Port,
            "1024 or higher",
        ),
        (
            "localhost",
            9000,
            true,
            nobody(),
            Check::Port,
            "PermitListen localhost:9000",
        ),
        ("", 9000, true, nobody(), Check::Port, "PermitListen 9000"),
        (
            "localhost",
            9000,
            true,
            Listener::Prohibited,
            Check::Port,
            "taken, or not among",
        ),
        (
            "localhost",
            9000,
            false,
            nobody(),
            Check::Forwarding,
            "PermitListen localhost:9000",
        ),
        (
            "localhost",
            9000,
            false,
            Listener::Prohibited,
            Check::Forwarding,
            "AllowTcpForwarding no",
        ),
        (
            "localhost",
            0,
            false,
            nobody(),
            Check::Forwarding,
            "PermitListen *:*",
        ),
        (
            "localhost",
            0,
            false,
            Listener::Prohibited,
            Check::Forwarding,
            "AllowTcpForwarding no",
        ),
    ] {
        let grant = Grant::Refused { other, listener };
        let seen = Seen {
            grant,
            inside: None,
            second: None,
            outside: Outside::NotLooked,
        };
        let diagnoses = judge(&forward(host, port), "gw", &seen);
        assert_eq!(diagnoses[0].check, check, "{}", text(&diagnoses));
        assert_eq!(diagnoses[0].state, State::Fail);
        assert!(
            text(&diagnoses).contains(part),
            "{part}: {}",
            text(&diagnoses)
        );
    }
}

#[test]
fn a_taken_port_may_be_our_own_dead_connections() {
    let grant = Grant::Refused {
        other: true,
        listener: Listener::Answers(TIME),
    };
    let seen = Seen {
        grant,
        inside: None,
        second: None,
        outside: Outside::NotLooked,
    };
    let text = text(&judge(&forward("localhost", 9000), "gw", &seen));
    assert!(text.contains("ClientAliveInterval 10"), "{text}");
    assert!(text.contains("ss -tlnp 'sport = :9000'"), "{text}");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn a_granted_forward_is_told_by_where_it_is_bound() {
    let up = || Sight::Up(TIME);
    let reached = || Outside::Answered(Sight::Up(TIME));
    for (host, inside, second, outside, state, part) in [
        (
            "localhost",
            up(),
            Some(up()),
            Outside::Refused,
            State::Ok,
            "on the server alone",
        ),
        (
            "localhost",
            up(),
            Some(up()),
            Outside::NotLooked,
            State::Ok,
            "both address families",
        ),
        (
            "localhost",
            up(),
            Some(up()),
            reached(),
            State::Warn,
            "GatewayPorts yes",
        ),
        (
            "localhost",
            up(),
            Some(Sight::Foreign),
            Outside::Refused,
            State::Fail,
            "somebody else has [::1]:9000",
        ),
        (
            "localhost",
            Sight::Foreign,
            Some(up()),
            Outside::Refused,
            State::Fail,
            "only a part of it",
        ),
        (
            "localhost",
            up(),
            Some(Sight::Nobody(String::from("no IPv6"))),
            Outside::Refused,
            State::Warn,
            "one address family alone",
        ),
        (
            "",
            up(),
            None,
            reached(),
            State::Ok,
            "visitors reach gw:9000",
        ),
        (
            "",
            up(),
            None,
            Outside::Refused,
            State::Fail,
            "GatewayPorts clientspecified",
        ),
        (
            "0.0.0.0",
            up(),
            None,
            Outside::Refused,
            State::Fail,
            "GatewayPorts clientspecified",
        ),
        (
            "",
            up(),
            None,
            Outside::Silent,
            State::Warn,
            "ufw allow 9000/tcp",
        ),
        (
            "0.0.0.0",
            up(),
            None,
            Outside::Blind(IpVersion::V4),
            State::Warn,
            "no IPv4 address of gw is reached from here",
        ),
        (
            "",
            up(),
            None,
            Outside::Answered(Sight::Foreign),
            State::Fail,
            "somebody else answers at gw:9000",
        ),
        (
            "",
            Sight::Prohibited,
            None,
            reached(),
            State::Warn,
            "PermitOpen",
        ),
        (
            "",
            Sight::Silent,
            None,
            Outside::NotLooked,
            State::Fail,
            "nothing came back",
        ),
    ] {
        let diagnoses = granted(host, inside, second, outside);
        assert_eq!(worst(&diagnoses), state, "{}", text(&diagnoses));
        assert!(
            text(&diagnoses).contains(part),
            "{part}: {}",
            text(&diagnoses)
        );
    }
}

#[test]
fn a_local_forward_is_told_by_what_the_server_reaches() {
    let target = Target::Tcp {
        host: String::from("db"),
        port: 5432,
    };
    let nobody = || Listener::Nobody(String::from("Connection refused"));
    for (target, listener, state, part) in [
        (
            Some(&target),
            Listener::Answers(TIME),
            State::Ok,
            "reaches db:5432",
        ),
        (Some(&target), nobody(), State::Fail, "Connection refused"),
        (
            Some(&target),
            Listener::Prohibited,
            State::Fail,
            "PermitOpen db:5432",
        ),
        (None, nobody(), State::Ok, "connects for us"),
        (
            None,
            Listener::Prohibited,
            State::Fail,
            "AllowTcpForwarding yes",
        ),
    ] {
        let diagnosis = opened(target, &listener);
        assert_eq!(diagnosis.state, state, "{diagnosis}");
        assert!(diagnosis.to_string().contains(part), "{diagnosis}");
    }
}

#[test]
fn both_families_are_looked_at_where_both_are_meant() {
    for (host, is_second) in [
        ("", true),
        ("*", true),
        ("localhost", true),
        ("0.0.0.0", false),
        ("127.0.0.1", false),
        ("::", false),
        ("192.0.2.1", false),
    ] {
        assert_eq!(second_way(&bind(host, 1)).is_some(), is_second, "{host}");
    }
}

#[test]
fn a_unix_socket_of_the_servers_is_not_asked_for() {
    let bind = Bind::Unix {
        path: String::from("/run/x"),
    };
    let answers = Listener::Answers(TIME);
    for (listener, state, part) in [
        (Some(&answers), State::Fail, "somebody listens at /run/x"),
        (
            Some(&Listener::Prohibited),
            State::Warn,
            "StreamLocalBindUnlink yes",
        ),
        (None, State::Warn, "StreamLocalBindUnlink yes"),
    ] {
        let diagnosis = unix(&bind, listener);
        assert_eq!(diagnosis.state, state, "{diagnosis}");
        assert!(diagnosis.to_string().contains(part), "{diagnosis}");
    }
}
