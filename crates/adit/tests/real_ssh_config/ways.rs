//! AT9 and AT11: stock ssh, scp and `adit open` by names, from a laptop that has no route to the hosts.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use adit_testkit::namespace::Namespace;
use adit_testkit::process::Process;
use adit_testkit::wait;
use rustix::process::Signal;

use crate::lab::{Lab, require_machines};

/// A web server on the loopback of a machine alone.
fn page(namespace: &Namespace, port: u16, text: &'static str) {
    let listener = namespace.enter(|| TcpListener::bind(("127.0.0.1", port)).unwrap());
    thread::spawn(move || {
        for visitor in listener.incoming() {
            let mut visitor = visitor.unwrap();
            let mut request = [0; 1_024];
            if visitor.read(&mut request).is_ok_and(|read| read > 0) {
                let length = text.len();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
                );
                visitor.write_all(answer.as_bytes()).unwrap();
            }
        }
    });
}

/// What a browser of that machine would show.
fn get(namespace: &Namespace, port: u16) -> Result<String, String> {
    let visitor = namespace.enter(|| TcpStream::connect(("127.0.0.1", port)));
    let mut visitor = visitor.map_err(|error| error.to_string())?;
    visitor.set_read_timeout(Some(wait::DEADLINE)).unwrap();
    let asked = visitor.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    asked.map_err(|error| error.to_string())?;
    let mut answer = String::new();
    visitor
        .read_to_string(&mut answer)
        .map_err(|error| error.to_string())?;
    let (_, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| answer.clone())?;
    Ok(body.to_owned())
}

#[test]
fn stock_ssh_and_scp_reach_each_host_by_its_name() {
    require_machines!();
    let lab = Lab::set_up();
    let Lab {
        laptop,
        red,
        workers,
    } = &lab;
    for host in ["red", "red001", "red002"] {
        let said = laptop
            .run("ssh", &["-o", "BatchMode=yes", host, "hostname"])
            .ok();
        assert_eq!(said.stdout, format!("{host}\n"));
    }
    // No way but that through red.
    let direct = workers[0].addr.to_string();
    assert!(
        laptop
            .namespace
            .enter(|| TcpStream::connect((direct.as_str(), 22)))
            .is_err()
    );
    assert!(
        red.log().contains("Accepted publickey for pi"),
        "{}",
        red.log()
    );

    fs::write(laptop.root("letter"), "of the laptop\n").unwrap();
    laptop.run("scp", &["-B", "letter", "red001:there"]).ok();
    assert_eq!(
        fs::read_to_string(workers[0].pi("there")).unwrap(),
        "of the laptop\n"
    );
    laptop.run("scp", &["-B", "red001:there", "back"]).ok();
    laptop
        .run("scp", &["-B", "-3", "red001:there", "red002:there"])
        .ok();
    assert_eq!(
        fs::read_to_string(workers[1].pi("there")).unwrap(),
        "of the laptop\n"
    );
    assert_eq!(
        fs::read_to_string(laptop.root("back")).unwrap(),
        "of the laptop\n"
    );

    // By hand, and with a file elsewhere.
    let said = laptop
        .run(
            "ssh",
            &["-o", "BatchMode=yes", "-J", "red", "pi@red002", "hostname"],
        )
        .ok();
    assert_eq!(said.stdout, "red002\n");
    laptop
        .adit(&["ssh", "config", "pi@red00[1-2]", "pi@red", "-F", "out"])
        .ok();
    let said = laptop
        .run(
            "ssh",
            &["-F", "out", "-o", "BatchMode=yes", "red001", "hostname"],
        )
        .ok();
    assert_eq!(said.stdout, "red001\n");
    let said = laptop
        .adit(&["ssh", "config", "--remove", "red", "-F", "out"])
        .ok();
    assert!(said.stdout.contains("taken away"), "{said:?}");
    assert_eq!(fs::read(laptop.root("out")).unwrap(), b"");
}

/// The seed's open question: can ProxyJump be used for arbitrary services?
#[test]
fn any_service_of_a_host_is_opened_through_the_jump() {
    require_machines!();
    let lab = Lab::set_up();
    let Lab {
        laptop,
        red,
        workers,
    } = &lab;
    page(&workers[0].namespace, 80, "red001 says hello");
    // By stock ssh.
    let words = [
        "-N",
        "-o",
        "ExitOnForwardFailure=yes",
        "-J",
        "red",
        "-L",
        "8080:localhost:80",
        "pi@red001",
    ];
    let mut ssh = Process::spawn(&mut laptop.command("ssh", &words));
    wait::until("the page by ssh -J -L", || {
        assert_eq!(ssh.exit_status(), None, "{}", ssh.stderr());
        match get(&laptop.namespace, 8_080) {
            Ok(body) if body == "red001 says hello" => Ok(()),
            other => Err(other),
        }
    });
    // The port is taken, which is told and not waited for.
    let adit = env!("CARGO_BIN_EXE_adit");
    let said = laptop.adit_with_keys(&["open", "red001:80", "8080"]);
    assert!(
        said.code == Some(1) && said.stderr.contains("8080"),
        "{said:?}"
    );
    drop(ssh);

    let mut open = Process::spawn(&mut laptop.command(adit, &["open", "red001:80"]));
    let out = open.wait_for_text(" -> red001:80\n");
    let port = out.strip_prefix("http://localhost:").unwrap();
    let port: u16 = port.split(' ').next().unwrap().parse().unwrap();
    assert_eq!(get(&laptop.namespace, port).unwrap(), "red001 says hello");
    // It heals: what carries it is cut, and the same port leads there again.
    let before = red.log().matches("Accepted publickey").count();
    for pid in red.processes("sshd: pi") {
        rustix::process::kill_process(pid, Signal::KILL).ok();
    }
    wait::until("a new login", || {
        match red.log().matches("Accepted publickey").count() {
            count if count > before => Ok(()),
            count => Err(count),
        }
    });
    wait::until("the page again", || match get(&laptop.namespace, port) {
        Ok(body) if body == "red001 says hello" => Ok(()),
        other => Err(other),
    });
    assert_eq!(open.stdout().lines().count(), 1, "{}", open.stdout());
    for pid in laptop.processes(&format!("{adit}\0open")) {
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
    }
    let status = open.wait(wait::DEADLINE);
    assert!(status.success(), "{status} {}", open.stderr());

    // A host behind it, as that one knows it; at a port of our own; with the jump by hand.
    workers[0].knows(&[("db.internal", workers[0].addr)]);
    let listener = workers[0]
        .namespace
        .enter(|| TcpListener::bind((workers[0].addr, 5_432)).unwrap());
    let words = [
        "open",
        "-F",
        "none",
        "-J",
        "pi@red.local",
        "pi@red001:db.internal:5432",
        "15432",
    ];
    let mut open = Process::spawn(&mut laptop.command(adit, &words));
    open.wait_for_text("localhost:15432 -> red001:db.internal:5432\n");
    let mut visitor = laptop
        .namespace
        .enter(|| TcpStream::connect(("127.0.0.1", 15_432)).unwrap());
    let (mut database, _) = listener.accept().unwrap();
    database.write_all(b"ready").unwrap();
    let mut ready = [0; 5];
    visitor.read_exact(&mut ready).unwrap();
    assert_eq!(&ready, b"ready");
    drop(open);
    let said = laptop.adit_with_keys(&["open", "red003:80"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("cannot connect to red003"), "{said:?}");
}
