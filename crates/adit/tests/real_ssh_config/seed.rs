//! Seed 003 as its guide tells it (docs/guide/cluster.md), line by line: laptop, manager and two workers with a stock
//! sshd each. Then what the seed was let down by: a reboot of the manager, another address, a kill.

use std::fs;
use std::io::Read as _;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;

use adit_testkit::namespace::Namespace;
use adit_testkit::process::Process;
use adit_testkit::wait;
use rustix::process::Signal;
use serde_json::Value;

use crate::lab::{Lab, Machine, PASSWORD, Said, require_machines, said};

/// The pieces of the guide that are typed, in order.
fn pieces() -> [String; 8] {
    let guide = fs::read_to_string("../../docs/guide/cluster.md").unwrap();
    let pieces = guide.split("```sh\n").skip(1);
    let pieces = pieces.map(|piece| piece.split("```").next().unwrap().to_owned());
    pieces.collect::<Vec<_>>().try_into().unwrap()
}

/// The words of its lines, without what is said about them.
fn lines(piece: &str) -> Vec<Vec<String>> {
    let lines = piece.lines().map(|line| {
        let line = line.split(" #").next().unwrap().replace('\'', "");
        line.split_whitespace().map(str::to_owned).collect()
    });
    lines.collect()
}

fn page(namespace: &Namespace, text: &'static str) {
    let listener = namespace.enter(|| TcpListener::bind(("127.0.0.1", 80)).unwrap());
    std::thread::spawn(move || {
        for mut visitor in listener.incoming().flatten() {
            let mut request = [0; 1_024];
            if visitor.read(&mut request).is_ok_and(|read| read > 0) {
                let length = text.len();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
                );
                // A visitor who leaves early harms nobody.
                drop(visitor.write_all(head.as_bytes()));
            }
        }
    });
}

/// What the laptop's browser shows.
fn browse(laptop: &Machine, url: &str) -> Result<String, String> {
    let said = laptop.run(
        "curl",
        &["--silent", "--show-error", "--max-time", "15", url],
    );
    if said.code == Some(0) {
        Ok(said.stdout)
    } else {
        Err(said.stderr)
    }
}

fn shows(laptop: &Machine, url: &str, page: &str) {
    wait::until(page, || {
        let seen = browse(laptop, url);
        if seen.as_deref() == Ok(page) {
            Ok(())
        } else {
            Err(seen)
        }
    });
}

/// `adit` on the manager, run by pi; it may have the password.
fn of_pi(red: &Machine, words: &[&str]) -> Said {
    let mut command = red.command_of_pi(env!("CARGO_BIN_EXE_adit"), words);
    said(command.env("ADIT_PASSWORD", PASSWORD))
}

fn typed<'a>(words: &'a [String], program: &str) -> Vec<&'a str> {
    let (first, rest) = words.split_first().unwrap();
    assert_eq!(first, program, "{words:?}");
    rest.iter().map(String::as_str).collect()
}

/// The process that keeps the table.
fn keeper(red: &Machine) -> Option<u64> {
    let said = said(&mut red.command_of_pi(env!("CARGO_BIN_EXE_adit"), &["status", "--json"]));
    let report: Value = serde_json::from_str(said.stdout.lines().next()?).ok()?;
    report.get("pid")?.as_u64()
}

/// As the manager boots: by the line of the unit that would be installed.
fn boot(red: &Machine) -> Process {
    let words = [
        "service",
        "install",
        "hosts",
        "--run-as",
        "pi",
        "--init",
        "systemd",
        "--dry-run",
    ];
    let unit = red.adit_with_keys(&words).ok().stdout;
    let line = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="))
        .unwrap();
    let (program, rest) = line.split_once(' ').unwrap();
    let words: Vec<_> = rest.split(' ').collect();
    assert!(unit.contains("\nUser=pi\n"), "{unit}");
    Process::spawn(&mut red.command_of_pi(program, &words))
}

/// The name of the host where stock ssh ends up. A port of the manager's is a host that was never met.
fn ssh(laptop: &Machine, host: &str) -> String {
    let words = [
        "-o",
        "BatchMode=yes",
        "-o",
        "StrictHostKeyChecking=accept-new",
        host,
        "hostname",
    ];
    laptop.run("ssh", &words).ok().stdout
}

fn kill(pid: u64) {
    assert!(
        Command::new("kill")
            .args(["-9", &pid.to_string()])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn every_command_of_the_guide_works_and_its_tunnels_survive() {
    require_machines!();
    adit_testkit::require!("curl");
    let lab = Lab::new();
    let Lab {
        laptop, workers, ..
    } = &lab;
    page(&workers[0].namespace, "red001");
    page(&workers[1].namespace, "red002");
    let pieces = pieces();
    let names = ["red001\nred002\n", "red00[1-3]\n"];
    for (words, expected) in lines(&pieces[0]).iter().zip(names) {
        assert_eq!(laptop.adit(&typed(words, "adit")).ok().stdout, expected);
    }
    log_in(&lab, &pieces);
    any_service(laptop, &pieces[3]);
    let wlan0 = ports(&lab, &pieces);
    survives(&lab, &wlan0);
}

/// Log in, from the laptop.
fn log_in(lab: &Lab, pieces: &[String; 8]) {
    let Lab {
        laptop, workers, ..
    } = lab;
    for words in lines(&pieces[1]) {
        laptop.adit(&typed(&words, "adit")).ok();
    }
    fs::write(laptop.root("results.csv"), "1,2\n").unwrap();
    let [login, copy] = lines(&pieces[2]).try_into().unwrap();
    let login = [typed(&login, "ssh"), vec!["hostname"]].concat();
    assert_eq!(laptop.run("ssh", &login).ok().stdout, "red001\n");
    laptop.run("scp", &typed(&copy, "scp")).ok();
    assert_eq!(
        fs::read_to_string(workers[1].pi("results.csv")).unwrap(),
        "1,2\n"
    );
}

/// Any service.
fn any_service(laptop: &Machine, piece: &str) {
    let words = lines(piece).remove(0);
    let mut open =
        Process::spawn(&mut laptop.command(env!("CARGO_BIN_EXE_adit"), &typed(&words, "adit")));
    let told = open.wait_for_text("http://");
    let url = told
        .split_whitespace()
        .find(|word| word.starts_with("http://"))
        .unwrap();
    shows(laptop, url, "red001");
    let opened = laptop.processes(env!("CARGO_BIN_EXE_adit"));
    adit_testkit::process::signal_all(&opened, Signal::INT);
    assert_eq!(open.wait(wait::DEADLINE).code(), Some(130));
}

/// Ports at the manager; gives the name of its interface to the laptop.
fn ports(lab: &Lab, pieces: &[String; 8]) -> String {
    let Lab {
        laptop,
        red,
        workers,
    } = lab;
    let [one, two] = workers.each_ref().map(Machine::host_key);
    let keys = format!("red001 {one}\nred002 {two}\n");
    red.pi_writes(".ssh/known_hosts", keys, 0o600);
    for words in lines(&pieces[4]) {
        let made = of_pi(red, &typed(&words, "adit")).ok();
        assert!(!made.stdout.contains("waiting"), "{made:?}");
    }
    assert_eq!(browse(laptop, "http://red.local:8080").unwrap(), "red001");
    assert_eq!(browse(laptop, "http://red.local:8081").unwrap(), "red002");
    // The interface to the laptop is called otherwise here.
    let wlan0 = format!("veth{}", red.addr.octets()[2]);
    let words = lines(&pieces[5]).remove(0);
    let words: Vec<_> = words
        .iter()
        .map(|word| word.replace("wlan0", &wlan0))
        .collect();
    of_pi(red, &typed(&words, "adit")).ok();
    laptop
        .adit(&["ssh", "config", "pi@red00[1-2]", "pi@red", "--ports"])
        .ok();
    assert_eq!(ssh(laptop, "red002"), "red002\n");
    for words in lines(&pieces[6]) {
        // There is no red003, which is told; the rest is as the guide says.
        let made = of_pi(red, &typed(&words, "adit"));
        let is_check = words.contains(&String::from("check"));
        assert_eq!(made.code, Some(i32::from(is_check)), "{made:?}");
    }
    assert_eq!(
        lines(&pieces[7]),
        [["sudo", "adit", "service", "install", "hosts"]]
    );
    wlan0
}

/// A kill, a boot, and another address.
fn survives(lab: &Lab, wlan0: &str) {
    let Lab { laptop, red, .. } = lab;
    let first = keeper(red).unwrap();
    kill(first);
    let mut second = boot(red);
    for (port, name) in [(8_080, "red001"), (8_081, "red002")] {
        shows(laptop, &format!("http://red.local:{port}"), name);
    }
    assert_eq!(ssh(laptop, "red001"), "red001\n");
    // All of it dies with its connections, and the manager boots.
    second.kill();
    let _third = boot(red);
    shows(laptop, "http://red.local:8080", "red001");
    // "The tunnel will not function if wlan0 interface is assigned a different IP."
    let [a, b, c, _] = red.addr.octets();
    let new = Ipv4Addr::new(a, b, c, 57);
    red.namespace
        .ip(&["addr", "add", &format!("{new}/24"), "dev", wlan0]);
    red.namespace
        .ip(&["addr", "del", &format!("{}/24", red.addr), "dev", wlan0]);
    // Deleting the first address of a network takes the second with it, unless it was told otherwise.
    red.namespace
        .ip(&["addr", "replace", &format!("{new}/24"), "dev", wlan0]);
    laptop.knows(&[("red.local", new)]);
    shows(laptop, "http://red.local:8081", "red002");
    wait::until("ssh at the new address", || {
        let greeted = laptop.namespace.enter(|| TcpStream::connect((new, 8_001)));
        greeted.map(drop)
    });
    assert_eq!(ssh(laptop, "red001"), "red001\n");
}
