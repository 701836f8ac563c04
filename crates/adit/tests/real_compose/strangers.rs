//! What strangers get to know, and what they can do: the rules of security that take the whole program.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::thread;

use adit_testkit::port::Port;
use adit_testkit::sshd::Sshd;
use adit_testkit::{require, wait};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::lab::Lab;

/// The head of a request as it came, and its body.
fn received(stream: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        head += &line;
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(head + &String::from_utf8_lossy(&body))
}

/// A server that answers every request with an error, and with all that it was told; then with `more`.
fn telltale(more: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            if let Some(request) = received(&stream) {
                let body = request + more;
                let head = "HTTP/1.1 500 No\r\ncontent-type: text/plain\r\nconnection: close";
                let length = body.len();
                let written = write!(stream, "{head}\r\ncontent-length: {length}\r\n\r\n{body}");
                drop(written);
            }
        }
    });
    port
}

/// What a server of ours answers: its status and its body.
fn ask(stream: &mut TcpStream, head: &str, body: &str) -> (u16, String) {
    let length = body.len();
    write!(
        stream,
        "{head}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap_or_default();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    (status.parse().unwrap_or_default(), body.to_owned())
}

/// A run, waited for, as the API tells of it, or its output alone.
fn run(port: u16, token: &str, workflow: &str, is_bare: bool) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let head = format!(
        "POST /api/workflows/runs HTTP/1.1\r\nhost: localhost:{port}\r\n\
         authorization: Bearer {token}\r\ncontent-type: application/json"
    );
    let body = json!({"workflow_id": workflow, "input": {}, "wait_for_completion": true, "output_only": is_bare});
    ask(&mut stream, &head, &body.to_string())
}

/// The values that nobody is to read, by where the file gets them.
const SECRETS: [(&str, &str); 7] = [
    ("LOGIN", "walrus-in-authorization"),
    ("SECOND", "walrus-in-a-key"),
    ("BOT_TOKEN", "4711:walrus-in-a-path"),
    ("DATABASE_PASSWORD", "walrus for \"children\""),
    ("SIGNS", "walrus-of-the-listener"),
    ("file", "walrus-of-the-controller"),
    ("literal", "walrus-as-it-stands"),
];

/// A file that has a secret wherever one can be, and workflows that give them away.
fn full_of_secrets(server: u16, [controller, listener, component, down]: [u16; 4]) -> String {
    format!(
        r#"
controller: {{type: http-server, base_path: /api, port: {controller}, token: "file:token"}}
listener:
  type: http-callback
  port: {listener}
  callbacks:
    - {{path: /signed, auth: {{type: hmac, secret: env:SIGNS}}}}
    - {{path: /token, auth: {{type: token, token: walrus-as-it-stands}}}}
components:
  - id: ask
    type: http-client
    base_url: "http://127.0.0.1:{server}"
    action:
      path: "/bot${{env.BOT_TOKEN}}/send"
      headers: {{Authorization: "Bearer ${{env.LOGIN}}", X-Api-Key: "${{env.SECOND}}"}}
      body: {{stands: walrus-as-it-stands, signs: walrus-of-the-listener, token: walrus-of-the-controller}}
  - {{id: away, type: http-client, endpoint: "http://127.0.0.1:{down}/bot${{env.BOT_TOKEN}}"}}
  - id: tell
    type: shell
    action: {{command: [sh, -c, 'echo "$DATABASE_PASSWORD" >&2; echo told'], streaming: true}}
  - {{id: strange, type: shell, action: {{command: ["/${{env.BOT_TOKEN}}/no-such-program"]}}}}
  - id: kept
    type: http-server
    port: {component}
    start: [sh, -c, 'echo "out $DATABASE_PASSWORD"; echo "err $BOT_TOKEN" >&2; exec uvicorn --port {component}']
    action: {{method: POST, path: /x, body: {{}}}}
workflows:
  - {{id: ask, jobs: [{{id: a, component: ask, retry: {{max_attempts: 2, delay: 0s}}}}]}}
  - {{id: away, component: away}}
  - {{id: tell, component: tell}}
  - {{id: strange, component: strange}}
  - {{id: kept, component: kept}}
logger: {{type: file, path: all.log, level: debug}}
"#
    )
}

/// Security rule G88.
#[test]
fn secrets_are_masked_everywhere() {
    let server = telltale("");
    let ports: [Port; 4] = std::array::from_fn(|_| Port::reserve());
    let [controller, listener, component, down] = ports.each_ref().map(Port::number);
    let lab = Lab::new(&full_of_secrets(
        server,
        [controller, listener, component, down],
    ));
    let of = |name: &str| {
        let found = SECRETS.iter().find(|(other, _)| *other == name);
        found.unwrap().1
    };
    lab.write("token", of("file"));
    let private = fs::Permissions::from_mode(0o600);
    fs::set_permissions(lab.path("token"), private).unwrap();
    let env: String = ["LOGIN", "SECOND", "BOT_TOKEN", "SIGNS"]
        .map(|name| format!("{name}={}\n", of(name)))
        .concat();
    lab.write(
        ".env",
        &format!("{env}DATABASE_PASSWORD='{}'\n", of("DATABASE_PASSWORD")),
    );
    let is_silent = |place: &str, text: &str| {
        for (name, value) in SECRETS {
            let in_json = json!(value).to_string();
            let in_json = in_json.trim_matches('"');
            assert!(
                !text.contains(value) && !text.contains(in_json),
                "{name} is in {place}:\n{text}"
            );
        }
    };
    let said = |arguments: &[&str]| {
        let said = lab.run(arguments);
        is_silent(&format!("{arguments:?}"), &said.stdout);
        is_silent(&format!("{arguments:?}"), &said.stderr);
        said
    };
    let checked = said(&["check"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let mut up = lab.start(&["-vv", "up"]);
    up.wait_for_text("[Controller] Listening on");
    for workflow in ["ask", "away", "strange"] {
        let (_, answer) = run(controller, of("file"), workflow, false);
        let told: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(told["status"], "failed", "{workflow}: {answer}");
        let error = told["error"].as_str().unwrap();
        assert!(error.contains("***"), "{workflow}: {error}");
        is_silent(workflow, &answer);
        for place in ["--attach", "--local"] {
            let said = said(&["-vv", "run", place, workflow]);
            assert_eq!(said.code, Some(1), "{said:?}");
            assert!(said.stderr.contains("***"), "{said:?}");
        }
    }
    let told = run(controller, of("file"), "tell", true).1;
    assert!(told.contains("data: told"), "{told}");
    let status = said(&["status", "--json"]);
    assert_eq!(status.code, Some(0), "{status:?}");
    let (status, refused) = run(controller, "wrong", "ask", false);
    assert_eq!(status, 401);
    is_silent("a refusal", &refused);
    let (_, refused) = run(controller, of("file"), of("literal"), false);
    assert!(refused.contains("not found"), "{refused}");
    let log = up.stderr();
    for line in ["out ***", "err ***", "[__job__] ***", "Job 'a' failed"] {
        assert!(log.contains(line), "{line} is not in\n{log}");
    }
    up.signal(Signal::INT);
    up.wait(wait::DEADLINE);
    is_silent("the log", &up.stderr());
    is_silent("the output", &up.stdout());
    let file = fs::read_to_string(lab.path("all.log")).unwrap();
    assert!(file.contains("err ***"), "{file}");
    is_silent("the log's file", &file);
    // Nor is a secret in any argument of what was started: `is_clean` would find it, and it is gone.
    lab.is_clean(&ports);
}

/// Where a connection goes out from this address and port.
fn from(source: SocketAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let made = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    rustix::net::sockopt::set_socket_reuseaddr(&made, true)?;
    bind(&made, &source)?;
    connect(&made, &to)?;
    Ok(TcpStream::from(made))
}

/// Security rule G84: who may come is decided by where the visitor is as the tunnel reports it; whoever is here
/// is here, also at the port that a visitor's connection had a moment ago.
#[test]
fn an_allow_list_uses_the_originator() {
    require!("sshd", "ssh-keygen");
    let sshd = Sshd::builder().config_line("GatewayPorts yes").start();
    let port = Port::reserve();
    let listener = port.number();
    let addr = sshd.addr();
    let lab = Lab::new(&format!(
        "gateway:
  type: ssh-tunnel
  port: '0:{listener}'
  connection: {{host: {}, port: {}, auth: {{type: keyfile, username: {}, keyfile: {}}}}}
listener:
  type: http-callback
  port: {listener}
  callbacks: [{{path: /c, allow: 127.0.0.9, identify_by: '${{body.id}}'}}]
component: {{type: shell, command: [echo, '${{gateway:{listener}.port}}']}}
workflow: {{component: __default__}}
",
        addr.ip(),
        addr.port(),
        sshd.user(),
        sshd.user_key().private_path().display()
    ));
    let mut up = lab.start(&["-v", "up"]);
    let line = up.wait_for_text("Remote port forwarding started");
    let line = line
        .lines()
        .find(|line| line.contains("Remote port forwarding started"))
        .unwrap();
    let public = line
        .rsplit_once(" -> ")
        .unwrap()
        .0
        .rsplit_once(':')
        .unwrap()
        .1;
    let public: SocketAddr = format!("127.0.0.1:{public}").parse().unwrap();
    let direct = SocketAddr::from(([127, 0, 0, 1], listener));
    let head = "POST /c HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 127.0.0.9\r\n\
                forwarded: for=127.0.0.9\r\nx-real-ip: 127.0.0.9\r\ncontent-type: application/json";
    let status = |source: &str, to: SocketAddr| {
        let mut stream = from(source.parse().unwrap(), to).unwrap();
        ask(&mut stream, head, r#"{"id": "1"}"#).0
    };
    // Through the tunnel everybody connects from here; what counts is where they are at the far end.
    assert_eq!(status("127.0.0.9:0", public), 200);
    assert_eq!(status("127.0.0.1:0", public), 403);
    assert_eq!(status("127.0.0.8:0", public), 403);
    // Not through it, the socket's own end counts.
    assert_eq!(status("127.0.0.1:0", direct), 403);
    assert_eq!(status("127.0.0.9:0", direct), 200);
    // The port that a visitor's connection came from is anybody's afterwards.
    let mut visitor = from("127.0.0.9:0".parse().unwrap(), public).unwrap();
    // The listener waits for the body, and will be the first to close.
    write!(
        visitor,
        "{head}\r\nconnection: close\r\ncontent-length: 1\r\n\r\n"
    )
    .unwrap();
    let near = wait::until("our own connection to the listener", || {
        peers(listener).first().copied().ok_or("none")
    });
    visitor.write_all(b"1").unwrap();
    let mut answer = String::new();
    visitor.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    drop(visitor);
    let mut thief = wait::until("the port of the connection", || {
        from(SocketAddr::from(([127, 0, 0, 1], near)), direct)
    });
    assert_eq!(ask(&mut thief, head, r#"{"id": "1"}"#).0, 403);
    up.signal(Signal::INT);
    up.wait(wait::DEADLINE);
    lab.is_clean(&[port]);
}

/// Security rule G108: what a terminal would obey is shown as its number, whoever has said it.
#[test]
fn no_escape_of_a_stranger_reaches_the_terminal() {
    let server = telltale("\u{1b}[2Jbody\u{7}\u{9b}31m\r\u{202e}");
    let ports: [Port; 2] = std::array::from_fn(|_| Port::reserve());
    let [controller, listener] = ports.each_ref().map(Port::number);
    let lab = Lab::new(&format!(
        r#"
controller: {{type: http-server, base_path: /api, port: {controller}}}
listener:
  type: http-trigger
  port: {listener}
  triggers: [{{path: /t, workflow: "${{body.workflow}}"}}]
components:
  - {{id: ask, type: http-client, endpoint: "http://127.0.0.1:{server}/"}}
  - {{id: nested, type: workflow, workflow: "${{input.x}}"}}
  - {{id: missing, type: shell, action: {{command: ["${{input.x}}"]}}}}
  - {{id: refused, type: http-client, endpoint: "${{input.x}}"}}
  - {{id: file, type: shell, action: {{command: [echo], output: "${{input.x as file;path}}"}}}}
  - {{id: tell, type: shell, action: {{command: [sh, -c, 'printf "$0" >&2; echo told', "${{input.x}}"], streaming: true}}}}
workflows:
  - {{id: ask, component: ask}}
  - {{id: nested, component: nested}}
  - {{id: missing, component: missing}}
  - {{id: refused, component: refused}}
  - {{id: file, component: file}}
  - {{id: tell, component: tell}}
"#
    ));
    let is_calm = |place: &str, text: &str| {
        let obeyed = |it: char| (it.is_control() && it != '\n') || it == '\u{202e}';
        assert!(!text.contains(obeyed), "{place}: {text:?}");
        assert!(!text.contains("\nFORGED"), "{place}: {text:?}");
    };
    let evil = "x\u{1b}]0;owned\u{7}\u{9b}2J\r\u{202e}y\nFORGED";
    let input = json!({"x": evil}).to_string();
    let mut up = lab.start(&["-v", "up"]);
    up.wait_for_text("[Controller] Listening on");
    for place in ["--attach", "--local"] {
        for workflow in ["ask", "nested", "missing", "refused", "file"] {
            let said = lab.run(&["-v", "run", place, workflow, "-i", &input]);
            assert_eq!(said.code, Some(1), "{workflow}: {said:?}");
            is_calm(workflow, &said.stderr);
        }
        let said = lab.run(&["run", place, evil]);
        is_calm("a name of a workflow", &said.stderr);
    }
    let mut stream = TcpStream::connect(("127.0.0.1", controller)).unwrap();
    let head = format!(
        "POST /api/workflows/runs HTTP/1.1\r\nhost: localhost:{controller}\r\ncontent-type: application/json"
    );
    let body = json!({"workflow_id": "tell", "input": {"x": evil}, "output_only": true});
    assert_eq!(ask(&mut stream, &head, &body.to_string()).0, 200);
    let mut stream = TcpStream::connect(("127.0.0.1", listener)).unwrap();
    let head = format!("POST /t HTTP/1.1\r\nhost: x{evil}\r\ncontent-type: application/json");
    let body = json!({"workflow": evil}).to_string();
    let (status, _) = ask(
        &mut stream,
        &head.replace('\r', "").replace('\n', "\r\n"),
        &body,
    );
    assert!(status >= 400);
    let mut stream = TcpStream::connect(("127.0.0.1", listener)).unwrap();
    let head = "POST /t HTTP/1.1\r\nhost: x\r\ncontent-type: application/json";
    assert_eq!(ask(&mut stream, head, &body).0, 404);
    up.wait_for_text("trigger received");
    up.signal(Signal::INT);
    up.wait(wait::DEADLINE);
    is_calm("the log", &up.stderr());
    is_calm("the output", &up.stdout());
    lab.is_clean(&ports);
}

/// The ports from which connections come to a port of this machine.
fn peers(port: u16) -> Vec<u16> {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let established = table.lines().skip(1).filter_map(|line| {
        let mut columns = line.split_whitespace().skip(1);
        let port = |addr: &str| u16::from_str_radix(addr.rsplit_once(':')?.1, 16).ok();
        let (near, far) = (port(columns.next()?)?, port(columns.next()?)?);
        (columns.next()? == "01").then_some((near, far))
    });
    let peers = established.filter(|(_, far)| *far == port);
    peers.map(|(near, _)| near).collect()
}
