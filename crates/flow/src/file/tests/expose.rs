//! Gateways: how they log in, and who is refused.

use super::*;
use crate::model::expose::{ExposeConfig, HostKey, HttpDriver, Login};

/// A gateway with a login like this.
fn gateway(connection: &str) -> String {
    format!("gateway: {{type: ssh-tunnel, port: 8090, connection: {{host: h, {connection}}}}}")
}

#[test]
fn a_gateway_logs_in_as_it_is_said() {
    for (auth, login) in [
        (
            "{type: keyfile, username: u, keyfile: ~/k, password: ignored}",
            Login::KeyFile {
                file: "~/k".into(),
                passphrase: None,
            },
        ),
        (
            "{type: keyfile, username: u, keyfile: k, passphrase: env:P}",
            Login::KeyFile {
                file: "k".into(),
                passphrase: Some(adit_text::SecretSource::Environment("P".to_owned())),
            },
        ),
        ("{type: agent, username: u}", Login::SshAgent),
        (
            "{type: password, username: 123, password: '${env.SECRET}', keyfile: ignored}",
            Login::Password(adit_text::SecretSource::Value("s3cr3t".to_owned())),
        ),
    ] {
        let compose = compose(&gateway(&format!("auth: {auth}")));
        let ExposeConfig::Ssh(ssh) = &compose.exposes[0].value else {
            panic!("{compose:?}");
        };
        assert_eq!(ssh.login, login, "{auth}");
        assert_eq!(ssh.host_key, HostKey::Usual);
        assert_eq!(ssh.keep_alive, Some(std::time::Duration::from_secs(10)));
    }
}

#[test]
fn a_gateway_that_cannot_log_in_says_what_to_write() {
    let text = gateway("auth: {type: password, username: u, keyfile: k}");
    let shown = wrong(&text);
    assert!(shown.contains("the key \"password\" is missing"), "{shown}");
    assert!(shown.contains("password: ${env.SSH_PASSWORD}"), "{shown}");
    let text = gateway("auth: {type: password, username: u, password: hunter22}");
    assert!(wrong(&text).contains("a secret is named here and not written"));
    let shown = warned(&text);
    assert!(
        shown.contains("warning: password: a secret stands here itself"),
        "{shown}"
    );
    assert!(!shown.contains("hunter22") && !wrong(&text).contains("hunter22"));
    for (connection, error) in [
        ("host_key: insecure", "no key is taken unseen"),
        ("host_key: SHA256:abc", "43 characters of base64"),
        ("port: 70000", "wanted a port"),
        ("keepalive_interval: soon", "wanted a duration"),
        ("max_retry_count: -1", "wanted a whole number"),
    ] {
        let login = "auth: {type: agent, username: u}";
        let shown = wrong(&gateway(&format!("{login}, {connection}")));
        assert!(shown.contains(error), "{connection}: {shown}");
    }
}

#[test]
fn hostile_hosts_and_users_are_refused() {
    for host in [
        "-oProxyCommand=x",
        "a,b",
        "a b",
        "a;b",
        "$(x)",
        "",
        "a/b",
        "a@b",
    ] {
        let text = format!(
            "gateway: {{type: ssh-tunnel, connection: {{host: '{host}', auth: {{type: agent, username: u}}}}}}"
        );
        assert!(
            wrong(&text).contains("wanted a host"),
            "{host}: {}",
            wrong(&text)
        );
    }
    for user in ["-l", "a b", "a;b", "$(x)", "a`b", "a\\\\", "", "a|b"] {
        let text = gateway(&format!("auth: {{type: agent, username: \"{user}\"}}"));
        assert!(
            wrong(&text).contains("wanted a user name"),
            "{user}: {}",
            wrong(&text)
        );
    }
    for host in [
        "a.example",
        "10.0.0.1",
        "::1",
        "[::1]",
        "fe80::1%eth0",
        "my_host",
    ] {
        let text = format!(
            "gateway: {{type: ssh-tunnel, connection: {{host: '{host}', auth: {{type: agent, username: a.b-c_d}}}}}}"
        );
        compose(&text);
    }
}

#[test]
fn cloudflare_is_asked_in_one_way() {
    let read = |keys: &str| format!("gateway: {{type: http-tunnel, driver: cloudflare{keys}}}");
    let driver = |keys: &str| {
        let compose = compose(&read(keys));
        let ExposeConfig::Http(http) = &compose.exposes[0].value else {
            panic!("{compose:?}");
        };
        assert_eq!(http.ports[0].value, 8090);
        http.driver.clone()
    };
    assert_eq!(driver(""), HttpDriver::CloudflareQuick);
    let token = driver(", token: '${env.SECRET}', hostname: h");
    assert!(matches!(
        token,
        HttpDriver::CloudflareToken {
            hostname: Some(_),
            ..
        }
    ));
    let named = driver(", tunnel: t, credentials_file: c.json");
    assert!(matches!(
        named,
        HttpDriver::CloudflareNamed { hostname: None, .. }
    ));
    let two = ", tunnel: t, credentials_file: c.json, port: [8090, 8091]";
    let warning = warned(&read(two));
    assert!(
        warning.contains("this port never has a name") && warning.contains(":100: "),
        "{warning}"
    );
    for (keys, error) in [
        (", tunnel: t", "the key \"credentials_file\" is missing"),
        (", credentials_file: c", "the key \"tunnel\" is missing"),
        (", token: env:T, tunnel: t", "two ways to say one thing"),
        (", hostname: h", "not this one"),
        (", port: []", "the list names no port"),
    ] {
        let shown = wrong(&read(keys));
        assert!(shown.contains(error), "{keys}: {shown}");
    }
}
