//! The file: what is written to it, what is kept, what is refused. One home, no network.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use adit_testkit::process::Process;
use adit_testkit::{real, require, wait};
use tempfile::TempDir;

use crate::lab::{Said, mode, said};

struct Home(TempDir);

/// Lines as nobody writes them, and as some do.
const FOREIGN: &[u8] =
    b"# mine\r\nServerAliveInterval 60\r\n\r\nHost *\r\n\tUser me # \xff\xfe\r\nHost x";

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn with(content: &[u8]) -> Self {
        let home = Self::new();
        fs::create_dir(home.0.path().join(".ssh")).unwrap();
        fs::write(home.config(), content).unwrap();
        fs::set_permissions(home.config(), fs::Permissions::from_mode(0o600)).unwrap();
        home
    }

    fn config(&self) -> PathBuf {
        self.0.path().join(".ssh/config")
    }

    fn read(&self) -> Vec<u8> {
        fs::read(self.config()).unwrap()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
        command
            .args(["ssh", "config"])
            .args(words)
            .env("HOME", self.0.path())
            .current_dir(self.0.path());
        command
    }

    fn adit(&self, words: &[&str]) -> Said {
        said(&mut self.command(words))
    }

    /// What ssh makes of the file for a host.
    fn ssh(&self, host: &str) -> Vec<String> {
        let mut command = Command::new(real::find("ssh").unwrap());
        command.arg("-G").arg("-F").arg(self.config()).arg(host);
        let said = said(&mut command).ok();
        said.stdout.lines().map(str::to_owned).collect()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.config().parent().unwrap()).unwrap();
        let names = entries.map(|it| it.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }
}

/// AT10, its first half.
#[test]
fn three_times_the_same_is_once_and_other_bytes_stay() {
    let home = Home::with(FOREIGN);
    let words = ["pi@red00[1-2]", "pi@red"];
    let said = home.adit(&words).ok();
    assert!(
        said.stdout.ends_with("config: 2 hosts behind red\n"),
        "{said:?}"
    );
    let first = home.read();
    assert!(first.ends_with(FOREIGN) && first.starts_with(b"# >>> adit: red >>>\n"));
    for _ in 0..2 {
        let said = home.adit(&words).ok();
        assert!(said.stdout.contains("nothing was changed"), "{said:?}");
        assert_eq!(home.read(), first);
    }
    home.adit(&["blue00[1-3]", "blue.example", "--user", "u"])
        .ok();
    home.adit(&["pi@red00[1-4]", "pi@red"]).ok();
    let text = home.read();
    assert_eq!(
        String::from_utf8_lossy(&text)
            .matches(">>> adit: red >>>")
            .count(),
        1
    );
    for manager in ["blue.example", "red"] {
        let said = home.adit(&["--remove", manager]).ok();
        assert!(said.stdout.contains("taken away"), "{said:?}");
    }
    assert_eq!(home.read(), FOREIGN);
    assert_eq!(mode(&home.config()), 0o600);
    let said = home.adit(&["--remove", "red"]).ok();
    assert!(said.stdout.contains("there is no block of red"), "{said:?}");
    assert_eq!(home.names(), ["config"]);
}

#[test]
fn a_file_that_is_not_there_is_made_for_its_owner_alone() {
    let home = Home::new();
    let said = home.adit(&["--remove", "red"]).ok();
    assert!(said.stdout.contains("no block"), "{said:?}");
    assert!(!home.config().parent().unwrap().exists());
    home.adit(&["red001", "red", "--dry-run"]).ok();
    home.adit(&["red001", "red", "--print"]).ok();
    assert!(!home.config().parent().unwrap().exists());
    home.adit(&["red001", "red"]).ok();
    let folder = home.config().parent().unwrap().to_owned();
    assert_eq!((mode(&folder), mode(&home.config())), (0o700, 0o600));
    home.adit(&["--remove", "red"]).ok();
    assert_eq!(home.read(), b"");
}

/// What stands there counts, whatever the file says below it; and what it said before holds as it did.
#[test]
fn ssh_takes_what_the_block_says_and_of_other_hosts_what_it_took_before() {
    require!("ssh");
    let foreign =
        "Port 2200\nServerAliveInterval 7\nHost *\n User somebody\n ProxyJump elsewhere\n";
    let home = Home::with(foreign.as_bytes());
    let before = home.ssh("other");
    home.adit(&["pi@red00[1-2]", "pi@red", "--identity", "/keys/my key"])
        .ok();
    assert_eq!(home.ssh("other"), before);
    let of = |host: &str| home.ssh(host);
    for (host, lines) in [
        (
            "red",
            &[
                "hostname red.local",
                "user pi",
                "port 2200",
                "serveraliveinterval 7",
            ][..],
        ),
        (
            "red001",
            &[
                "hostname red001",
                "user pi",
                "proxyjump red",
                "identityfile /keys/my key",
            ],
        ),
        ("red002", &["hostname red002", "user pi", "proxyjump red"]),
    ] {
        let said = of(host);
        for line in lines {
            assert!(
                said.iter().any(|it| it == line),
                "{host}: {line} is not in {said:?}"
            );
        }
    }
    let ports = [
        "pi@red00[1-2]",
        "red",
        "--user",
        "ubuntu",
        "--manager-host",
        "10.0.0.7",
    ];
    home.adit(&[&ports[..], &["--ports=9001"]].concat()).ok();
    let said = of("red002");
    for line in ["hostname 10.0.0.7", "user pi", "port 9002"] {
        assert!(
            said.iter().any(|it| it == line),
            "{line} is not in {said:?}"
        );
    }
    assert!(of("red").iter().any(|it| it == "user ubuntu"));
    home.adit(&[&ports[..], &["--ports"]].concat()).ok();
    assert!(of("red001").iter().any(|it| it == "port 8001"));
}

#[test]
fn what_will_not_count_is_told() {
    let home = Home::with(b"");
    home.adit(&["pi@red001", "red"]).ok();
    let moved = [&b"Host red0*\n User root\n"[..], &home.read()].concat();
    fs::write(home.config(), &moved).unwrap();
    let said = home.adit(&["pi@red00[1-2]", "red"]).ok();
    assert!(
        said.stderr.contains("red001 has User root and not pi"),
        "{said:?}"
    );
    assert!(
        home.read()
            .starts_with(b"Host red0*\n User root\n# >>> adit: red >>>")
    );
}

#[test]
fn a_broken_block_an_open_file_and_a_link_to_nowhere_are_left_as_they_are() {
    for broken in [
        &b"# >>> adit: red >>>\nHost red\n"[..],
        b"Host x\n# <<< adit: red <<<\n",
        b"# >>> adit: red >>>\n# <<< adit: red <<<\n# >>> adit: red >>>\n# <<< adit: red <<<\n",
    ] {
        let home = Home::with(broken);
        for words in [
            &["red001", "red"][..],
            &["--remove", "red"],
            &["red001", "blue", "--dry-run"],
        ] {
            let said = home.adit(words);
            assert_eq!(said.code, Some(1), "{said:?}");
            assert!(
                said.stderr.contains("line ") && said.stderr.contains("nothing is written"),
                "{said:?}"
            );
        }
        assert_eq!(home.read(), broken);
    }
    let home = Home::with(FOREIGN);
    fs::set_permissions(home.config(), fs::Permissions::from_mode(0o662)).unwrap();
    let said = home.adit(&["red001", "red"]);
    assert!(
        said.code == Some(1) && said.stderr.contains("chmod go-w"),
        "{said:?}"
    );
    assert_eq!(home.read(), FOREIGN);

    let home = Home::new();
    fs::create_dir(home.config().parent().unwrap()).unwrap();
    symlink("nowhere", home.config()).unwrap();
    let said = home.adit(&["red001", "red"]);
    assert!(
        said.code == Some(1) && said.stderr.contains("leads nowhere"),
        "{said:?}"
    );
}

#[test]
fn a_link_is_written_through() {
    let home = Home::new();
    fs::create_dir(home.config().parent().unwrap()).unwrap();
    let real = home.0.path().join("dotfiles");
    fs::write(&real, FOREIGN).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o644)).unwrap();
    symlink("../dotfiles", home.config()).unwrap();
    home.adit(&["red001", "red"]).ok();
    assert_eq!(
        fs::read_link(home.config()).unwrap(),
        Path::new("../dotfiles")
    );
    assert!(home.read().ends_with(FOREIGN));
    assert_eq!(mode(&real), 0o644);
}

/// AT10, its second half: a disk that is full, and a kill in the middle.
#[test]
fn a_write_that_does_not_come_to_its_end_leaves_the_old_file() {
    require!(root);
    require!("unshare", "strace");
    let home = Home::with(FOREIGN);
    let folder = home.config().parent().unwrap().display().to_string();
    // A disk of one page with the file on it, which is nearly full.
    let script = "mount -t tmpfs -o size=8k none \"$1\" && cp \"$2\" \"$1/config\" && chmod 600 \"$1/config\" && shift 2 \
                  && \"$@\"; code=$?; cat \"$0/config\"; ls -A \"$0\"; exit $code";
    let spare = home.0.path().join("spare");
    fs::write(&spare, FOREIGN).unwrap();
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", script, &folder, &folder])
        .arg(&spare)
        .arg(env!("CARGO_BIN_EXE_adit"))
        .args(["ssh", "config", "red[0001-4000]", "red"])
        .env("HOME", home.0.path());
    let mut full = Process::spawn(&mut command);
    let status = full.wait(wait::DEADLINE);
    assert_eq!(status.code(), Some(1), "{}", full.stderr());
    assert!(full.stderr().contains("No space left"), "{}", full.stderr());
    let out = full.stdout();
    assert!(out.ends_with("Host xconfig\n"), "{out:?}");

    // Killed where it forces the new text to the disk, and where it renames it.
    for call in ["fsync", "rename"] {
        let mut command = Command::new("strace");
        let kill = format!("inject={call}:signal=KILL");
        command
            .args([
                "-f",
                "-o",
                "/dev/null",
                "-e",
                &format!("trace={call}"),
                "-e",
                &kill,
            ])
            .arg(env!("CARGO_BIN_EXE_adit"))
            .args(["ssh", "config", "red00[1-2]", "red"])
            .env("HOME", home.0.path());
        let mut killed = Process::spawn(&mut command);
        let status = killed.wait(wait::DEADLINE);
        assert!(!status.success(), "{call}: {}", killed.stderr());
        assert_eq!(home.read(), FOREIGN, "{call}");
        assert_eq!(home.names(), [".config.adit-new", "config"], "{call}");
    }
    home.adit(&["red00[1-2]", "red"]).ok();
    assert_eq!(home.names(), ["config"]);
}

/// G106: what could be more than a name comes to no file, and to no command.
#[test]
fn what_is_no_name_is_refused_and_nothing_is_written() {
    let home = Home::with(FOREIGN);
    let evil = "red001\n    ProxyCommand touch /tmp/evil";
    for words in [
        &[evil, "red"][..],
        &["red001", evil],
        &["red001", "red\r"],
        &["red001 ProxyCommand=sh", "red x"],
        &["red001", "-oProxyCommand=x"],
        &["red001", "red", "--user", "pi\nProxyCommand x"],
        &["red001", "red", "--user", "pi x"],
        &["red001", "red", "--user", "%h"],
        &["red001", "red", "--manager-host", "a\nb"],
        &["red001", "red", "--manager-host", "a b"],
        &["red001", "red", "--identity", "/a\nProxyCommand x"],
        &["red001", "red", "--identity", "/a\" x"],
        &["red001", "red", "--identity", "relative"],
        &["red001", "red", "--ports=0"],
        &["red00[1-2]", "red", "--ports=65535"],
        &["red001", "red001"],
        &["a@red001,b@red001", "red"],
        &["red[2-1]", "red"],
        &["red[1-9999]", "red"],
        &["--remove", "a\nb"],
        &["red001"],
        &[],
        &["red001", "red", "-i", "/a"],
        &["red001", "red", "--laptop", "x y@h"],
        &["red001", "red", "--laptop", "h\nx"],
    ] {
        let said = home.adit(words);
        assert_eq!(said.code, Some(2), "{words:?}: {said:?}");
        assert_eq!(home.read(), FOREIGN, "{words:?}");
    }
    let said = home.adit(&["red[2-1]", "red"]);
    assert!(
        said.stderr.contains("    red[2-1]\n") && said.stderr.contains('^'),
        "{said:?}"
    );
}

/// What `adit host tunnel create` has given them, whatever their order is.
#[test]
fn ports_come_from_the_table_of_the_manager() {
    let home = Home::new();
    let data = home.0.path().join("hosts");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    let entry = |host: &str, service: u16, port: u16| {
        format!(
            "{{\"host\":\"{host}\",\"user\":\"pi\",\"service\":{{\"host\":\"localhost\",\"port\":{service}}},\
             \"port\":{port},\"bind\":\"*\"}}"
        )
    };
    let entries = [
        entry("red002", 22, 8_001),
        entry("red001", 80, 8_080),
        entry("red001", 22, 8_005),
    ];
    let table = format!("{{\"version\":1,\"entries\":[{}]}}", entries.join(","));
    fs::write(data.join("ports.json"), table).unwrap();
    fs::set_permissions(data.join("ports.json"), fs::Permissions::from_mode(0o600)).unwrap();
    let data = data.to_str().unwrap();
    let words = |names| ["--print", "--table", "--data", data, names, "red"];
    let said = home.adit(&words("red001,ubuntu@red002")).ok();
    for section in [
        "Host red001\n    HostName red.local\n    User pi\n    Port 8005\n",
        "Host red002\n    HostName red.local\n    User ubuntu\n    Port 8001\n",
    ] {
        assert!(said.stdout.contains(section), "{said:?}");
    }
    let said = home.adit(&words("red00[1-3]"));
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.stderr.contains("adit host tunnel create red003 22"),
        "{said:?}"
    );
}
