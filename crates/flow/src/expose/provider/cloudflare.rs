//! cloudflared: a name of its choice for each port, or a tunnel that was made at Cloudflare.

use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64ct::{Base64, Base64Unpadded, Encoding as _};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Job, Name, Word};

pub(super) const DRIVER: &str = "cloudflare";

/// A tunnel for a port, with a name that it says.
pub(super) fn quick(port: u16) -> Job {
    let url = format!("http://localhost:{port}");
    Job {
        driver: DRIVER,
        ports: vec![port],
        argv: argv(&["--url", &url]),
        env: Vec::new(),
        listen: listen_for_name,
        name: Name::Said,
        _files: None,
    }
}

/// A tunnel that was set up at Cloudflare: which of its names leads to which port is known there alone, so
/// each port is told to have the name that the file says.
pub(super) fn by_token(ports: &[u16], token: &Zeroizing<String>, hostname: Option<&str>) -> Job {
    let url = match hostname {
        Some(hostname) => Some(format!("https://{hostname}")),
        None => tunnel_of(token).map(|tunnel| url_of(&tunnel)),
    };
    Job {
        driver: DRIVER,
        ports: ports.to_vec(),
        argv: argv(&["run"]),
        env: vec![("TUNNEL_TOKEN", token.clone())],
        listen: listen_for_connection,
        name: url.map_or(Name::Unknown, Name::Known),
        _files: None,
    }
}

/// A tunnel that cloudflared has made, with a configuration that is written for it. A name leads to one port,
/// the first.
pub(super) fn named(
    ports: &[u16],
    tunnel: &str,
    credentials: &Path,
    hostname: Option<&str>,
) -> io::Result<Job> {
    let first = ports.first().copied();
    let folder = tempfile::Builder::new().prefix("adit-").tempdir()?;
    let file = folder.path().join("config.yml");
    let text = configuration(first, tunnel, credentials, hostname);
    let mut options = std::fs::OpenOptions::new();
    let mut opened = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&file)?;
    io::Write::write_all(&mut opened, text.as_bytes())?;
    let url = hostname.map_or_else(|| url_of(tunnel), |hostname| format!("https://{hostname}"));
    Ok(Job {
        driver: DRIVER,
        ports: ports.to_vec(),
        argv: argv(&["--config", &file.to_string_lossy(), "run", tunnel]),
        env: Vec::new(),
        listen: listen_for_connection,
        name: Name::OfFirst(url),
        _files: Some(folder),
    })
}

/// cloudflared would replace itself now and then.
fn argv(rest: &[&str]) -> Vec<String> {
    let argv = ["cloudflared", "tunnel", "--no-autoupdate"]
        .iter()
        .chain(rest);
    argv.map(|argument| (*argument).to_owned()).collect()
}

/// In JSON, which is YAML with all its quotes. Only the last rule may be without a name.
fn configuration(
    port: Option<u16>,
    tunnel: &str,
    credentials: &Path,
    hostname: Option<&str>,
) -> String {
    let service = port.map(|port| format!("http://localhost:{port}"));
    let rules = match hostname {
        Some(hostname) => json!([
            {"hostname": hostname, "service": service},
            {"service": "http_status:404"},
        ]),
        None => json!([{"service": service}]),
    };
    let file = json!({
        "tunnel": tunnel,
        "credentials-file": credentials.to_string_lossy(),
        "ingress": rules,
    });
    file.to_string()
}

fn url_of(tunnel: &str) -> String {
    format!("https://{tunnel}.cfargotunnel.com")
}

/// A token is JSON in base64: the account, the tunnel and its secret.
fn tunnel_of(token: &str) -> Option<String> {
    let json = Base64::decode_vec(token).or_else(|_| Base64Unpadded::decode_vec(token));
    let json = Zeroizing::new(json.ok()?);
    let value: Value = serde_json::from_slice(&json).ok()?;
    value.get("t")?.as_str().map(str::to_owned)
}

/// The first `https://NAME.trycloudflare.com` in a line, but for the one that names are asked for at, which stands in
/// messages of failure.
fn listen_for_name(line: &str) -> Option<Word> {
    let mut parts = line.split("https://");
    parts.next();
    let name = parts.find_map(|part| {
        let (name, rest) = part.split_once(".trycloudflare.com")?;
        let is_name = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let is_whole = !rest.starts_with(|next: char| {
            next.is_ascii_alphanumeric() || matches!(next, '.' | '-' | '/')
        });
        (is_name && is_whole && name != "api").then_some(name)
    });
    name.map(|name| Word::Name(format!("https://{name}.trycloudflare.com")))
        .or_else(|| reason(line))
}

fn listen_for_connection(line: &str) -> Option<Word> {
    line.contains("Registered tunnel connection")
        .then(|| Word::Name(String::new()))
        .or_else(|| reason(line))
}

/// `2026-11-22T10:00:00Z ERR Couldn't start tunnel error="..."`, or what stands before its usage.
fn reason(line: &str) -> Option<Word> {
    let (_, why) = line.split_once(" ERR ")?;
    Some(Word::Reason(why.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_tunnel_is_named_in_its_log() {
        let name = |name: &str| Some(Word::Name(format!("https://{name}.trycloudflare.com")));
        for (line, word) in [
            ("2026 INF |  https://four-words-a-b.trycloudflare.com    |", name("four-words-a-b")),
            ("https://x.trycloudflare.com", name("x")),
            (
                "2026 ERR failed to request quick Tunnel: Post \"https://api.trycloudflare.com/tunnel\": dial",
                Some(Word::Reason(
                    "failed to request quick Tunnel: Post \"https://api.trycloudflare.com/tunnel\": dial"
                        .to_owned(),
                )),
            ),
            ("2026 INF see https://api.trycloudflare.com or https://a.trycloudflare.com", name("a")),
            ("https://a_b.trycloudflare.com", None),
            ("https://a.trycloudflare.com.example.org", None),
            ("https://trycloudflare.com", None),
            ("2026 INF Registered tunnel connection", None),
        ] {
            assert_eq!(listen_for_name(line), word, "{line}");
        }
    }

    #[test]
    fn a_token_names_its_tunnel() {
        let json = br#"{"a":"account","t":"6ff42ae2-765d-4adf-8112-31c55c1551ef","s":"c2VjcmV0"}"#;
        let token = Base64::encode_string(json);
        let found = tunnel_of(&token);
        assert_eq!(
            found.as_deref(),
            Some("6ff42ae2-765d-4adf-8112-31c55c1551ef")
        );
        for token in ["", "%", "e30=", "W10="] {
            assert_eq!(tunnel_of(token), None, "{token}");
        }
    }

    #[test]
    fn names_cannot_leave_their_place_in_the_configuration() {
        let text = configuration(
            Some(8090),
            "a: \"b\n",
            Path::new("/c.json"),
            Some("x.example"),
        );
        let wanted = r#"{"tunnel":"a: \"b\n","credentials-file":"/c.json","ingress":[{"hostname":"x.example","service":"http://localhost:8090"},{"service":"http_status:404"}]}"#;
        let value: Value = serde_json::from_str(wanted).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        let document = adit_text::parse("config.yml", text.as_bytes()).unwrap();
        assert!(document.root().as_mapping().is_some());
    }
}
