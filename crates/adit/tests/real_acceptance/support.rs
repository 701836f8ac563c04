//! What the tests stand on: a person's folder and home, the document's files at free ports, what a run prints.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use adit_testkit::namespace::Namespace;
use adit_testkit::port::Port;
use adit_testkit::process::{Process, kill_tree};
use adit_testkit::sshd::Sshd;
use adit_testkit::wait;
use rustix::process::Pid;

/// How long a command may take that waits for others: the callback, a tunnel that heals.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// A file of model-compose's own examples, word for word.
pub(crate) fn fixture(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../flow/tests/fixtures/model-compose");
    fs::read_to_string(folder.join(name)).unwrap()
}

/// A host, a person on it with a home, and the folder that this person is in.
pub(crate) struct Folder {
    root: tempfile::TempDir,
    /// Where it is, if not on this host.
    host: Option<Namespace>,
    variables: Vec<(String, String)>,
}

/// How a command ended and what it said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut private = fs::DirBuilder::new();
        private.mode(0o700);
        for name in ["run", "home", "home/.ssh", "bin", "work"] {
            private.create(root.path().join(name)).unwrap();
        }
        Self {
            root,
            host: None,
            variables: Vec::new(),
        }
    }

    /// On another host.
    pub(crate) fn on(mut self, host: &Namespace) -> Self {
        self.host = Some(host.clone());
        self
    }

    /// With one more variable in every command's environment.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a `uvicorn` that stands in for the real one.
    pub(crate) fn with_uvicorn(self) -> Self {
        self.program("uvicorn", include_str!("uvicorn.py"));
        self
    }

    /// A program in the person's `PATH`.
    pub(crate) fn program(&self, name: &str, text: &str) {
        let path = self.root.path().join("bin").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Where commands run.
    pub(crate) fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.work().join(name), text).unwrap();
    }

    /// Gives the person the sshd's key, where a key is looked for, and no host that is known.
    pub(crate) fn take_key(&self, sshd: &Sshd) {
        let key = self.home().join(".ssh/id_rsa");
        fs::copy(sshd.user_key().private_path(), &key).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Any program, as this person runs it.
    pub(crate) fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = match &self.host {
            Some(host) => host.command(program),
            None => Command::new(program),
        };
        command
            .args(arguments)
            .current_dir(self.work())
            .env_clear()
            .env("PATH", self.path())
            .env("HOME", self.home())
            .env("USER", "me")
            .env("LANG", "C.UTF-8")
            .env("XDG_RUNTIME_DIR", self.root.path().join("run"))
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    fn path(&self) -> OsString {
        let own = [
            self.root.path().join("bin"),
            Path::new(env!("CARGO_BIN_EXE_adit"))
                .parent()
                .unwrap()
                .into(),
        ];
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::join_paths(own.into_iter().chain(std::env::split_paths(&path))).unwrap()
    }

    pub(crate) fn adit(&self, arguments: &[&str]) -> Command {
        self.command(env!("CARGO_BIN_EXE_adit"), arguments)
    }

    /// Starts `adit` with these arguments.
    pub(crate) fn start(&self, arguments: &[&str]) -> Process {
        Process::spawn(&mut self.adit(arguments))
    }

    /// Runs `adit` with these arguments to its end.
    pub(crate) fn say(&self, arguments: &[&str]) -> Said {
        said(&mut self.start(arguments))
    }

    /// What the stand-in has written down so far.
    pub(crate) fn journal(&self) -> String {
        fs::read_to_string(self.work().join("journal")).unwrap_or_default()
    }

    /// Waits until a line of the stand-in's begins so, and gives the rest of it.
    pub(crate) fn wait_for_journal(&self, start: &str) -> String {
        wait::until(&format!("{start:?} in the journal"), || {
            let journal = self.journal();
            let mut lines = journal.lines();
            let found = lines.find_map(|line| line.strip_prefix(start));
            found.map(str::to_owned).ok_or_else(|| journal.clone())
        })
    }

    /// The processes that are in the folder now, or below.
    pub(crate) fn processes(&self) -> Vec<Pid> {
        let Ok(work) = self.work().canonicalize() else {
            return Vec::new();
        };
        let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let there = entries.filter(|entry| {
            fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(&work))
        });
        let names = there.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        names.filter_map(Pid::from_raw).collect()
    }

    /// The processes of the stand-in, all that there ever were.
    pub(crate) fn stand_ins(&self) -> Vec<Pid> {
        let journal = self.journal();
        let numbers = journal.lines().filter_map(|line| line.strip_prefix("pid "));
        numbers
            .map(|number| Pid::from_raw(number.parse().unwrap()).unwrap())
            .collect()
    }
}

/// What went to the background ends with the test, also where that fails.
impl Drop for Folder {
    fn drop(&mut self) {
        for process in self.processes() {
            kill_tree(process);
        }
    }
}

/// What a command has said when it has ended, which it does soon.
#[track_caller]
pub(crate) fn said(process: &mut Process) -> Said {
    let code = process.wait(PATIENCE).code();
    Said {
        code,
        stdout: process.stdout(),
        stderr: process.stderr(),
    }
}

/// The numbers that the document's files have for ports, and who has them in a test.
pub(crate) struct Ports(BTreeMap<u16, Port>);

impl Ports {
    /// A port of its own for each of these.
    pub(crate) fn instead_of(numbers: &[u16]) -> Self {
        let ports = numbers.iter().map(|number| (*number, Port::reserve()));
        Self(ports.collect())
    }

    /// What stands for a port of the document's.
    pub(crate) fn of(&self, number: u16) -> u16 {
        self.0[&number].number()
    }

    /// A text with the numbers replaced, each of which stands there.
    #[track_caller]
    pub(crate) fn put(&self, text: &str) -> String {
        let mut left: BTreeSet<u16> = self.0.keys().copied().collect();
        let is_digit = |letter: char| letter.is_ascii_digit();
        let pieces = text.split_inclusive(|letter| !is_digit(letter));
        let put = pieces.map(|piece| {
            let end = piece
                .find(|letter| !is_digit(letter))
                .unwrap_or(piece.len());
            let (number, rest) = piece.split_at(end);
            let port = number
                .parse()
                .ok()
                .filter(|number| self.0.contains_key(number));
            port.map_or_else(
                || piece.to_owned(),
                |port| {
                    left.remove(&port);
                    format!("{}{rest}", self.of(port))
                },
            )
        });
        let put = put.collect();
        assert!(left.is_empty(), "there is no {left:?}: {text}");
        put
    }
}

/// The ports of the SSH document: controller, page, remote, callback, service.
pub(crate) const DOCUMENT_PORTS: &[u16] = &[8080, 8081, 9834, 8090, 9000];

/// A `.env` made from the document's example as its reader edits it.
pub(crate) fn variables(sshd: &Sshd) -> String {
    let own = [
        ("SSH_TUNNEL_HOST=", sshd.addr().ip().to_string()),
        ("SSH_TUNNEL_PORT=", sshd.addr().port().to_string()),
        ("SSH_USERNAME=", sshd.user().to_owned()),
    ];
    let example = fixture("ssh-tunnel.env");
    let lines = example.lines().map(|line| {
        let mut own = own.iter().filter(|(name, _)| line.starts_with(name));
        match own.next() {
            Some((name, value)) => format!("{name}{value}\n"),
            None => format!("{line}\n"),
        }
    });
    lines.collect()
}

/// Somebody who follows the SSH document, at ports of their own, with an SSH server beside them.
pub(crate) struct Follower {
    pub(crate) folder: Folder,
    pub(crate) ports: Ports,
    pub(crate) sshd: Sshd,
}

impl Follower {
    /// With the document's file as it is.
    pub(crate) fn new() -> Self {
        Self::with(|text| text)
    }

    /// With the file changed, before the ports are.
    pub(crate) fn with(change: impl FnOnce(String) -> String) -> Self {
        Self::of(
            Sshd::builder().config_line("GatewayPorts yes").start(),
            change,
        )
    }

    /// Beside this server.
    pub(crate) fn of(sshd: Sshd, change: impl FnOnce(String) -> String) -> Self {
        let folder = Folder::new().with_uvicorn();
        let ports = Ports::instead_of(DOCUMENT_PORTS);
        folder.take_key(&sshd);
        folder.write(".env", &variables(&sshd));
        folder.write(
            "model-compose.yml",
            &ports.put(&change(fixture("ssh-tunnel.yml"))),
        );
        Self {
            folder,
            ports,
            sshd,
        }
    }

    /// `adit up`, once the tunnel is.
    pub(crate) fn up(&self) -> Process {
        let mut up = self.folder.start(&["up"]);
        up.wait_for_text(FORWARDING);
        up
    }

    /// `adit run` as the document has it.
    #[track_caller]
    pub(crate) fn run(&self) -> Said {
        self.folder.say(RUN)
    }

    /// Where callbacks go.
    pub(crate) fn public(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.ports.of(9834))
    }
}

/// The document's run.
pub(crate) const RUN: &[&str] = &["run", "--input", r#"{"data": "hello world"}"#];

/// What the log says once a port is public.
pub(crate) const FORWARDING: &str = "[Gateway] Remote port forwarding started: ";

/// Checks that a run has printed what the document says, and gives the id.
#[track_caller]
pub(crate) fn id_of_result(said: &Said) -> String {
    let id = said.stdout.strip_prefix("{\n  \"task_id\": \"");
    let id = id.and_then(|rest| rest.get(..26)).unwrap_or_default();
    let expected = format!(
        "{{\n  \"task_id\": \"{id}\",\n  \"result\": {{\n    \"processed_data\": \"HELLO WORLD\",\n    \
         \"length\": 11\n  }}\n}}\n"
    );
    assert_eq!(said.stdout, expected, "{}", said.stderr);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let is_ulid = |letter: char| "0123456789ABCDEFGHJKMNPQRSTVWXYZ".contains(letter);
    assert!(id.chars().all(is_ulid), "{id}");
    id.to_owned()
}

/// The port that the log says is public.
#[track_caller]
pub(crate) fn forwarded_port(log: &str) -> u16 {
    let (_, line) = log.split_once(FORWARDING).unwrap();
    let (public, _) = line.split_once(" -> ").unwrap();
    let (_, port) = public.rsplit_once(':').unwrap();
    port.parse().unwrap()
}

/// What `curl` got: the status, the body.
#[track_caller]
pub(crate) fn curl(folder: &Folder, arguments: &[&str]) -> (u16, String) {
    let all = [
        &["-sS", "--max-time", "30", "-w", "\n%{http_code}"],
        arguments,
    ]
    .concat();
    let said = said(&mut Process::spawn(&mut folder.command("curl", &all)));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let (body, status) = said.stdout.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

/// The document's callback by hand.
pub(crate) fn call_back(folder: &Folder, url: &str, body: &str) -> (u16, String) {
    let header = "Content-Type: application/json";
    curl(folder, &[url, "-H", header, "-d", body])
}

/// Zombies are not alive: whose they are has to take leave of them.
pub(crate) fn is_alive(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .map(|(_, rest)| rest.starts_with('Z'));
    state == Some(false)
}

/// Waits until none of these runs.
#[track_caller]
pub(crate) fn wait_for_ends(processes: &[Pid]) {
    wait::until("every process has ended", || {
        let alive: Vec<Pid> = processes
            .iter()
            .copied()
            .filter(|one| is_alive(*one))
            .collect();
        if alive.is_empty() { Ok(()) } else { Err(alive) }
    });
}

/// Waits until a text stands so often in what a program has said.
#[track_caller]
pub(crate) fn wait_for_count(process: &Process, text: &str, count: usize) {
    wait::until_within(PATIENCE, &format!("{text:?} {count} times"), || {
        let said = process.stderr();
        if said.matches(text).count() >= count {
            Ok(())
        } else {
            Err(said)
        }
    });
}
