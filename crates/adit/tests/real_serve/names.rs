//! A forward to port 80 of a name is a site, plain and by TLS.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::thread;

use adit_testkit::key_pair::KeyPair;
use adit_testkit::nginx;
use adit_testkit::port::Port;
use adit_testkit::process::Process;
use adit_testkit::wait;

use crate::world::World;

mod away;
mod domains;
mod drawn;
mod front;
mod passed;
mod pools;
mod rules;

/// A gateway that serves names under `gw.test`.
struct Site {
    world: World,
    http: Port,
    https: Port,
}

impl Site {
    /// With those lines of keys.
    fn new(lines: impl FnOnce(&World) -> Vec<String>) -> Self {
        let world = World::new();
        let lines = lines(&world);
        world.keys(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        Self {
            world,
            http: Port::reserve(),
            https: Port::reserve(),
        }
    }

    /// A gateway that has started, with those settings besides.
    fn start(&self, settings: &str) -> Process {
        let world = &self.world;
        std::fs::write(world.path("gateway.yml"), settings).unwrap();
        let address = |port: &Port| format!("127.0.0.1:{}", port.number());
        let mut serve = Command::new(env!("CARGO_BIN_EXE_adit"));
        serve
            .args(["serve", "--domain", "gw.test", "--data"])
            .arg(world.path("data"))
            .arg("--config")
            .arg(world.path("gateway.yml"))
            .args(["--ssh", &address(&world.ssh)])
            .args(["--ports", &world.public.number().to_string()])
            .args(["--http", &address(&self.http)])
            .args(["--https", &address(&self.https)])
            .arg("--authorized-keys")
            .arg(world.path("keys"));
        let mut gateway = Process::spawn(&mut serve);
        gateway.wait_for_text("try: ");
        gateway
    }

    /// Stock ssh with that forward.
    fn ssh(&self, key: &KeyPair, forward: &str) -> Process {
        let words = ["-N", "-o", "ExitOnForwardFailure=yes", "-R", forward];
        Process::spawn(&mut self.world.ssh(key, &words))
    }

    /// What stock ssh says whose forward is refused.
    fn refused(&self, key: &KeyPair, forward: &str) -> String {
        let mut ssh = Process::spawn(&mut self.world.ssh(key, &["-N", "-R", forward]));
        assert_eq!(ssh.wait(wait::DEADLINE).code(), Some(255));
        ssh.stderr()
    }

    /// What a host says over HTTP, once it is that.
    fn wait_for(&self, host: &str, expected: &str) {
        wait::until("the site says what it is to say", || {
            let got = get(&format!("http://{host}/"), self.http.number(), &[])?;
            if got == expected { Ok(()) } else { Err(got) }
        });
    }
}

/// A web server that says one text, with an end to it.
fn saying(text: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for visitor in listener.incoming() {
            let mut visitor = visitor.unwrap();
            thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") {
                    match visitor.read(&mut byte) {
                        Ok(1) => head.push(byte[0]),
                        _ => return,
                    }
                }
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
                    text.len()
                );
                visitor.write_all(answer.as_bytes()).ok();
            });
        }
    });
    port
}

/// A web server that says what it was asked, as nginx sees it.
fn nginx(world: &World, port: &Port) -> Process {
    nginx::serve(
        world.folder.path(),
        &format!(
            "server {{ listen 127.0.0.1:{}; \
             return 200 \"$host $http_x_forwarded_proto $http_x_forwarded_for $request_uri\"; }}",
            port.number()
        ),
    )
}

/// What curl gets from a URL under the domain, or its error.
fn get(url: &str, port: u16, more: &[&str]) -> Result<String, String> {
    let output = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--max-time",
            "20",
            "--noproxy",
            "*",
        ])
        .args([
            "--connect-to",
            &format!("::127.0.0.1:{port}"),
            "--write-out",
            " %{http_code}",
        ])
        .args(more)
        .arg(url)
        .output()
        .unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

#[test]
fn a_name_is_a_site_for_whoever_may_have_it() {
    adit_testkit::require!("ssh", "nginx", "curl");
    let world = World::new();
    let (http, https, site) = (Port::reserve(), Port::reserve(), Port::reserve());
    let ann = format!("adit-names=\"app\" {}", world.ann.public_line());
    world.keys(&[&ann, world.bob.public_line()]);
    let address = |port: &Port| format!("127.0.0.1:{}", port.number());
    let mut serve = Command::new(env!("CARGO_BIN_EXE_adit"));
    serve
        .args(["serve", "--domain", "gw.test", "--data"])
        .arg(world.path("data"))
        .args([
            "--ssh",
            &address(&world.ssh),
            "--ports",
            &world.public.number().to_string(),
        ])
        .args(["--http", &address(&http), "--https", &address(&https)])
        .arg("--authorized-keys")
        .arg(world.path("keys"));
    let mut gateway = Process::spawn(&mut serve);
    gateway.wait_for_text("try: ");
    let _nginx = nginx(&world, &site);
    let forward = format!("app:80:127.0.0.1:{}", site.number());
    // Who has no such name is told so.
    let mut bob = Process::spawn(&mut world.ssh(
        &world.bob,
        &["-N", "-o", "ExitOnForwardFailure=yes", "-R", &forward],
    ));
    assert!(!bob.wait(wait::DEADLINE).success());
    let _ann = Process::spawn(&mut world.ssh(
        &world.ann,
        &["-N", "-o", "ExitOnForwardFailure=yes", "-R", &forward],
    ));
    let plain = wait::until("the site is there", || {
        let got = get("http://app.gw.test/a%20b?x=%2F", http.number(), &[])?;
        if got.ends_with(" 200") {
            Ok(got)
        } else {
            Err(got)
        }
    });
    assert_eq!(plain, "app.gw.test http 127.0.0.1 /a%20b?x=%2F 200");
    let nobody = get("http://other.gw.test/", http.number(), &[]).unwrap();
    assert!(nobody.ends_with(" 404"), "{nobody}");
    // Nobody trusts the authority who was not told to.
    get("https://app.gw.test/", https.number(), &[]).unwrap_err();
    let authority = world.path("data").join("tls/authority.pem");
    let authority = authority.to_str().unwrap();
    for version in ["--http1.1", "--http2"] {
        let secure = get(
            "https://app.gw.test/s",
            https.number(),
            &["--cacert", authority, version],
        );
        assert_eq!(
            secure.as_deref(),
            Ok("app.gw.test https 127.0.0.1 /s 200"),
            "{version}"
        );
    }
}
