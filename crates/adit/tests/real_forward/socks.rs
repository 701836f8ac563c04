//! Dynamic forwards and remote SOCKS, with curl as the visitor.

use std::io::{BufRead as _, BufReader};

use super::kinds::wait_for_said;
use super::*;

/// What the web page says.
const PAGE: &str = "the page at the far end";

/// A web page for whoever asks.
fn web_page() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for visitor in listener.incoming() {
            let mut visitor = BufReader::new(visitor.unwrap());
            let mut line = String::new();
            while visitor.read_line(&mut line).is_ok_and(|count| count > 2) {
                line.clear();
            }
            let head = "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n";
            drop(write!(visitor.get_mut(), "{head}{PAGE}"));
        }
    });
    port
}

/// What curl gets, or its exit code.
fn curl(proxy: &[&str], url: &str) -> Result<String, Option<i32>> {
    let output = Command::new("curl")
        .args(["--silent", "--fail", "--max-time", "60", "--noproxy", ""])
        .args(proxy)
        .arg(url)
        .env_clear()
        .output()
        .unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(output.status.code())
    }
}

/// Exit code of curl where the proxy says no (CURLE_PROXY).
const PROXY_SAYS_NO: i32 = 97;

#[test]
fn a_dynamic_forward_serves_every_version_and_looks_names_up_at_the_far_end() {
    require!("sshd", "curl");
    let sshd = Sshd::builder().start();
    let key = key(&sshd);
    let arguments = ["-i", &key, "-D", "127.0.0.1:0"];
    let mut adit = adit(&sshd, &sshd.known_hosts_path(), &arguments);
    let (word, bind) = wait_for_said(&mut adit, 1).remove(0);
    assert_eq!(word, "dynamic ");
    let port = web_page();
    for (version, host) in [
        ("--socks5-hostname", "localhost"),
        ("--socks4a", "localhost"),
        ("--socks5", "127.0.0.1"),
        ("--socks4", "127.0.0.1"),
    ] {
        let url = format!("http://{host}:{port}/");
        assert_eq!(
            curl(&[version, &bind], &url).as_deref(),
            Ok(PAGE),
            "{version}"
        );
    }
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = closed.local_addr().unwrap();
    drop(closed);
    for version in ["--socks5-hostname", "--socks4a"] {
        let refused = curl(&[version, &bind], &format!("http://{nobody}/"));
        assert_eq!(refused, Err(Some(PROXY_SAYS_NO)), "{version}");
    }
    let unknown = curl(
        &["--socks5-hostname", &bind],
        "http://no-such-host.invalid/",
    );
    assert_eq!(unknown, Err(Some(PROXY_SAYS_NO)));
}

#[test]
fn remote_socks_goes_where_it_is_permitted_and_nowhere_else() {
    require!("sshd", "curl");
    let sshd = Sshd::builder().start();
    let key = key(&sshd);
    let port = web_page();
    let permit = format!("localhost:{port}");
    let (open, closed) = (&["--permit-remote-open", permit.as_str()][..], &[][..]);
    for (permits, expected) in [(open, Ok(PAGE)), (closed, Err(Some(PROXY_SAYS_NO)))] {
        let arguments = [&["-i", &key, "-R", "127.0.0.1:0"], permits].concat();
        let mut adit = adit(&sshd, &sshd.known_hosts_path(), &arguments);
        let bind = wait_for_said(&mut adit, 1).remove(0).1;
        let proxy = ["--socks5-hostname", &bind];
        let page = curl(&proxy, &format!("http://localhost:{port}/"));
        assert_eq!(page.as_deref(), expected.as_deref());
        // Another name for the same place is another place.
        let page = curl(&proxy, &format!("http://127.0.0.1:{port}/"));
        assert_eq!(page, Err(Some(PROXY_SAYS_NO)));
    }
}
