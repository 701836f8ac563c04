//! A line between two networks: the tunnel's end in one, the public host in the other.

use std::fs::File;
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::super::kit::{Kit, Talker};
use super::super::service::Services;
use crate::sshd::Place;

/// Two networks and the line. All end with it.
#[derive(Debug)]
pub(super) struct Lab {
    link: Talker,
    /// Where the tunnel starts and the service is.
    pub(super) inside: Place,
    /// Where the host and the visitors are.
    pub(super) public: Place,
    /// The host's address.
    pub(super) addr: IpAddr,
    /// The services inside.
    pub(super) services: Services,
}

impl Lab {
    /// Lays a line that takes so long each way, and starts services inside.
    pub(super) fn lay(kit: &Kit, one_way: Duration) -> anyhow::Result<Self> {
        let mut command = Command::new(&kit.link);
        command.args(["--delay-ms", &one_way.as_millis().to_string()]);
        command.args(["--loss-per-million", "0"]);
        command.args(["--bytes-per-second", BYTES_PER_SECOND]);
        command.args(["--queue-bytes", QUEUE_BYTES]);
        let mut link = Talker::start(kit, &mut command)?;
        let [inside, public, addr] = link.wait(kit, "the link", DEADLINE, |said| {
            let (names, _) = said.split_once('\n')?;
            let mut words = names.split(' ').map(str::to_owned);
            let inside = words.next()?;
            let public = words.nth(1)?;
            Some([inside, public, words.next()?])
        })?;
        let inside = Place::Namespace(inside);
        Ok(Self {
            link,
            services: within(&inside, Services::start)?,
            inside,
            public: Place::Namespace(public),
            addr: addr.parse().context("the link has no address")?,
        })
    }

    /// Takes the line and both networks down. Where a measurement has failed before, the next line that is
    /// laid does it.
    pub(super) fn end(self, kit: &Kit) -> anyhow::Result<()> {
        self.link.finish(kit, DEADLINE)
    }

    /// Does something to the line, and waits until it is done: `dark`, `light` or `move`.
    pub(super) fn tell(&mut self, kit: &Kit, word: &str) -> anyhow::Result<()> {
        let repeats = |said: &str| said.lines().filter(|line| *line == word).count();
        let before = repeats(&self.link.said()?);
        self.link.tell(word)?;
        self.link.wait(kit, word, DEADLINE, |said| {
            (repeats(said) > before).then_some(())
        })
    }
}

/// Does something on a thread inside a network. What it starts there, threads and sockets, stays there.
pub(super) fn within<T: Send>(
    place: &Place,
    work: impl FnOnce() -> anyhow::Result<T> + Send,
) -> anyhow::Result<T> {
    let Place::Namespace(name) = place else {
        return work();
    };
    let file = File::open(format!("/run/netns/{name}")).context("the network is gone")?;
    let inside = || {
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
            .context("cannot enter the network")?;
        work()
    };
    thread::scope(|scope| scope.spawn(inside).join())
        .map_err(|_| anyhow!("what ran in the network panicked"))?
}

/// 1 Gbit/s: what is measured here is no matter of rates.
const BYTES_PER_SECOND: &str = "125000000";

/// What the line holds in 50 ms.
const QUEUE_BYTES: &str = "6250000";

/// Networks are made and changed at once, or within seconds on a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);
