//! What the tests stand on: the folder deploy/docker with a program in it, and a docker that has built it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use adit_testkit::docker::{Docker, said};
use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::namespace::Namespace;
use adit_testkit::real;
use tempfile::TempDir;

/// Who runs the program where nothing else is said.
pub(crate) const UID: &str = "65532";
/// What runs in a container that has the machine's programs.
pub(crate) const MACHINE: [&str; 4] = ["--volume", "/usr:/usr:ro", "--init=false", "machine"];

/// A copy of deploy/docker with a program in it, as whoever follows its README has it.
pub(crate) struct Site {
    pub(crate) docker: Docker,
    folder: TempDir,
}

/// Where a file of the repository is.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The static program that was built last, or a printed skip.
pub(crate) fn program() -> Option<PathBuf> {
    let built = Path::new(env!("CARGO_BIN_EXE_adit"));
    let target = built.parent().and_then(Path::parent).unwrap();
    let target = target.join(format!("{}-unknown-linux-gnu", std::env::consts::ARCH));
    let programs = ["release", "debug"].map(|profile| target.join(profile).join("adit"));
    let when = |program: &PathBuf| {
        fs::metadata(program)
            .and_then(|found| found.modified())
            .ok()
    };
    let newest = programs
        .into_iter()
        .filter(|it| it.is_file())
        .max_by_key(when);
    match &newest {
        Some(program) => eprintln!("in the image: {}", program.display()),
        None => real::skip("there is no static program: `cargo xtask test build` makes it"),
    }
    newest
}

/// Returns from the test where something that all of them need is missing; gives the program otherwise.
macro_rules! require_docker {
    () => {{
        adit_testkit::require!(root);
        adit_testkit::require!("ip", "nsenter", "iptables", "tar", "strip", "ssh-keygen");
        adit_testkit::require!("docker", "dockerd", "docker-compose");
        match crate::ground::program() {
            Some(program) => program,
            None => return,
        }
    }};
}
pub(crate) use require_docker;

impl Site {
    /// On that host, with the image `adit` built.
    pub(crate) fn new(host: &Namespace, program: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let site = Self {
            docker: Docker::start_in(host),
            folder,
        };
        let source = root().join("deploy/docker");
        let mut count = 0_usize;
        for entry in fs::read_dir(source).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() && path.file_name().unwrap() != "adit" {
                fs::copy(
                    &path,
                    site.path(path.file_name().unwrap().to_str().unwrap()),
                )
                .unwrap();
                count += 1;
            }
        }
        assert!(count >= 8, "{count} files");
        let strip = Command::new("strip")
            .arg("-o")
            .arg(site.path("adit"))
            .arg(program)
            .output();
        let strip = strip.unwrap();
        assert!(strip.status.success(), "{}", said(&strip));
        // Whoever else looks in here is a container.
        fs::set_permissions(site.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        site.docker
            .run(&["build", "--quiet", "--tag", "adit", &site.shown(".")]);
        site
    }

    /// A file in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn shown(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// A key pair in a folder of its own, for a user of that number alone to read.
    pub(crate) fn key(&self, name: &str, uid: &str) -> KeyPair {
        let folder = self.path(&format!("ssh-{name}"));
        fs::create_dir_all(&folder).unwrap();
        let pair = KeyPair::generate(&folder, "id_ed25519", KeyKind::Ed25519);
        self.give(&format!("ssh-{name}"), uid);
        pair
    }

    /// Gives a file or a folder with all that is in it to a user.
    pub(crate) fn give(&self, name: &str, uid: &str) {
        let chown = Command::new("chown")
            .arg("-R")
            .arg(uid)
            .arg(self.path(name))
            .status();
        assert!(chown.unwrap().success());
    }

    /// Writes a file, and its folder if that is not there.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Lets that key in at servers.
    pub(crate) fn let_in(&self, keys: &[&KeyPair]) {
        let lines: Vec<String> = keys
            .iter()
            .map(|key| format!("{}\n", key.public_line()))
            .collect();
        self.write("clients/authorized_keys", &lines.concat());
    }

    /// `docker-compose -f FILE` with these words and variables, to its end.
    #[track_caller]
    pub(crate) fn compose(&self, file: &str, words: &[&str], variables: &[(&str, &str)]) -> String {
        let mut command = self.docker.compose();
        command
            .current_dir(self.folder.path())
            .args(["--project-name", "test", "--file", file])
            .args(words)
            .envs(variables.iter().copied());
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "{file} {words:?}: {}",
            said(&output)
        );
        said(&output)
    }

    /// Starts a container of the machine's programs by that name in that network.
    pub(crate) fn start(&self, name: &str, network: &str, words: &[&str]) {
        let start = ["run", "--detach", "--name", name, "--network", network];
        self.docker.run(&[&start[..], &MACHINE, words].concat());
    }
}

/// The host key, as a gateway says it at its start: what ADIT_HOST_KEY takes.
pub(crate) fn host_key(log: &str) -> String {
    let word = |line: &str| {
        let mut words = line.split_whitespace();
        words
            .find(|word| word.starts_with("SHA256:"))
            .map(str::to_owned)
    };
    let lines = log.lines().filter(|line| line.contains("host key"));
    let keys: Vec<String> = lines.filter_map(word).collect();
    assert!(!keys.is_empty(), "{log}");
    keys.join(",")
}
