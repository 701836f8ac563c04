//! A stock sshd of its own, with its own keys, at a free port: the public host of the demo, and what
//! the bench compares with.
//!
//! It lets the user who runs xtask log in with one fresh key and touches nothing of the
//! machine's own sshd. Only as root does it need `/run/sshd`, sshd's empty folder for its
//! unprivileged half.

use std::ffi::OsStr;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::process::{Group, is_alive};
use crate::programs;
use crate::stop::Stop;
use crate::workspace::words;

/// What an sshd is to be like.
#[derive(Debug)]
pub(crate) struct Setup<'a> {
    /// Where it listens.
    pub(crate) addr: IpAddr,
    /// Lines behind the others of its configuration.
    pub(crate) lines: &'a str,
    /// The network it runs in.
    pub(crate) place: &'a Place,
}

/// The network in which a program runs.
#[derive(Debug, Clone, Default)]
pub(crate) enum Place {
    /// That of xtask.
    #[default]
    Here,
    /// The network namespace of that name, as `ip netns` shows it.
    Namespace(String),
}

impl Place {
    /// A program that will run there.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        match self {
            Self::Here => Command::new(program),
            Self::Namespace(name) => {
                let mut command = Command::new("nsenter");
                command
                    .arg(format!("--net=/run/netns/{name}"))
                    .arg("--")
                    .arg(program);
                command
            }
        }
    }
}

/// A running sshd.
#[derive(Debug)]
pub(crate) struct Sshd {
    group: Group,
    port: u16,
    user: String,
    key: PathBuf,
}

impl Sshd {
    /// Makes the keys and the configuration in the folder, and starts sshd there.
    pub(crate) fn start(folder: &Path, setup: &Setup<'_>, stop: &Stop) -> anyhow::Result<Self> {
        let host_key = make_key(folder, "host_key")?;
        let key = make_key(folder, "user_key")?;
        fs::copy(key.with_extension("pub"), folder.join("authorized_keys"))
            .context("cannot write authorized_keys")?;
        if rustix::process::geteuid().is_root() {
            fs::create_dir_all("/run/sshd").context("cannot make /run/sshd")?;
        }
        let user = output(Command::new("id").arg("-un"))?;

        // The free port may be taken by somebody else before sshd binds it: then try another.
        for _ in 0..PORT_TRIES {
            let port = free_port()?;
            let config = folder.join("sshd_config");
            fs::write(&config, configuration(folder, &host_key, port, setup))
                .context("cannot write sshd_config")?;
            if let Some(group) = start_at(folder, &config, port, setup, stop)? {
                return Ok(Self {
                    group,
                    port,
                    user,
                    key,
                });
            }
        }
        let log = fs::read_to_string(folder.join("sshd.log")).unwrap_or_default();
        bail!("sshd does not start:\n{log}")
    }

    /// Its processes, for asking what they use.
    pub(crate) fn group(&self) -> &Group {
        &self.group
    }

    /// The port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Who may log in.
    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    /// The private key to log in with.
    pub(crate) fn key(&self) -> &Path {
        &self.key
    }

    /// Cuts every connection by killing the processes that serve them; sshd itself goes on.
    pub(crate) fn cut(&self) -> anyhow::Result<()> {
        if self.group.kill_descendants() == 0 {
            bail!("sshd serves no connection that could be cut");
        }
        Ok(())
    }

    /// Ends sshd and every connection, and starts it again at the same port, in the same folder.
    pub(crate) fn restart(
        self,
        folder: &Path,
        setup: &Setup<'_>,
        stop: &Stop,
    ) -> anyhow::Result<Self> {
        let Self {
            group,
            port,
            user,
            key,
        } = self;
        drop(group);
        let group = start_at(folder, &folder.join("sshd_config"), port, setup, stop)?;
        Ok(Self {
            group: group.context("sshd does not start again")?,
            port,
            user,
            key,
        })
    }

    /// Ends sshd and every connection, and makes sure that none of its processes is left.
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        let below = self.group.descendants();
        self.group.stop(PATIENCE)?;
        match below.into_iter().find(|pid| is_alive(*pid)) {
            Some(pid) => bail!("process {pid:?} of sshd is still there"),
            None => Ok(()),
        }
    }
}

/// Starts sshd and waits until it listens; `None` when it ended instead.
fn start_at(
    folder: &Path,
    config: &Path,
    port: u16,
    setup: &Setup<'_>,
    stop: &Stop,
) -> anyhow::Result<Option<Group>> {
    let log = folder.join("sshd.log");
    let stderr = fs::File::create(&log).context("cannot make sshd.log")?;
    // sshd starts itself again for each connection and insists on an absolute path.
    let program = programs::find("sshd").context("sshd is not installed")?;
    let mut group = Group::start(
        setup
            .place
            .command(program)
            .args(["-D", "-e", "-f"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr),
    )?;
    let listening = format!("Server listening on {} port {port}.", setup.addr);
    let up = stop.until("sshd", START_DEADLINE, || {
        if group.ended()?.is_some() {
            return Ok(Some(false));
        }
        // A connection would tell too, but sshd would start a process for it.
        let said = fs::read_to_string(&log).context("cannot read sshd.log")?;
        Ok(said.contains(&listening).then_some(true))
    })?;
    Ok(up.then_some(group))
}

fn configuration(folder: &Path, host_key: &Path, port: u16, setup: &Setup<'_>) -> String {
    format!(
        "Port {port}\n\
         ListenAddress {addr}\n\
         HostKey \"{host_key}\"\n\
         AuthorizedKeysFile \"{folder}/authorized_keys\"\n\
         PidFile none\n\
         UsePAM no\n\
         StrictModes no\n\
         PasswordAuthentication no\n\
         KbdInteractiveAuthentication no\n\
         PermitRootLogin prohibit-password\n\
         PermitOpen 127.0.0.1:*\n\
         LogLevel VERBOSE\n\
         {lines}",
        addr = setup.addr,
        lines = setup.lines,
        host_key = host_key.display(),
        folder = folder.display(),
    )
}

/// Makes an Ed25519 key without a passphrase, and its `.pub` beside it.
pub(crate) fn make_key(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let file = folder.join(name);
    output(
        Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
            .arg(&file),
    )?;
    Ok(file)
}

fn output(command: &mut Command) -> anyhow::Result<String> {
    let words = words(command);
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run `{words}`"))?;
    if !output.status.success() {
        bail!("`{words}` failed: {}", output.status);
    }
    let text = String::from_utf8(output.stdout).with_context(|| format!("`{words}`: no text"))?;
    Ok(text.trim().to_owned())
}

/// A port of the loopback that was free a moment ago.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot bind a port")?;
    Ok(listener
        .local_addr()
        .context("a socket has no address")?
        .port())
}

const PORT_TRIES: u32 = 5;

/// sshd listens within milliseconds, a few hundred on a loaded machine.
const START_DEADLINE: Duration = Duration::from_secs(20);

/// sshd ends at once when asked; then it is killed.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    mod real {
        use super::super::*;
        use crate::stop::tests::silent;

        fn sshd() -> (tempfile::TempDir, Sshd) {
            let folder = tempfile::tempdir().unwrap();
            let (stop, _signal) = silent();
            let setup = Setup {
                addr: Ipv4Addr::LOCALHOST.into(),
                lines: "",
                place: &Place::Here,
            };
            let sshd = Sshd::start(folder.path(), &setup, &stop).unwrap();
            (folder, sshd)
        }

        fn is_missing() -> bool {
            let missing = programs::find("sshd").is_none();
            assert!(
                !missing || std::env::var_os("ADIT_REAL").is_none(),
                "sshd is not installed"
            );
            if missing {
                println!("skip: sshd is not installed");
            }
            missing
        }

        #[test]
        fn stock_ssh_logs_in_and_a_cut_ends_its_connection() {
            if is_missing() {
                return;
            }
            let (folder, sshd) = sshd();
            let (stop, _signal) = silent();
            let mut ssh = Group::start(
                Command::new("ssh")
                    .args(["-F", "none", "-N", "-R", "127.0.0.1:0:127.0.0.1:9", "-i"])
                    .arg(sshd.key())
                    .arg(format!("-p{}", sshd.port()))
                    .args(["-oStrictHostKeyChecking=no", "-oBatchMode=yes"])
                    .arg(format!(
                        "-oUserKnownHostsFile={}",
                        folder.path().join("known_hosts").display()
                    ))
                    .arg(format!("{}@127.0.0.1", sshd.user()))
                    .stdin(Stdio::null())
                    .stderr(fs::File::create(folder.path().join("ssh.log")).unwrap()),
            )
            .unwrap();
            let log = || fs::read_to_string(folder.path().join("ssh.log")).unwrap();
            stop.until("ssh's forward", Duration::from_secs(30), || {
                assert!(ssh.ended().unwrap().is_none(), "{}", log());
                Ok(log().contains("Allocated port").then_some(()))
            })
            .unwrap();
            sshd.cut().unwrap();
            stop.until("the end of ssh", Duration::from_secs(30), || ssh.ended())
                .unwrap();
            sshd.stop().unwrap();
        }

        #[test]
        fn an_sshd_without_a_connection_cannot_be_cut() {
            if is_missing() {
                return;
            }
            let (_folder, sshd) = sshd();
            assert!(sshd.cut().is_err());
            sshd.stop().unwrap();
        }
    }
}
