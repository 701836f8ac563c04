//! The public host of a measurement: a stock sshd in some network.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::Context as _;
use rustix::process::{Signal, kill_process};

use super::super::kit::Kit;
use crate::sshd::{Place, Setup, Sshd};

/// A running sshd and what it takes to log in there.
#[derive(Debug)]
pub(super) struct Host {
    /// Away only while it is started again.
    sshd: Option<Sshd>,
    addr: IpAddr,
    place: Place,
    folder: PathBuf,
}

/// Lines of its configuration: one address logs in again and again, and the patience of sshd with
/// clients that are silent is left at none, as Debian has it.
const LINES: &str = "MaxStartups 1000\n";

impl Host {
    /// Starts it, with more lines of configuration.
    pub(super) fn start(
        kit: &Kit,
        place: &Place,
        addr: IpAddr,
        lines: &str,
    ) -> anyhow::Result<Self> {
        let folder = kit.folder()?;
        let lines = format!("{LINES}{lines}");
        let setup = Setup {
            addr,
            lines: &lines,
            place,
        };
        Ok(Self {
            sshd: Some(Sshd::start(&folder, &setup, &kit.stop)?),
            addr,
            place: place.clone(),
            folder,
        })
    }

    /// Ends it with all its connections and starts it again.
    pub(super) fn restart(&mut self, kit: &Kit) -> anyhow::Result<()> {
        let sshd = self.sshd.take().context("there is no sshd")?;
        let setup = Setup {
            addr: self.addr,
            lines: "",
            place: &self.place,
        };
        self.sshd = Some(sshd.restart(&self.folder, &setup, &kit.stop)?);
        Ok(())
    }

    /// The running sshd.
    pub(super) fn sshd(&self) -> anyhow::Result<&Sshd> {
        self.sshd.as_ref().context("there is no sshd")
    }

    /// Where it listens.
    pub(super) fn addr(&self) -> anyhow::Result<SocketAddr> {
        Ok((self.addr, self.sshd()?.port()).into())
    }

    /// A file for the host's key, new for each program that logs in.
    pub(super) fn known_hosts(&self) -> PathBuf {
        self.folder.join("known_hosts")
    }

    /// Stops all its processes as they are.
    pub(super) fn freeze(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets them go on.
    pub(super) fn thaw(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        for pid in self.sshd()?.group().tree() {
            kill_process(pid, signal).context("cannot signal sshd")?;
        }
        Ok(())
    }
}
