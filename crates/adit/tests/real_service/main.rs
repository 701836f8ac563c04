//! `adit service`: what it writes, as systemd and shells read it. In a machine that boots: `real_boot`.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::{real, require, wait};
use tempfile::TempDir;

/// A home with a file of tunnels.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        let key = KeyPair::generate(home.path(), "key", KeyKind::Ed25519);
        let text = format!(
            "tunnels:\n  web:\n    host: me@192.0.2.1\n    ssh_config: none\n    key: {}\n    forwards:\n      - local: \
             \"127.0.0.1:0:localhost:80\"\n",
            key.private_path().display()
        );
        fs::write(home.path().join("adit.yml"), text).unwrap();
        home
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// The root of a machine that is not running.
    fn root(&self) -> String {
        self.path().join("root").display().to_string()
    }

    fn service(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_adit"))
            .arg("service")
            .args(words)
            .current_dir(self.path())
            .env("HOME", self.path())
            .env("USER", "root")
            .env_remove("XDG_RUNTIME_DIR")
            .env_remove("XDG_STATE_HOME")
            .env_remove("SUDO_USER")
            .output()
            .unwrap()
    }

    fn done(&self, words: &[&str]) -> String {
        let output = self.service(words);
        assert!(output.status.success(), "{words:?}: {}", text(&output));
        text(&output)
    }
}

fn text(output: &Output) -> String {
    let Output { stdout, stderr, .. } = output;
    String::from_utf8_lossy(&[stdout.as_slice(), stderr].concat()).into_owned()
}

/// Everything that is below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        all.push(entry.path());
        if entry.file_type().unwrap().is_dir() {
            all.extend(files(&entry.path()));
        }
    }
    all.sort();
    all
}

/// Each service as systemd would have it, in a file of its own.
fn units(home: &Home) -> Vec<(PathBuf, bool)> {
    let database = home.path().join("database-url");
    fs::write(&database, "postgres://x\n").unwrap();
    let settings = home.path().join("gateway.yml");
    fs::write(&settings, "ssh: 2222\n").unwrap();
    let (database, settings) = (database.to_str().unwrap(), settings.to_str().unwrap());
    let all: &[(&str, &[&str])] = &[
        (
            "up",
            &["--run-as", "root", "--credential-file", "/etc/adit/gw"],
        ),
        ("up", &["--user"]),
        ("hosts", &["--run-as", "root"]),
        ("hosts", &["--user", "--data", "/home/a b/%h$x"]),
        (
            "serve",
            &["--config", settings, "--database-file", database],
        ),
        ("serve", &["--run-as", "daemon", "--data", "/srv/gate way"]),
    ];
    let mut units = Vec::new();
    for (number, (what, words)) in all.iter().enumerate() {
        let base = ["install", what, "--init", "systemd", "--dry-run"];
        let printed = home.done(&[&base[..], words].concat());
        let is_user = words.contains(&"--user");
        let folder = home.path().join(number.to_string());
        fs::create_dir(&folder).unwrap();
        let file = folder.join(format!("adit-{what}.service"));
        fs::write(&file, printed).unwrap();
        units.push((file, is_user));
    }
    units
}

/// AT36: systemd finds nothing wrong with what is written; security rule G125: it is exposed to 2.0 at the most.
#[test]
fn systemd_finds_nothing_wrong_with_what_is_written() {
    require!("systemd-analyze", "ssh-keygen");
    let program = "systemd-analyze";
    let home = Home::new();
    for (file, is_user) in units(&home) {
        let output = Command::new(program)
            .arg("verify")
            .arg(&file)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output));
        // What it does not know it passes over, and says so.
        assert_eq!(text(&output), "", "{}", file.display());
        if is_user {
            continue;
        }
        let mut security = Command::new(program);
        security.args(["security", "--no-pager", "--offline=true", "--threshold=20"]);
        let output = security.arg(&file).output().unwrap();
        let words = text(&output);
        assert!(words.contains("Overall exposure level"), "{words}");
        assert!(output.status.success(), "{}: {words}", file.display());
    }
}

/// Secrets are files: none is in a unit, and none in a command line.
#[test]
fn a_secret_is_a_credential() {
    require!("ssh-keygen");
    let home = Home::new();
    let units = units(&home);
    let read = |number: usize| fs::read_to_string(&units[number].0).unwrap();
    assert!(read(0).contains("\nLoadCredential=gw:/etc/adit/gw\n"));
    let gateway = read(4);
    assert!(!gateway.contains("postgres"), "{gateway}");
    assert!(
        gateway.contains("\nEnvironment=ADIT_DATABASE_URL_FILE=%d/database-url\n"),
        "{gateway}"
    );
    assert!(
        read(3).contains("--data \"/home/a b/%%h$$x\""),
        "{}",
        read(3)
    );
}

#[test]
fn what_would_be_is_printed_and_nothing_is_changed() {
    require!("ssh-keygen");
    let home = Home::new();
    let before = files(home.path());
    for init in ["systemd", "openrc", "sysv"] {
        let root = home.root();
        let words = [
            "install",
            "up",
            "--run-as",
            "root",
            "--init",
            init,
            "--root",
            &root,
            "--dry-run",
        ];
        let printed = home.done(&words);
        assert!(printed.contains("up -f "), "{printed}");
        home.done(&[
            "uninstall",
            "up",
            "--init",
            init,
            "--root",
            &root,
            "--dry-run",
        ]);
    }
    assert_eq!(files(home.path()), before);
}

#[test]
fn installing_again_changes_nothing_and_what_is_not_adits_is_left_alone() {
    require!("systemctl", "ssh-keygen");
    let home = Home::new();
    let root = home.root();
    let unit = home
        .path()
        .join("root/etc/systemd/system/adit-hosts.service");
    let with = |words: &[&str], init: &str| {
        let rest = ["--root", &root, "--init", init];
        home.service(&[words, &rest].concat())
    };
    let install = ["install", "hosts", "--user-is-none"];
    assert_eq!(with(&install, "systemd").status.code(), Some(2));
    let data = home.path().join("table");
    let install = [
        "install",
        "hosts",
        "--run-as",
        "root",
        "--data",
        data.to_str().unwrap(),
    ];
    let said = text(&with(&install, "systemd"));
    assert!(said.contains("is written"), "{said}");
    let written = fs::read_to_string(&unit).unwrap();
    let modified = fs::metadata(&unit).unwrap().modified().unwrap();
    assert_eq!(
        fs::metadata(&unit).unwrap().permissions().mode() & 0o777,
        0o644
    );
    assert!(
        home.path()
            .join("root/etc/systemd/system/multi-user.target.wants/adit-hosts.service")
            .is_symlink()
    );
    assert!(with(&install, "systemd").status.success());
    assert_eq!(fs::metadata(&unit).unwrap().modified().unwrap(), modified);
    // Another folder is another unit.
    let other = home.path().join("other");
    let changed = [
        "install",
        "hosts",
        "--run-as",
        "root",
        "--data",
        other.to_str().unwrap(),
    ];
    assert!(with(&changed, "systemd").status.success());
    assert_ne!(fs::read_to_string(&unit).unwrap(), written);
    let status = with(&["status", "hosts"], "systemd");
    assert_eq!(status.status.code(), Some(1));
    assert!(text(&status).contains("installed"), "{}", text(&status));
    assert!(with(&["uninstall", "hosts"], "systemd").status.success());
    assert!(!unit.exists());
    assert!(text(&with(&["uninstall", "hosts"], "systemd")).contains("is not installed"));
    // Somebody else's.
    for (init, file) in [
        ("systemd", "root/etc/systemd/system/adit-hosts.service"),
        ("sysv", "root/etc/init.d/adit-hosts"),
    ] {
        let file = home.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "[Unit]\n").unwrap();
        for words in [&install[..], &["uninstall", "hosts"]] {
            let output = with(words, init);
            assert_eq!(output.status.code(), Some(1));
            assert!(
                text(&output).contains("was not written by adit"),
                "{}",
                text(&output)
            );
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "[Unit]\n");
    }
    // Whose keys is said, never guessed to be root's.
    let output = home.service(&["install", "up", "--root", &root]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("--run-as USER"), "{}", text(&output));
}

#[test]
fn scripts_are_ones_that_shells_read() {
    require!("ssh-keygen");
    let home = Home::new();
    for init in ["openrc", "sysv"] {
        for what in ["up", "hosts"] {
            let words = [
                "install",
                what,
                "--run-as",
                "root",
                "--init",
                init,
                "--dry-run",
            ];
            let file = home.path().join(format!("{init}-{what}"));
            fs::write(&file, home.done(&words)).unwrap();
            let output = Command::new("sh").arg("-n").arg(&file).output().unwrap();
            assert!(output.status.success(), "{}", text(&output));
        }
    }
}

/// The script of a plain init, run for real: it starts, comes back after a kill -9, and ends.
#[test]
fn a_plain_init_keeps_the_service() {
    require!("ssh-keygen", "setsid");
    if !real::is_root_or_skip() {
        return;
    }
    let home = Home::new();
    let root = home.root();
    let data = home.path().join("table");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    let words = [
        "install", "hosts", "--run-as", "root", "--init", "sysv", "--root", &root,
    ];
    home.done(&[&words[..], &["--data", data.to_str().unwrap()]].concat());
    let script = home.path().join("root/etc/init.d/adit-hosts");
    let call = |verb: &str| {
        Command::new(&script)
            .arg(verb)
            .env("HOME", home.path())
            .env("ADIT_RUN", home.path())
            .env("ADIT_LOG_FOLDER", home.path())
            .env_remove("XDG_RUNTIME_DIR")
            .output()
            .unwrap()
    };
    let log = || fs::read_to_string(home.path().join("adit-hosts.log")).unwrap_or_default();
    let pid = || {
        let mut list = Command::new("pgrep");
        list.args([
            "-f",
            &format!("^[^ ]*adit host up --data {}$", data.display()),
        ]);
        let pids = String::from_utf8(list.output().unwrap().stdout).unwrap();
        pids.lines().next().map(str::to_owned).ok_or_else(log)
    };
    assert_eq!(call("status").status.code(), Some(3));
    assert!(call("start").status.success());
    assert!(call("status").status.success());
    let first = wait::until("it runs", pid);
    wait::until("it keeps the table", || {
        if log().contains("the table is kept") {
            Ok(())
        } else {
            Err(log())
        }
    });
    assert!(
        Command::new("kill")
            .args(["-9", &first])
            .status()
            .unwrap()
            .success()
    );
    wait::until("it runs again", || match pid() {
        Ok(pid) if pid != first => Ok(()),
        other => Err(other),
    });
    assert!(call("restart").status.success());
    wait::until("it runs after a restart", pid);
    assert!(call("stop").status.success());
    wait::until("it has ended", || match pid() {
        Ok(pid) => Err(pid),
        Err(_) => Ok(()),
    });
    assert_eq!(call("status").status.code(), Some(3));
}
