//! asyncssh and paramiko: one process of `driver.py` each, told what to do line by line.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use adit_testkit::real;
use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::ground::Ground;

/// A library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Library {
    Asyncssh,
    Paramiko,
}

/// The versions that the table was last made with.
const PACKAGES: [&str; 2] = ["asyncssh==2.24.1", "paramiko==5.1.0"];

/// A driver that runs.
struct Driver {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// One for each library, which does one thing at a time.
static DRIVERS: [Mutex<Option<Driver>>; 2] = [const { Mutex::new(None) }; 2];

/// A Python with both libraries, got from PyPI into the build directory if it is not there yet. `None` is a printed
/// skip, and a failure where `ADIT_REAL` is 1.
pub(crate) fn interpreter() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("conformance");
        std::fs::create_dir_all(&folder).ok()?;
        // Tests are processes of their own, and all of them want it.
        let lock = std::fs::File::create(folder.join("lock")).ok()?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).ok()?;
        let (python, made) = (folder.join("venv/bin/python3"), folder.join("made"));
        if std::fs::read_to_string(&made).is_ok_and(|text| text == PACKAGES.join(" "))
            && python.is_file()
        {
            return Some(python);
        }
        let venv = run(Command::new("python3")
            .args(["-m", "venv"])
            .arg(folder.join("venv")));
        let pip = || {
            let mut pip = Command::new(folder.join("venv/bin/pip"));
            run(pip
                .args(["install", "--quiet", "--disable-pip-version-check"])
                .args(PACKAGES))
        };
        (venv && pip())
            .then(|| std::fs::write(made, PACKAGES.join(" ")))?
            .ok()?;
        Some(python)
    });
    if found.is_none() {
        real::skip("asyncssh and paramiko cannot be had from PyPI");
    }
    found.clone()
}

fn run(command: &mut Command) -> bool {
    let output = command.stdin(Stdio::null()).output();
    output.is_ok_and(|output| output.status.success())
}

impl Library {
    fn name(self) -> &'static str {
        match self {
            Self::Asyncssh => "asyncssh",
            Self::Paramiko => "paramiko",
        }
    }

    fn start(self) -> anyhow::Result<Driver> {
        let python = interpreter().context("no Python with the library")?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real_conformance/driver.py");
        let mut child = Command::new(python)
            .arg(script)
            .arg(self.name())
            .env_remove("SSH_AUTH_SOCK")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let input = child.stdin.take().context("its input")?;
        let output = BufReader::new(child.stdout.take().context("its output")?);
        Ok(Driver {
            child,
            input,
            output,
        })
    }

    /// Lets it do something; one thing at a time.
    pub(crate) fn ask(self, order: &Value) -> anyhow::Result<Value> {
        let place = match self {
            Self::Asyncssh => &DRIVERS[0],
            Self::Paramiko => &DRIVERS[1],
        };
        let mut place = place.lock().expect("nobody panics with it");
        if place.is_none() {
            *place = Some(self.start()?);
        }
        let driver = place.as_mut().context("a driver that runs")?;
        writeln!(driver.input, "{order}")?;
        driver.input.flush()?;
        let mut line = String::new();
        driver.output.read_line(&mut line)?;
        let answer: Value = serde_json::from_str(&line).context("it has ended")?;
        if let Some(error) = answer.get("error") {
            bail!("{}: {error}", self.name());
        }
        Ok(answer)
    }
}

/// What became of a login.
pub(crate) enum Connected {
    /// It is in.
    Yes(u64),
    /// What was refused: `login`, `host key`, `key exchange`.
    No(String),
}

/// Ends all drivers; they are this process's, which does not drop what is static.
pub(crate) fn stop() {
    for place in &DRIVERS {
        *place.lock().expect("nobody panics with it") = None;
    }
}

/// Logs in by that key; `more` says what is special.
pub(crate) fn connect(
    library: Library,
    ground: &Ground,
    key: &str,
    more: Value,
) -> anyhow::Result<Connected> {
    let mut order = json!({
        "do": "connect",
        "host": ground.addr().ip().to_string(),
        "port": ground.addr().port(),
        "user": ground.user(),
        "host_key": ground.host_keys()[0],
        "key": ground.key(key).private_path(),
    });
    if let (Value::Object(order), Value::Object(more)) = (&mut order, more) {
        order.extend(more);
    }
    let answer = library.ask(&order)?;
    if let Some(refused) = answer.get("refused") {
        return Ok(Connected::No(
            refused.as_str().unwrap_or_default().to_owned(),
        ));
    }
    let id = answer["id"]
        .as_u64()
        .context("no connection in the answer")?;
    Ok(Connected::Yes(id))
}
