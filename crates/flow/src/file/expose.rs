//! `gateway:`: ports of an SSH server, or names of a provider.

use std::time::Duration;

use adit_text::{Fields, Node, Problem, Problems};

use super::{Grammar, field};
use crate::model::Placed;
use crate::model::expose::{
    ExposeConfig, HostKey, HttpDriver, HttpExpose, Login, PortForward, SshExpose,
};

mod port;

/// The port where none is said; model-compose's own.
const LOCAL_PORT: u16 = 8090;
const SSH_PORT: u16 = 22;
/// model-compose's own.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const WATCH_INTERVAL: Duration = Duration::from_secs(5);
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

#[derive(Clone, Copy)]
enum Kind {
    Ssh,
    Http,
}

pub(super) fn read(
    node: &Node,
    grammar: Grammar<'_>,
    problems: &mut Problems,
) -> Option<Placed<ExposeConfig>> {
    let mut fields = node.fields(problems)?;
    let kinds = [("ssh-tunnel", Kind::Ssh), ("http-tunnel", Kind::Http)];
    let kind = fields.required("type", |node, problems| node.choice(&kinds, problems))?;
    field::runtime(&mut fields);
    let gateway = match kind {
        Kind::Ssh => ssh(&mut fields, grammar).map(|ssh| ExposeConfig::Ssh(Box::new(ssh))),
        Kind::Http => http(&mut fields, grammar).map(ExposeConfig::Http),
    };
    grammar.finish(fields);
    gateway.map(|gateway| Placed::new(gateway, node.place()))
}

/// What `connection:` says.
struct Connection {
    host: Placed<String>,
    port: Option<u16>,
    user: String,
    login: Login,
    host_key: HostKey,
    known_hosts: Option<std::path::PathBuf>,
    keep_alive: Option<Duration>,
    watch_interval: Option<Duration>,
    retry_interval: Option<Duration>,
    max_retry_count: Option<u32>,
}

fn ssh(fields: &mut Fields<'_, '_>, grammar: Grammar<'_>) -> Option<SshExpose> {
    let forwards = fields.optional("port", port::forwards);
    let forwards = forwards.unwrap_or_else(|| {
        vec![PortForward {
            remote: Placed::new(LOCAL_PORT, fields.place()),
            host: port::LOCAL.to_owned(),
            port: LOCAL_PORT,
        }]
    });
    let connection = fields.required("connection", |node, problems| {
        connection(node, grammar, problems)
    })?;
    Some(SshExpose {
        host: connection.host,
        port: connection.port.unwrap_or(SSH_PORT),
        user: connection.user,
        login: connection.login,
        host_key: connection.host_key,
        known_hosts: connection.known_hosts,
        keep_alive: connection.keep_alive,
        watch_interval: connection.watch_interval.unwrap_or(WATCH_INTERVAL),
        retry_interval: connection.retry_interval.unwrap_or(RETRY_INTERVAL),
        max_retry_count: connection.max_retry_count,
        forwards,
    })
}

fn connection(node: &Node, grammar: Grammar<'_>, problems: &mut Problems) -> Option<Connection> {
    let mut fields = node.fields(problems)?;
    let host = fields.required("host", |node, problems| {
        let host = node.parsed("a host", "gateway.example.org", problems, host)?;
        Some(Placed::new(host, node.place()))
    });
    let port = fields.port("port");
    let auth = fields.required("auth", |node, problems| auth(node, grammar, problems));
    let host_key = fields.optional("host_key", |node, problems| {
        let example = "accept-new, strict or SHA256:...";
        node.parsed("which host key is right", example, problems, host_key)
    });
    let known_hosts = fields.path("known_hosts");
    let keep_alive = fields.optional("keepalive_interval", field::duration);
    let watch_interval = fields.optional("watch_interval", field::duration);
    let retry_interval = fields.optional("retry_interval", field::duration);
    let max_retry_count = field::limit(&mut fields, "max_retry_count");
    grammar.finish(fields);
    let (user, login) = auth?;
    Some(Connection {
        host: host?,
        port,
        user,
        login,
        host_key: host_key.unwrap_or_default(),
        known_hosts,
        keep_alive: Some(keep_alive.unwrap_or(KEEP_ALIVE)).filter(|interval| !interval.is_zero()),
        watch_interval,
        retry_interval,
        max_retry_count: max_retry_count.map(std::num::NonZeroU32::get),
    })
}

#[derive(Clone, Copy)]
enum LoginKind {
    KeyFile,
    SshAgent,
    Password,
}

fn auth(node: &Node, grammar: Grammar<'_>, problems: &mut Problems) -> Option<(String, Login)> {
    let mut fields = node.fields(problems)?;
    let kinds = [
        ("keyfile", LoginKind::KeyFile),
        ("password", LoginKind::Password),
        ("agent", LoginKind::SshAgent),
    ];
    let kind = fields.required("type", |node, problems| node.choice(&kinds, problems));
    let user = fields.required("username", |node, problems| {
        node.parsed("a user name", "me", problems, user)
    });
    let secret = |node: &Node, problems: &mut Problems| field::secret(node, grammar, problems);
    // The keys of one way to log in may stand beside those of another: which is taken may come
    // from the environment. What is not needed is not looked at.
    for key in ["keyfile", "passphrase", "password"] {
        fields.node(key);
    }
    let login = match kind {
        Some(LoginKind::KeyFile) => {
            let file = fields.required("keyfile", Node::path);
            let passphrase = fields.optional("passphrase", secret);
            file.map(|file| Login::KeyFile { file, passphrase })
        }
        Some(LoginKind::SshAgent) => Some(Login::SshAgent),
        Some(LoginKind::Password) if fields.node("password").is_none() => {
            let place = fields.place_of("type");
            let message = "the type is \"password\", and the key \"password\" is missing";
            let help = "write \"password: ${env.SSH_PASSWORD}\" below \"type\" and set SSH_PASSWORD; SSH_AUTH_TYPE alone does not change what the file names";
            let problem = Problem::error(place, message).with_help(help);
            fields.problems().push(problem);
            None
        }
        Some(LoginKind::Password) => fields.required("password", secret).map(Login::Password),
        None => None,
    };
    grammar.finish(fields);
    Some((user?, login?))
}

/// Host names and addresses that OpenSSH takes from a command line, without an option in disguise.
fn host(text: &str) -> Result<String, &'static str> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let bare = bare.unwrap_or(text);
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"._:%-".contains(&byte);
    if bare.is_empty() {
        Err("it is empty")
    } else if bare.starts_with('-') {
        Err("a host does not begin with a dash")
    } else if !bare.bytes().all(is_good) {
        Err("a host is letters, digits, dots, dashes, colons and percent signs")
    } else {
        Ok(text.to_owned())
    }
}

/// User names that OpenSSH takes from a command line.
fn user(text: &str) -> Result<String, &'static str> {
    let is_bad = |c: char| c.is_control() || c.is_whitespace() || "'`\"\\$;&<>|(){}".contains(c);
    if text.is_empty() {
        Err("it is empty")
    } else if text.starts_with('-') {
        Err("a user name does not begin with a dash")
    } else if text.contains(is_bad) {
        Err("a user name holds no space and nothing that a shell would obey")
    } else {
        Ok(text.to_owned())
    }
}

fn host_key(text: &str) -> Result<HostKey, &'static str> {
    match text {
        "accept-new" => Ok(HostKey::AcceptNew),
        "strict" => Ok(HostKey::Strict),
        _ if text.starts_with("SHA256:") => {
            let digest = text.trim_start_matches("SHA256:").trim_end_matches('=');
            let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
            // 32 bytes in base64.
            if digest.len() == 43 && digest.bytes().all(is_good) {
                Ok(HostKey::Fingerprint(format!("SHA256:{digest}")))
            } else {
                Err("a fingerprint is SHA256: and 43 characters of base64")
            }
        }
        "insecure" => Err("no key is taken unseen"),
        _ => Err("it is none of accept-new, strict and a fingerprint"),
    }
}

#[derive(Clone, Copy)]
enum Driver {
    Ngrok,
    Cloudflare,
}

fn http(fields: &mut Fields<'_, '_>, grammar: Grammar<'_>) -> Option<HttpExpose> {
    let drivers = [("ngrok", Driver::Ngrok), ("cloudflare", Driver::Cloudflare)];
    let driver = fields.required("driver", |node, problems| node.choice(&drivers, problems));
    let ports = fields.one_or_many("port", field::port);
    let ports = ports.unwrap_or_else(|| vec![Placed::new(LOCAL_PORT, fields.place())]);
    if ports.is_empty() && fields.node("port").and_then(Node::as_sequence) == Some(&[]) {
        fields.refuse("port", "the list names no port");
    }
    let driver = match driver? {
        Driver::Ngrok => Some(HttpDriver::Ngrok),
        Driver::Cloudflare => cloudflare(fields, grammar),
    };
    let driver = driver?;
    if let (HttpDriver::CloudflareNamed { .. }, [_, second, ..]) = (&driver, ports.as_slice()) {
        let message =
            "this port never has a name: the tunnel has one, which leads to the first port";
        let problem = Problem::warning(&second.place, message);
        let help = "give each port a gateway, with a tunnel of its own";
        fields.problems().push(problem.with_help(help));
    }
    Some(HttpExpose { driver, ports })
}

fn cloudflare(fields: &mut Fields<'_, '_>, grammar: Grammar<'_>) -> Option<HttpDriver> {
    let given = ["token", "tunnel", "credentials_file"].map(|key| fields.node(key).is_some());
    let hostname = fields.optional("hostname", field::owned);
    match given {
        [false, false, false] => {
            if hostname.is_some() {
                let message = "a tunnel without token or credentials gets a name of Cloudflare's choice, not this one";
                fields.refuse("hostname", message);
            }
            Some(HttpDriver::CloudflareQuick)
        }
        [true, false, _] => {
            if fields.node("credentials_file").is_some() {
                let message = "\"token\" and \"credentials_file\" are two ways to say one thing";
                fields.refuse("credentials_file", message);
            }
            let token = fields.optional("token", |node, problems| {
                field::secret(node, grammar, problems)
            });
            token.map(|token| HttpDriver::CloudflareToken { token, hostname })
        }
        [true, true, _] => {
            let message = "\"token\" and \"tunnel\" are two ways to say one thing";
            fields.refuse("token", message);
            None
        }
        [false, _, _] => {
            let tunnel = fields.required("tunnel", field::owned);
            let credentials_file = fields.required("credentials_file", Node::path);
            Some(HttpDriver::CloudflareNamed {
                tunnel: tunnel?,
                credentials_file: credentials_file?,
                hostname,
            })
        }
    }
}
