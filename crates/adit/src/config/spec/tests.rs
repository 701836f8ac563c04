//! What a command line says, and what it does not say well.

use super::*;

fn tcp(host: &str, port: u16) -> Target {
    let host = host.to_owned();
    Target::Tcp { host, port }
}

fn bind(host: &str, port: u16) -> Bind {
    let host = host.to_owned();
    Bind::Tcp { host, port }
}

fn path(path: &str) -> String {
    path.to_owned()
}

#[test]
fn forwards_to_one_target_are_read_as_ssh_reads_them() {
    for (text, bind, target) in [
        (
            "8080:localhost:80",
            bind("localhost", 8080),
            tcp("localhost", 80),
        ),
        (
            "0:127.0.0.1:3000",
            bind("localhost", 0),
            tcp("127.0.0.1", 3000),
        ),
        (":8080:localhost:80", bind("", 8080), tcp("localhost", 80)),
        ("*:8080:localhost:80", bind("", 8080), tcp("localhost", 80)),
        (
            "0.0.0.0:8080:db.lan:5432",
            bind("0.0.0.0", 8080),
            tcp("db.lan", 5432),
        ),
        ("[::]:8080:[::1]:80", bind("::", 8080), tcp("::1", 80)),
        ("[]:8080:localhost:80", bind("", 8080), tcp("localhost", 80)),
        (
            "8080:[fe80::1%eth0]:80",
            bind("localhost", 8080),
            tcp("fe80::1%eth0", 80),
        ),
        ("[example.org]:1:a:2", bind("example.org", 1), tcp("a", 2)),
        ("65535:a:65535", bind("localhost", 65_535), tcp("a", 65_535)),
        (
            "8080:/run/app.sock",
            bind("localhost", 8080),
            Target::Unix {
                path: path("/run/app.sock"),
            },
        ),
        (
            "*:8080:/run/app.sock",
            bind("", 8080),
            Target::Unix {
                path: path("/run/app.sock"),
            },
        ),
        (
            "/run/there.sock:db.lan:5432",
            Bind::Unix {
                path: path("/run/there.sock"),
            },
            tcp("db.lan", 5432),
        ),
        (
            "/run/a.sock:/run/b\\:c.sock",
            Bind::Unix {
                path: path("/run/a.sock"),
            },
            Target::Unix {
                path: path("/run/b:c.sock"),
            },
        ),
    ] {
        let to = Destination::One(target);
        let RemoteForward(remote) = text.parse().unwrap();
        let LocalForward(local) = text.parse().unwrap();
        let expected = |listens| Forward {
            listens,
            bind: bind.clone(),
            to: to.clone(),
        };
        assert_eq!(remote, expected(Listens::There), "{text}");
        assert_eq!(local, expected(Listens::Here), "{text}");
    }
}

#[test]
fn forwards_without_a_target_are_socks_and_a_remote_one_permits_nothing() {
    for (text, bind) in [
        ("1080", bind("localhost", 1080)),
        ("*:1080", bind("", 1080)),
        (":0", bind("", 0)),
        ("[::1]:1080", bind("::1", 1080)),
        (
            "/run/socks.sock",
            Bind::Unix {
                path: path("/run/socks.sock"),
            },
        ),
    ] {
        let RemoteForward(remote) = text.parse().unwrap();
        assert_eq!(remote.bind, bind, "{text}");
        assert_eq!(remote.listens, Listens::There);
        assert_eq!(remote.to, Destination::Named(Permits::Only(Vec::new())));
        let DynamicForward(dynamic) = text.parse().unwrap();
        assert_eq!(dynamic.bind, bind, "{text}");
        assert_eq!(dynamic.listens, Listens::Here);
        assert_eq!(dynamic.to, Destination::Named(Permits::Any));
    }
}

#[test]
fn standard_streams_go_to_a_host_or_a_path() {
    for (text, expected) in [
        ("db.lan:22", tcp("db.lan", 22)),
        ("[::1]:22", tcp("::1", 22)),
        (
            "/run/app.sock",
            Target::Unix {
                path: path("/run/app.sock"),
            },
        ),
    ] {
        assert_eq!(text.parse(), Ok(StdioTarget(expected)), "{text}");
    }
    let field = SpecError::Field;
    for (text, expected) in [
        ("22", SpecError::Usage(STDIO)),
        ("::1:22", SpecError::Usage(STDIO)),
        ("a:0", field(ForwardError::Port(path("0")))),
        ("a b:22", field(ForwardError::Host(path("a b")))),
        (":22", field(ForwardError::Host(String::new()))),
    ] {
        assert_eq!(text.parse::<StdioTarget>(), Err(expected), "{text}");
    }
}

#[test]
fn what_is_no_forward_is_told_from_what_is_no_port_and_no_host() {
    use ForwardError::{Bracket, Host, Path, Port, TooLong};
    let usage = || SpecError::Usage(REMOTE);
    let port = |text: &str| SpecError::Field(Port(text.to_owned()));
    let host = |text: &str| SpecError::Field(Host(text.to_owned()));
    let field = SpecError::Field;
    let long_path = format!("8080:/{}", "a".repeat(107));
    let long = format!("8080:{}:80", "a".repeat(255));
    for (text, expected) in [
        ("", usage()),
        ("8080:80", usage()),
        ("a:b:c:d:e", usage()),
        ("::1:8080:localhost:80", usage()),
        ("[::1:8080:localhost:80", field(Bracket)),
        ("[::1]8080:localhost:80", field(Bracket)),
        ("8080:[::1]80", field(Bracket)),
        ("http:localhost:80", port("http")),
        ("65536:localhost:80", port("65536")),
        ("-1:localhost:80", port("-1")),
        ("+1:localhost:80", port("+1")),
        (":localhost:80", port("")),
        ("8080:localhost:0", port("0")),
        ("8080::80", host("")),
        ("8080:a b:80", host("a b")),
        ("a/b:8080:localhost:80", host("a/b")),
        (&long_path, field(Path)),
        (&long, field(TooLong)),
    ] {
        let result: Result<RemoteForward, SpecError> = text.parse();
        assert_eq!(result, Err(expected), "{text}");
    }
    assert_eq!("1080".parse::<LocalForward>(), Err(SpecError::Usage(LOCAL)));
    let dynamic = "1:a:2".parse::<DynamicForward>();
    assert_eq!(dynamic, Err(SpecError::Usage(DYNAMIC)));
}

#[test]
fn what_listens_here_may_name_an_interface() {
    for text in ["%wlan0:8001:localhost:22", "[%wlan0]:8001:localhost:22"] {
        let LocalForward(local) = text.parse().unwrap();
        assert_eq!(local.bind, bind("%wlan0", 8001), "{text}");
        assert_eq!(local.to_string(), "%wlan0:8001 -> localhost:22");
        let error = text.parse::<RemoteForward>().unwrap_err().to_string();
        assert!(
            error.starts_with("%wlan0 is an interface of this machine"),
            "{error}"
        );
    }
    let DynamicForward(dynamic) = "%br-lan:1080".parse().unwrap();
    assert_eq!(dynamic.bind, bind("%br-lan", 1080));
    for text in [
        "%:8001:localhost:22",
        "%sixteen-bytes-xx:1:a:2",
        "%a b:1:a:2",
    ] {
        let error = text.parse::<LocalForward>().unwrap_err().to_string();
        assert!(error.starts_with("no interface is called"), "{error}");
        text.parse::<RemoteForward>().unwrap_err();
    }
}
