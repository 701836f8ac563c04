//! What programs that are started find in their environment, in the whole program: what they were given, and none of
//! the secrets that only adit needs (security rule G91).

use std::fs;
use std::process::Command;

use adit_testkit::port::Port;
use adit_testkit::process::Process;
use adit_testkit::sshd::Sshd;
use adit_testkit::{require, wait};

use crate::lab::Lab;

/// Variables of files, by where the compose file names them; each value tells its name.
const OURS: [&str; 4] = [
    "KEY_PASSPHRASE",
    "LOGIN_USER",
    "CALLBACK_TOKEN",
    "API_TOKEN",
];

/// What adit itself reads from its environment.
const ADITS: [&str; 3] = ["ADIT_PASSPHRASE", "ADIT_PASSWORD", "ADIT_ANYTHING"];

/// Writes what this process has, and what the one has that keeps it.
const DUMP: &str = "env > \"$1.new\"; tr '\\0' '\\n' < \"/proc/$PPID/environ\" > \"$1.keeper\"; mv \"$1.new\" \"$1\"";

fn file(sshd: &Sshd, [controller, listener, server]: [u16; 3]) -> String {
    let addr = sshd.addr();
    format!(
        "controller: {{type: http-server, port: {controller}, token: env:API_TOKEN}}
gateway:
  type: ssh-tunnel
  port: '0:{listener}'
  connection:
    host: {}
    port: {}
    auth: {{type: keyfile, username: '${{env.LOGIN_USER}}', keyfile: key, passphrase: env:KEY_PASSPHRASE}}
listener:
  type: http-callback
  port: {listener}
  callbacks: [{{path: /c, identify_by: '${{body.id}}', auth: {{type: token, token: env:CALLBACK_TOKEN}}}}]
components:
  - id: server
    type: http-server
    port: {server}
    path: /
    manage:
      env: {{GIVEN: 'to the server', SHARED: 'not ${{env.SHARED}}'}}
      scripts:
        install: [[dump, install]]
        start: [serve, '{server}']
        clean: [dump, clean]
  - id: shell
    type: shell
    env: {{GIVEN: 'to the shell'}}
    action: {{command: [dump, shell], env: {{MORE: '${{input.more}}'}}}}
workflows:
  - {{id: shell, component: shell}}
  - {{id: server, component: server}}
",
        addr.ip(),
        addr.port()
    )
}

fn lab(sshd: &Sshd, ports: [u16; 3]) -> Lab {
    let lab = Lab::new(&file(sshd, ports));
    lab.program("dump", DUMP);
    lab.program("serve", "dump server; exec uvicorn app --port \"$1\"");
    fs::copy(sshd.user_key().private_path(), lab.path("key")).unwrap();
    let encrypt = ["-q", "-p", "-P", "", "-N", "the KEY_PASSPHRASE", "-f"];
    let mut keygen = Command::new("ssh-keygen");
    let encrypted = keygen.args(encrypt).arg(lab.path("key")).output().unwrap();
    assert!(encrypted.status.success(), "{encrypted:?}");
    let user = sshd.user();
    lab.write(
        ".env",
        &format!(
            "KEY_PASSPHRASE='the KEY_PASSPHRASE'\nLOGIN_USER={user}\nCALLBACK_TOKEN='the CALLBACK_TOKEN'\n\
             API_TOKEN='the API_TOKEN'\nSHARED=shared\nPLAIN=plain\n"
        ),
    );
    lab
}

fn start(lab: &Lab, arguments: &[&str]) -> Process {
    let mut command = lab.command(arguments);
    command.envs(ADITS.map(|name| (name, format!("the {name}"))));
    // They are for programs as for anybody whom the person starts.
    command.env("SSH_AUTH_SOCK", "/nowhere/agent");
    command.env("INHERITED", "yes");
    Process::spawn(&mut command)
}

/// What a program has found, once it has written that down; the file is gone then.
fn found(lab: &Lab, name: &str) -> Vec<String> {
    let text = wait::until(name, || fs::read_to_string(lab.path(name)));
    let kept = fs::read_to_string(lab.path(&format!("{name}.keeper"))).unwrap();
    fs::remove_file(lab.path(name)).unwrap();
    for (whose, text) in [("a program's", &text), ("its keeper's", &kept)] {
        for ours in OURS.iter().chain(&ADITS) {
            assert!(!text.contains(ours), "{ours} is {whose}, {name}: {text}");
        }
    }
    text.lines().map(str::to_owned).collect()
}

#[track_caller]
fn has(found: &[String], given: &[&str]) {
    let all = [
        "INHERITED=yes",
        "SSH_AUTH_SOCK=/nowhere/agent",
        "PLAIN=plain",
    ];
    for line in all.iter().chain(given) {
        assert!(found.iter().any(|it| it == line), "{line}: {found:?}");
    }
}

#[test]
fn no_program_finds_a_secret_of_adits_own() {
    require!("sshd", "ssh-keygen");
    let sshd = Sshd::builder().config_line("GatewayPorts yes").start();
    let ports: [Port; 3] = std::array::from_fn(|_| Port::reserve());
    let lab = lab(&sshd, ports.each_ref().map(Port::number));
    let mut up = start(&lab, &["up"]);
    up.wait_for_text("[Controller] Listening on");
    // The key was decrypted, so its passphrase was there for adit.
    up.wait_for_text("Remote port forwarding started");
    has(&found(&lab, "install"), &["GIVEN=to the server"]);
    has(
        &found(&lab, "server"),
        &["GIVEN=to the server", "SHARED=not shared"],
    );
    for place in ["--attach", "--local"] {
        let run = ["run", place, "shell", "-i", r#"{"more": "of it"}"#];
        let mut run = start(&lab, &run);
        assert_eq!(run.wait(wait::DEADLINE).code(), Some(0), "{}", run.stderr());
        has(
            &found(&lab, "shell"),
            &["GIVEN=to the shell", "MORE=of it", "SHARED=shared"],
        );
    }
    let mut down = start(&lab, &["down"]);
    assert_eq!(
        down.wait(wait::DEADLINE).code(),
        Some(0),
        "{}",
        down.stderr()
    );
    assert_eq!(up.wait(wait::DEADLINE).code(), Some(0), "{}", up.stderr());
    has(&found(&lab, "clean"), &["GIVEN=to the server"]);
    lab.is_clean(&ports);
}
