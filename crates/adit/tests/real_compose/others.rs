//! Other users of the machine at the control socket, and sockets of theirs in its place (security rule G100).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use adit_testkit::port::Port;
use adit_testkit::process::Process;
use adit_testkit::{require, wait};

use crate::lab::{Lab, Said};

/// The account that owns nothing.
const NOBODY: &str = "65534";

/// As this user, sends a line to a socket and prints what comes, or what the system says.
const CLIENT: &str = "
import os, socket, sys
os.setgroups([])
os.setgid(int(sys.argv[3]))
os.setuid(int(sys.argv[3]))
client = socket.socket(socket.AF_UNIX)
client.settimeout(15)
try:
    client.connect(sys.argv[1])
    client.sendall(sys.argv[2].encode() + b'\\n')
    print(client.recv(65536).decode() or 'hung up on')
except ConnectionError:
    print('hung up on')
except OSError as error:
    print(type(error).__name__)
";

/// Has the lock and the socket of a file, and is another user's by the time that it listens.
const IMPOSTOR: &str = "
import fcntl, json, os, socket, sys
base, config = sys.argv[1:]
lock = open(base + '.lock', 'w')
fcntl.flock(lock, fcntl.LOCK_EX)
json.dump({'config': config, 'pid': os.getpid()}, lock)
lock.flush()
server = socket.socket(socket.AF_UNIX)
server.bind(base + '.sock')
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
server.listen()
print('listening', flush=True)
while True:
    client, _ = server.accept()
    said = client.recv(65536)
    if said:
        print('heard', said, flush=True)
";

fn lab() -> (Lab, Port) {
    let port = Port::reserve();
    let lab = Lab::new(&format!(
        "controller: {{type: http-server, port: {}}}\ncomponent: {{type: shell, command: [echo, hi]}}\n\
         workflow: {{output: '${{output.stdout}}'}}\n",
        port.number()
    ));
    (lab, port)
}

/// What lies where control sockets do, with that ending.
fn found(lab: &Lab, ending: &str) -> PathBuf {
    let paths = fs::read_dir(lab.path("run/adit")).unwrap();
    let mut paths = paths.map(|entry| entry.unwrap().path());
    let found = paths.find(|path| path.extension().is_some_and(|it| it == ending));
    found.unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// What this user is told at a socket.
fn told(user: &str, socket: &Path, line: &str) -> String {
    let mut command = Command::new("python3");
    command.args(["-c", CLIENT]).arg(socket).args([line, user]);
    let mut client = Process::spawn(&mut command);
    client.wait(wait::DEADLINE);
    assert_eq!(client.stderr(), "");
    client.stdout().trim().to_owned()
}

#[test]
fn another_user_gets_neither_to_the_control_socket_nor_a_word_from_it() {
    require!(root);
    require!("python3");
    let (lab, port) = lab();
    // Everybody may come as far as the directory that is ours.
    set_mode(&lab.path(""), 0o755);
    set_mode(&lab.path("run"), 0o755);
    let mut up = lab.up();
    let (directory, socket) = (lab.path("run/adit"), found(&lab, "sock"));
    assert_eq!(
        (mode(&directory), mode(&found(&lab, "lock"))),
        (0o700, 0o600)
    );
    let verbs = [
        r#"{"verb":"down"}"#,
        r#"{"verb":"stop"}"#,
        r#"{"verb":"status"}"#,
        r#"{"verb":"watch"}"#,
        r#"{"verb":"run","workflow":"__default__","fingerprint":"x"}"#,
    ];
    for verb in verbs {
        assert_eq!(told(NOBODY, &socket, verb), "PermissionError", "{verb}");
    }
    // Had somebody opened the way, it would be asked who comes.
    set_mode(&directory, 0o755);
    set_mode(&socket, 0o777);
    for verb in verbs {
        assert_eq!(told(NOBODY, &socket, verb), "hung up on", "{verb}");
    }
    assert!(told("0", &socket, r#"{"verb":"status"}"#).contains("\"report\""));
    // Nor do our own commands trust what lies where others can come.
    for words in [&["down"][..], &["run", "--attach"]] {
        let Said { code, stderr, .. } = lab.run(words);
        assert_eq!(code, Some(1), "{words:?}: {stderr}");
    }
    assert!(up.exit_status().is_none(), "{}", up.stderr());
    set_mode(&directory, 0o700);
    let run = lab.run(&["run", "--attach"]);
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (Some(0), "hi\n"),
        "{run:?}"
    );
    lab.down(up, &[port]);
}

#[test]
fn another_users_process_behind_the_control_socket_is_told_nothing() {
    require!(root);
    require!("python3");
    let (lab, port) = lab();
    let up = lab.up();
    let base = found(&lab, "lock").with_extension("");
    lab.down(up, &[port]);
    let config = lab.path("model-compose.yml").canonicalize().unwrap();
    let mut command = Command::new("python3");
    command.args(["-c", IMPOSTOR]).arg(base).arg(config);
    let mut impostor = Process::spawn(&mut command);
    impostor.wait_for_text("listening");
    for words in [&["status"][..], &["down"], &["run"], &["run", "--attach"]] {
        let Said {
            code,
            stdout,
            stderr,
        } = lab.run(words);
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{words:?}");
        assert!(
            stderr.contains("belongs to user 65534"),
            "{words:?}: {stderr}"
        );
    }
    assert_eq!(impostor.stdout(), "listening\n");
}
