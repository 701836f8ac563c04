//! What HTTP carries, from a visitor to a service behind a tunnel and back.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::process::Command;

use adit_testkit::measure;
use adit_testkit::port::Port;
use adit_testkit::process::Process;
use adit_testkit::{require, wait};

use crate::site::{Site, Tunnel, output};

/// A service of a program in Python, once it listens.
fn serve(site: &Site, name: &str, text: &str, words: &[&str], port: &Port) -> Process {
    let file = site.world.path(name);
    std::fs::write(&file, text).unwrap();
    let mut python = Command::new(adit_testkit::real::python().unwrap());
    python.arg(file).args(words).arg(port.number().to_string());
    let mut service = Process::spawn(&mut python);
    service.wait_for_text("ready");
    service
}

fn site() -> Site {
    let line = |world: &crate::world::World| {
        vec![format!(
            "adit-names=\"app,socket,grpc\" {}",
            world.ann.public_line()
        )]
    };
    Site::start(line, "")
}

/// A site with the service of `service.py` at `app`.
fn with_service(tunnel: Tunnel) -> (Site, Process, Process, Port) {
    let site = site();
    let port = Port::reserve();
    let service = serve(&site, "service.py", include_str!("service.py"), &[], &port);
    let forwards = [(String::from("app"), port.number())];
    let mut forwarding = site.forward(tunnel, &site.world.ann, &forwards);
    site.wait_for("app", &mut forwarding);
    (site, service, forwarding, port)
}

fn http(tunnel: Tunnel) {
    let (site, _service, _forwarding, _port) = with_service(tunnel);
    let get = |words: &[&str]| output(&mut site.curl(words)).unwrap();
    // What the service is told (spec: what an upstream of Nginx Proxy Manager is told, without its holes).
    let head = get(&[
        "-H",
        "X-Forwarded-For: 192.0.2.1",
        "-H",
        "X-Forwarded-Proto: https",
        "-H",
        "X-Mine: 1",
        "-H",
        "Connection: close, X-Hop",
        "-H",
        "X-Hop: 1",
        "http://APP.gw.test/head/a%20b?x=1&y=%2F",
    ]);
    let mut lines: Vec<&str> = head.lines().collect();
    assert_eq!(lines.remove(0), "GET /head/a%20b?x=1&y=%2F");
    lines.retain(|line| !line.starts_with("user-agent:"));
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "accept: */*",
            "host: app.gw.test",
            "x-forwarded-for: 127.0.0.1",
            "x-forwarded-host: app.gw.test",
            "x-forwarded-proto: http",
            "x-forwarded-scheme: http",
            "x-mine: 1",
            "x-real-ip: 127.0.0.1",
        ]
    );
    // HEAD, and a body that waits for 100.
    let head = get(&["--head", "http://app.gw.test/down/1000000"]);
    assert!(head.contains("content-length: 1000000"), "{head}");
    let words = ["-H", "Expect: 100-continue", "-v", "--data", "hello"];
    let posted = site
        .curl(&words)
        .arg("http://app.gw.test/")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&posted.stderr);
    assert!(said.contains("HTTP/1.1 100 Continue"), "{said}");
    assert!(posted.stdout.starts_with(b"5 2cf24dba"), "{posted:?}");
    // What stands behind a body is for HTTP/2 alone; the body comes either way.
    assert_eq!(get(&["http://app.gw.test/trailers"]), "ok");
    let version = ["--http2", "https://app.gw.test/trailers"];
    assert_eq!(output(&mut site.secure_curl(&version)).unwrap(), "ok");
    // An answer before the body has come is that answer.
    let big = site.world.path("big");
    std::fs::write(&big, vec![b'x'; 4 << 20]).unwrap();
    let upload = format!("@{}", big.display());
    let early = [
        "--data-binary",
        &upload,
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code}",
        "http://app.gw.test/early",
    ];
    let early = site.curl(&early).output().unwrap();
    assert_eq!(early.stdout, b"413", "{early:?}");
    events(&site);
    half_close(&site);
}

/// Each event reaches the visitor before the next one is made.
fn events(site: &Site) {
    for secure in [false, true] {
        let mut curl = if secure {
            site.secure_curl(&["--no-buffer", "--http2", "https://app.gw.test/sse"])
        } else {
            site.curl(&["--no-buffer", "http://app.gw.test/sse"])
        };
        let mut visitor = Process::spawn(&mut curl);
        visitor.wait_for_text("data: one");
        assert!(!visitor.stdout().contains("two"));
        output(&mut site.curl(&["http://app.gw.test/go"])).unwrap();
        visitor.wait_for_text("data: two");
        assert!(visitor.wait(wait::DEADLINE).success());
    }
}

/// Who has said all is answered all the same.
fn half_close(site: &Site) {
    let mut visitor = TcpStream::connect(("127.0.0.1", site.http)).unwrap();
    visitor
        .write_all(b"POST / HTTP/1.1\r\nHost: app.gw.test\r\nContent-Length: 5\r\n\r\nhello")
        .unwrap();
    visitor.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    visitor.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\r\n\r\n5 2cf24dba"), "{answer}");
}

#[test]
fn http_comes_through_stock_ssh_as_it_was_said() {
    require!("ssh", "ssh-keygen", "curl", "python3");
    http(Tunnel::Ssh);
}

#[test]
fn http_comes_through_an_agent_as_it_was_said() {
    require!("ssh-keygen", "curl", "python3");
    http(Tunnel::Agent);
}

#[test]
fn a_range_of_a_file_is_what_its_server_says() {
    require!("ssh", "ssh-keygen", "curl", "nginx");
    let site = site();
    let port = Port::reserve();
    let folder = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    std::fs::write(folder.path().join("file"), &bytes).unwrap();
    let server = format!(
        "server {{ listen 127.0.0.1:{}; root {}; }}",
        port.number(),
        folder.path().display()
    );
    let _nginx = adit_testkit::nginx::serve(folder.path(), &server);
    let forwards = [(String::from("app"), port.number())];
    let mut ssh = site.forward(Tunnel::Ssh, &site.world.ann, &forwards);
    // nginx as root reads as root: `master_process off`.
    site.wait_for("app", &mut ssh);
    let url = "http://app.gw.test/file";
    let piece = site.curl(&["--range", "100-299", url]).output().unwrap();
    assert_eq!(piece.stdout, &bytes[100..300]);
    let told = output(&mut site.curl(&["--head", "--range", "-5", url])).unwrap();
    assert!(told.contains("HTTP/1.1 206"), "{told}");
    assert!(
        told.contains("content-range: bytes 99995-99999/100000"),
        "{told}"
    );
}

fn websocket(tunnel: Tunnel) {
    let site = site();
    let port = Port::reserve();
    let text = include_str!("websocket.py");
    let _service = serve(&site, "websocket.py", text, &["serve"], &port);
    let forwards = [(String::from("socket"), port.number())];
    let mut forwarding = site.forward(tunnel, &site.world.ann, &forwards);
    site.wait_for("socket", &mut forwarding);
    let mut ask = Command::new(adit_testkit::real::python().unwrap());
    ask.arg(site.world.path("websocket.py")).args([
        "ask",
        &site.http.to_string(),
        "socket.gw.test",
    ]);
    assert_eq!(output(&mut ask).unwrap(), "closed 1000\n");
}

#[test]
fn a_websocket_comes_through_stock_ssh() {
    require!("ssh", "ssh-keygen");
    require!(python "websockets");
    websocket(Tunnel::Ssh);
}

#[test]
fn a_websocket_comes_through_an_agent() {
    require!("ssh-keygen");
    require!(python "websockets");
    websocket(Tunnel::Agent);
}

#[test]
fn grpc_comes_through_with_its_trailers() {
    require!("ssh", "ssh-keygen");
    require!(python "grpc");
    for tunnel in [Tunnel::Ssh, Tunnel::Agent] {
        let site = site();
        let port = Port::reserve();
        let text = include_str!("grpc_echo.py");
        let _service = serve(&site, "grpc_echo.py", text, &["serve"], &port);
        let forwards = [(String::from("grpc"), port.number())];
        let mut forwarding = site.forward(tunnel, &site.world.ann, &forwards);
        site.wait_for_route("grpc", &mut forwarding);
        let mut ask = Command::new(adit_testkit::real::python().unwrap());
        ask.arg(site.world.path("grpc_echo.py"))
            .args(["ask", &site.https.to_string(), "grpc.gw.test"])
            .arg(site.authority());
        assert_eq!(output(&mut ask).unwrap(), "done\n", "{tunnel:?}");
    }
}

#[test]
fn h2load_gets_every_answer() {
    require!("ssh", "ssh-keygen", "h2load", "python3");
    let (site, _service, _forwarding, _port) = with_service(Tunnel::Ssh);
    let mut h2load = Command::new("h2load");
    h2load
        .args(["-n2000", "-c10", "-m20"])
        .arg(format!("--connect-to=127.0.0.1:{}", site.https))
        .arg("https://app.gw.test/");
    let said = output(&mut h2load).unwrap();
    assert!(
        said.contains("2000 succeeded, 0 failed, 0 errored"),
        "{said}"
    );
}

/// So many bytes up and down, and what the gateway held meanwhile.
fn large(tunnel: Tunnel, bytes: u64) {
    let (site, _service, forwarding, _port) = with_service(tunnel);
    let held = || {
        let memory = |process: &Process| measure::memory(process.id()).unwrap().rss_bytes;
        (memory(&site.gateway), memory(&forwarding))
    };
    let before = held();
    let mut most = before;
    let mut watch = |mut curl: Process| {
        let status = wait::until_within(LARGE, "a large body", || {
            let now = held();
            most = (most.0.max(now.0), most.1.max(now.1));
            curl.exit_status().ok_or(now)
        });
        assert!(status.success(), "{}", curl.stderr());
        curl.stdout()
    };
    for secure in [false, true] {
        let curl = |words: &[&str]| {
            let mut command = if secure {
                site.secure_curl(&["--http2"])
            } else {
                site.curl(&[])
            };
            let scheme = if secure { "https" } else { "http" };
            let (path, words) = words.split_last().unwrap();
            command
                .args(words)
                .arg(format!("{scheme}://app.gw.test{path}"));
            command
        };
        let path = format!("/down/{bytes}");
        let words = [
            "--output",
            "/dev/null",
            "--write-out",
            "%{size_download}",
            &path,
        ];
        assert_eq!(watch(Process::spawn(&mut curl(&words))), bytes.to_string());
        // From a file with a hole as long as that.
        let file = site.world.path("large");
        std::fs::File::create(&file)
            .unwrap()
            .set_len(bytes)
            .unwrap();
        let file = file.display().to_string();
        let said = watch(Process::spawn(&mut curl(&["--upload-file", &file, "/"])));
        assert!(said.starts_with(&format!("{bytes} ")), "{said}");
    }
    let grown = (most.0 - before.0, most.1 - before.1);
    println!(
        "{bytes} bytes each way through {tunnel:?}: the gateway held {} KiB more at most, the client {} KiB",
        grown.0 >> 10,
        grown.1 >> 10
    );
    assert!(grown.0 < FLAT, "{} bytes more at the gateway", grown.0);
}

/// A gibibyte through a debug build and a service in Python.
const LARGE: std::time::Duration = std::time::Duration::from_mins(10);
/// Buffers and windows of both sides, which do not grow with what goes through them.
const FLAT: u64 = 48 << 20;

#[test]
fn sixty_four_mebibytes_each_way_leave_the_gateways_memory_flat() {
    require!("ssh", "ssh-keygen", "curl", "python3");
    large(Tunnel::Ssh, 64 << 20);
}

#[test]
#[ignore = "minutes: cargo xtask soak names-gibibyte"]
fn a_gibibyte_each_way_leaves_the_gateways_memory_flat() {
    require!("ssh", "ssh-keygen", "curl", "python3");
    large(Tunnel::Ssh, 1 << 30);
    large(Tunnel::Agent, 1 << 30);
}
