//! The programs and libraries at the other end, as the table sees them.

use std::path::PathBuf;
use std::process::Stdio;

use adit_ssh::algorithm::KeyAlgorithm;
use adit_testkit::ssh_agent::SshAgent;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::keys::Keys;
use crate::terms::{Login, Terms};

pub(crate) mod dropbear;
pub(crate) mod library;
pub(crate) mod openssh;
pub(crate) mod putty;

/// What a peer needs to know of a cell.
pub(crate) struct Order<'a> {
    pub(crate) keys: &'a Keys,
    pub(crate) terms: Terms,
    /// After how many bytes the peer is to ask for new keys.
    pub(crate) rekey_bytes: Option<u64>,
}

/// A server that our client meets.
pub(crate) trait Server {
    /// The name in the table.
    fn name(&self) -> &'static str;

    /// Which logins it can be made to ask for.
    fn logins(&self) -> Vec<Login>;

    /// Host keys that it shows only when asked for one of them.
    fn further_host_keys(&self) -> Vec<KeyAlgorithm> {
        Vec::new()
    }

    /// What it can be made to do besides.
    fn skills(&self) -> Skills;

    /// Connects to one that serves this order.
    async fn connect(&mut self, order: &Order<'_>) -> Result<(TcpStream, Running), String>;
}

/// A client that meets our server.
pub(crate) trait Client {
    /// The name in the table.
    fn name(&self) -> &'static str;

    /// Which logins it can do.
    fn logins(&self) -> Vec<Login>;

    /// What it can be made to do besides.
    fn skills(&self) -> Skills;

    /// What it says it can do and cannot. The cell is tried all the same, and no other draws on it.
    fn faults(&self) -> &'static [Fault] {
        &[]
    }

    /// Lets it connect to `port` of 127.0.0.1, and carry what comes from us to `service`, or the
    /// other way round.
    async fn start(&self, order: &Order<'_>, port: u16, service: u16) -> Result<Running, String>;
}

/// A value that a peer names and then fails at, and how that was found to be its own doing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    /// What the names of such values end in.
    pub(crate) ending: &'static str,
    pub(crate) axis: &'static str,
    pub(crate) reason: &'static str,
}

/// What not every peer can be made to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Skills {
    /// It starts key exchanges of its own.
    pub(crate) rekeys: bool,
    /// A server: it listens for us (`-R`).
    pub(crate) listens: bool,
}

/// A peer's process; killed with what it started when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Option<Child>,
    log: Option<PathBuf>,
    /// The ssh-agent that it asks.
    _agent: Option<SshAgent>,
}

impl Running {
    /// One whose process serves more than this order; `log` is where it speaks.
    pub(crate) fn elsewhere(log: Option<PathBuf>) -> Self {
        Self {
            child: None,
            log,
            _agent: None,
        }
    }

    /// Starts a program that speaks into `log`.
    pub(crate) fn spawn(command: &mut Command, log: PathBuf) -> Result<Self, String> {
        let file = std::fs::File::create(&log).map_err(|error| error.to_string())?;
        let child = command
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("cannot start {command:?}: {error}"))?;
        Ok(Self {
            child: Some(child),
            log: Some(log),
            _agent: None,
        })
    }

    /// The same, with an ssh-agent that lives as long.
    pub(crate) fn with_agent(self, agent: Option<SshAgent>) -> Self {
        Self {
            _agent: agent,
            ..self
        }
    }

    /// The last it said, on one line.
    pub(crate) fn words(&self) -> String {
        let log = self.log.as_ref().map(std::fs::read).and_then(Result::ok);
        let log = log.unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.len().saturating_sub(LAST_LINES);
        lines.get(last..).unwrap_or_default().join(" | ")
    }

    /// Waits for the end of its process; forever where there is none.
    pub(crate) async fn ended(&mut self) {
        match &mut self.child {
            Some(child) => drop(child.wait().await),
            None => std::future::pending().await,
        }
    }
}

/// Lines of a peer's log that go into a report.
const LAST_LINES: usize = 6;

/// Starts a server that serves one connection, on its standard input and output, as inetd did.
pub(crate) async fn inetd(
    command: &mut Command,
    log: PathBuf,
) -> Result<(TcpStream, Running), String> {
    let pair = async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let (near, far) = tokio::try_join!(TcpStream::connect(addr), listener.accept())?;
        let far = far.0.into_std()?;
        far.set_nonblocking(false)?;
        std::io::Result::Ok((near, far))
    };
    let (near, far) = pair.await.map_err(|error| error.to_string())?;
    let out = far.try_clone().map_err(|error| error.to_string())?;
    command.stdin(std::os::fd::OwnedFd::from(far));
    command.stdout(std::os::fd::OwnedFd::from(out));
    let running = Running::spawn(command, log)?;
    // The command's own copies of the socket would keep it open.
    command.stdin(Stdio::null()).stdout(Stdio::null());
    Ok((near, running))
}
