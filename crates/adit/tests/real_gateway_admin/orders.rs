//! What an operator orders is done, and no more.

use std::fs::Permissions;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use adit_testkit::key_pair::KeyPair;
use adit_testkit::process::Process;
use adit_testkit::{echo, require, wait};

use crate::gateway::{GONE, Gateway, fingerprint, text};

#[test]
fn what_an_operator_takes_away_is_gone_within_a_second() {
    require!("ssh", "ssh-keygen");
    let mut gateway = Gateway::new();
    let (port, service) = (gateway.port(0), echo::service());
    let key = gateway.key("alice");
    let (public, fingerprint) = (key.public_path(), fingerprint(&key));
    let number = port.to_string();
    let let_in = |gateway: &Gateway| {
        gateway.done(&["key", "add", "alice", text(&public)]);
        gateway.done(&["grant", "add", "alice", "--ports", &number]);
    };
    // While no gateway runs.
    gateway.done(&["user", "add", "alice"]);
    let_in(&gateway);
    gateway.start();

    let gone = |what: &str, words: &[&str]| {
        let mut ssh = gateway.up(&key, port, service);
        // One who stays.
        let mut visitor = TcpStream::connect(("127.0.0.1", port)).unwrap();
        visitor.set_read_timeout(Some(GONE)).unwrap();
        let lease = gateway.wait_for_lease(port, "held");
        assert_eq!(lease["principal"], "alice", "{lease}");
        assert_eq!(lease["key"], *fingerprint, "{lease}");
        gateway.done(words);
        let start = Instant::now();
        ssh.wait(GONE);
        let rest = visitor.read(&mut [0; 1]);
        assert!(!matches!(rest, Ok(1..)), "{rest:?}");
        wait::until_within(GONE, "nobody listens", || {
            let connected = TcpStream::connect(("127.0.0.1", port));
            connected.map_or(Ok(()), Err)
        });
        println!("{what}: gone after {:?}", start.elapsed());
    };
    gone("grant", &["grant", "remove", "alice", "--ports", &number]);
    gateway.done(&["grant", "add", "alice", "--ports", &number]);
    gone("key", &["key", "remove", &fingerprint]);
    gateway.done(&["key", "add", "alice", text(&public)]);
    gone("user", &["user", "disable", "alice"]);
    gateway.done(&["user", "enable", "alice"]);
    gone("removed user", &["user", "remove", "alice"]);
    let stderr = gateway.refused(&["user", "show", "alice"]);
    assert!(stderr.contains("nobody is called alice"), "{stderr}");

    // Somebody of the same name is somebody else.
    gateway.done(&["user", "add", "alice"]);
    let_in(&gateway);
    let mut ssh = gateway.ssh(&key, port, service);
    assert!(!ssh.wait(wait::DEADLINE).success());
    assert!(
        ssh.stderr().contains("remote port forwarding failed"),
        "{}",
        ssh.stderr()
    );
}

#[test]
fn leases_are_shown_kept_from_others_and_freed() {
    require!("ssh", "ssh-keygen");
    let mut gateway = Gateway::new();
    let ([first, second], service) = ([gateway.port(0), gateway.port(1)], echo::service());
    let keys = ["alice", "bob"].map(|name| {
        let key = gateway.key(name);
        gateway.done(&["device", "add", name]);
        gateway.done(&["key", "add", name, text(&key.public_path())]);
        let ports = format!("{first},{second}");
        gateway.done(&["grant", "add", name, "--ports", &ports]);
        key
    });
    gateway.start();
    let refused = |key: &KeyPair, port: u16| {
        let mut ssh = gateway.ssh(key, port, service);
        assert!(!ssh.wait(wait::DEADLINE).success(), "{}", gateway.stderr());
    };

    // Whoever is cut off is waited for.
    let mut ssh = gateway.up(&keys[0], first, service);
    ssh.kill();
    let lease = gateway.wait_for_lease(first, "grace");
    assert!(lease["until"].is_string(), "{lease}");
    refused(&keys[1], first);
    // What ended is kept from others, until an operator says otherwise.
    gateway.done(&["device", "disable", "alice"]);
    gateway.wait_for_lease(first, "quarantine");
    refused(&keys[1], first);
    let table = gateway.done(&["lease", "list"]);
    for part in [first.to_string().as_str(), "alice", "quarantine"] {
        assert!(table.contains(part), "{part} is not in {table}");
    }
    gateway.done(&["lease", "remove", &first.to_string()]);
    assert_eq!(gateway.lease(first), None);
    let ssh = gateway.up(&keys[1], first, service);
    let shown = gateway.done(&["lease", "show", &first.to_string(), "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["principal"], "bob", "{shown}");
    assert_eq!(shown["user"], "anybody", "{shown}");
    // From its holder, too.
    gateway.done(&["lease", "remove", &first.to_string()]);
    drop(ssh);
    let stderr = gateway.refused(&["lease", "remove", "9"]);
    assert!(stderr.contains("nobody has 9"), "{stderr}");

    // A reservation keeps others out, and not its owner.
    gateway.done(&["device", "enable", "alice"]);
    gateway.done(&["reservation", "add", "alice", &second.to_string()]);
    let stderr = gateway.refused(&["reservation", "add", "bob", &second.to_string()]);
    assert!(stderr.contains("for alice"), "{stderr}");
    refused(&keys[1], second);
    drop(gateway.up(&keys[0], second, service));
    let all = gateway.done(&["reservation", "list", "--json"]);
    let one: serde_json::Value = serde_json::from_str(&all).unwrap();
    assert_eq!(one["ports"], second.to_string(), "{one}");
    let number = one["id"].to_string();
    gateway.done(&["reservation", "remove", &number]);
    assert_eq!(gateway.done(&["reservation", "list", "--json"]), "");
}

#[test]
fn at17_at18_at19_ports_by_prefix_are_reserved_with_the_arithmetic() {
    let gateway = Gateway::new();
    for name in ["red401", "red180", "red1"] {
        gateway.done(&["device", "add", name]);
    }
    let add = |name: &'static str, prefix: &'static str, services: &'static str| {
        let words = ["reservation", "add", name, "--prefix", prefix, "--services"];
        [&words[..], &[services]].concat()
    };
    let done = gateway.done(&add("red401", "401", "22,80"));
    assert!(
        done.contains("red401 alone may have ports 40122,40180"),
        "{done}"
    );
    let stderr = gateway.refused(&add("red401", "655", "80"));
    for part in [
        "655 before 80 is 65580",
        "65535 - 65500 = 35",
        "from 10 to 35",
    ] {
        assert!(stderr.contains(part), "{part} is not in {stderr}");
    }
    gateway.done(&add("red180", "180", "80"));
    let stderr = gateway.refused(&add("red1", "1", "8080"));
    assert!(
        stderr.contains("keeps ports 18080 for red180 (180 before 80)"),
        "{stderr}"
    );
    // The table of ports, with where they come from.
    let table = gateway.done(&["reservation", "list"]);
    for part in ["40122,40180", "401 before 22,80", "180 before 80"] {
        assert!(table.contains(part), "{part} is not in {table}");
    }
    let (status, _, stderr) = gateway.admin(&["reservation", "add", "red1", "--prefix", "7"]);
    assert_eq!(status.code(), Some(2));
    assert!(stderr.contains("--services"), "{stderr}");
}

#[test]
fn a_key_is_of_one_principal_and_private_keys_are_not_taken() {
    require!("ssh-keygen");
    let mut gateway = Gateway::new();
    let key = gateway.key("alice");
    gateway.done(&["user", "add", "alice"]);
    gateway.done(&["device", "add", "red001"]);
    gateway.done(&["key", "add", "alice", text(&key.public_path())]);
    for is_running in [false, true] {
        if is_running {
            gateway.start();
        }
        let stderr = gateway.refused(&["key", "add", "red001", text(&key.public_path())]);
        assert!(stderr.contains("is alice's already"), "{stderr}");
        let stderr = gateway.refused(&["key", "add", "red001", text(key.private_path())]);
        assert!(stderr.contains("private key"), "{stderr}");
        let stderr = gateway.refused(&["user", "add", "red001"]);
        assert!(stderr.contains("red001 is taken"), "{stderr}");
        let stderr = gateway.refused(&["user", "show", "red001"]);
        assert!(stderr.contains("adit device"), "{stderr}");
        for words in [
            &["user", "list", "--json"][..],
            &["device", "show", "red001", "--json"],
            &["key", "list", "--json"],
            &["grant", "list", "--json"],
            &["audit", "list", "--json"],
        ] {
            let all = gateway.done(words);
            let rows = all
                .lines()
                .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
            assert!(rows.count() >= 1, "{words:?}: {all}");
            assert!(!all.contains("PRIVATE"), "{all}");
        }
    }
}

#[test]
fn bad_reload_refused_whole() {
    let mut gateway = Gateway::new();
    let stderr = gateway.refused(&["reload"]);
    assert!(stderr.contains("no gateway's data"), "{stderr}");
    let write = |text: &str| std::fs::write(gateway.config(), text).unwrap();
    write("drain: 5s\n");
    let config = gateway.config();
    gateway.done(&["user", "add", "alice"]);
    let stderr = gateway.refused(&["reload"]);
    assert!(stderr.contains("no gateway runs"), "{stderr}");
    gateway.start();
    let write = |text: &str| std::fs::write(&config, text).unwrap();
    assert!(gateway.done(&["reload"]).contains("read again"));
    for bad in ["drain: 5s\nnonsense: 1\n", "drain: [\n"] {
        write(bad);
        let stderr = gateway.refused(&["reload"]);
        assert!(stderr.contains("nothing is changed"), "{stderr}");
        assert!(stderr.contains("gateway.yml"), "{stderr}");
    }
    std::fs::set_permissions(&config, Permissions::from_mode(0o666)).unwrap();
    write("drain: 6s\n");
    let stderr = gateway.refused(&["reload"]);
    assert!(stderr.contains("chmod go-w"), "{stderr}");
    std::fs::set_permissions(&config, Permissions::from_mode(0o644)).unwrap();
    gateway.done(&["reload"]);
    let (process, _) = gateway.running.as_mut().unwrap();
    assert_eq!(process.exit_status(), None);
}

#[test]
fn another_user_gets_no_answer() {
    require!(root);
    require!("python3");
    let mut gateway = Gateway::new();
    gateway.start();
    let socket = gateway.data().join("control.sock");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&gateway.data()), 0o700);
    assert_eq!(mode(&socket) & 0o077, 0);
    // Even where somebody has opened all doors.
    for path in [gateway.folder.path(), &gateway.data(), &socket] {
        std::fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
    }
    let script = "import socket, sys\n\
        s = socket.socket(socket.AF_UNIX)\n\
        s.connect(sys.argv[1])\n\
        try:\n\
        \x20   s.sendall(b'{\"verb\":\"order\",\"order\":{\"lease\":{\"list\":{}}}}\\n')\n\
        \x20   print(s.makefile().read())\n\
        except OSError:\n\
        \x20   pass\n";
    let ask = |uid: u32| {
        let mut command = Command::new("python3");
        command.args(["-c", script]).arg(&socket).uid(uid).gid(uid);
        let mut asker = Process::spawn(command.current_dir("/"));
        assert!(asker.wait(wait::DEADLINE).success(), "{}", asker.stderr());
        asker.stdout().trim().to_owned()
    };
    assert_eq!(ask(65_534), "");
    assert_eq!(ask(0), "{\"done\":null}");
}

#[test]
fn g129_good_keys_beside_bad_settings_are_not_taken_over() {
    require!("ssh", "ssh-keygen");
    let mut gateway = Gateway::new();
    let config = gateway.config();
    let keys = gateway.folder.path().join("keys");
    let write = |text: &str| std::fs::write(&config, text).unwrap();
    std::fs::write(&keys, "").unwrap();
    let good = format!("authorized_keys: {}\n", keys.display());
    write(&good);
    gateway.start();
    let key = gateway.key("ann");
    std::fs::write(&keys, format!("{}\n", key.public_line())).unwrap();
    write(&format!("{good}nonsense: 1\n"));
    let stderr = gateway.refused(&["reload"]);
    assert!(stderr.contains("nothing is changed"), "{stderr}");
    let (port, service) = (gateway.port(0), echo::service());
    let mut early = gateway.ssh(&key, port, service);
    assert_eq!(early.wait(wait::DEADLINE).code(), Some(255));
    assert!(
        early.stderr().contains("Permission denied"),
        "{}",
        early.stderr()
    );
    write(&good);
    gateway.done(&["reload"]);
    let _late = gateway.up(&key, port, service);
}

#[test]
fn g121_the_url_of_a_database_is_refused_on_a_command_line_and_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
    for words in [
        ["serve", "--data", text(folder.path())].as_slice(),
        ["user", "list", "--data", text(folder.path())].as_slice(),
    ] {
        for flag in ["--database-file", "--database"] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
            command
                .args(words)
                .args([flag, "postgres://ann:hush@db.example/adit"]);
            let mut process = Process::spawn(&mut command);
            assert!(!process.wait(wait::DEADLINE).success());
            let told = process.stderr();
            assert!(!told.contains("hush"), "{told}");
            if flag == "--database-file" && words.first() == Some(&"serve") {
                assert!(told.contains("write it to a file"), "{told}");
            }
        }
    }
}

#[test]
fn g103_who_says_nothing_too_much_or_nonsense_at_a_gateways_socket_gets_no_further() {
    const CLIENTS: usize = 16;
    let mut gateway = Gateway::new();
    gateway.start();
    let path = gateway.data().join("control.sock");
    let connect = || {
        let socket = UnixStream::connect(&path).unwrap();
        socket.set_read_timeout(Some(wait::DEADLINE)).unwrap();
        socket
    };
    // What the other end has said once it has hung up; a reset is an end, too.
    let rest = |mut socket: UnixStream| {
        let mut told = Vec::new();
        drop(socket.read_to_end(&mut told));
        String::from_utf8(told).unwrap()
    };
    for nonsense in [
        "{",
        "{\"verb\":\"shell\"}",
        "{\"verb\":\"stop\",\"now\":true}",
    ] {
        let mut socket = connect();
        writeln!(socket, "{nonsense}").unwrap();
        let told = rest(socket);
        assert!(told.contains("is not understood"), "{told}");
    }
    let mut socket = connect();
    let long = vec![b'x'; (1 << 20) + 1];
    // It may hang up before all is said.
    drop(socket.write_all(&long));
    assert_eq!(rest(socket), "");
    let silent: Vec<UnixStream> = (0..CLIENTS).map(|_| connect()).collect();
    let begun = Instant::now();
    assert_eq!(rest(connect()), "", "one too many");
    assert!(begun.elapsed() < Duration::from_secs(4), "at once");
    for socket in silent {
        assert_eq!(rest(socket), "");
    }
    assert!(begun.elapsed() < wait::DEADLINE);
    gateway.done(&["user", "list"]);
}
