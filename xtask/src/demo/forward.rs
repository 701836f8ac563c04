//! The program itself in the demo: `adit forward`, and what it says.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};

use crate::clock;
use crate::process::Group;
use crate::sshd::Sshd;
use crate::stop::Stop;

/// A running `adit forward`.
#[derive(Debug)]
pub(super) struct Forward {
    group: Group,
    lines: Receiver<String>,
    reader: JoinHandle<()>,
}

impl Forward {
    /// Starts it towards the sshd, with a port that sshd chooses.
    pub(super) fn start(
        program: &Path,
        sshd: &Sshd,
        service: SocketAddr,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let mut group = Group::start(
            Command::new(program)
                .args(["forward", "-F", "none", "-R"])
                .arg(format!("127.0.0.1:0:{service}"))
                .arg("-i")
                .arg(sshd.key())
                .arg("-p")
                .arg(sshd.port().to_string())
                .arg("-o")
                .arg(format!(
                    "UserKnownHostsFile={}",
                    folder.join("known_hosts").display()
                ))
                .args(["-o", "StrictHostKeyChecking=accept-new"])
                .arg(format!("{}@127.0.0.1", sshd.user()))
                .stdin(Stdio::null())
                .stderr(Stdio::piped()),
        )?;
        let stderr = group.child().stderr.take().context("adit has no stderr")?;
        let (sender, lines) = sync_channel(LINES);
        let reader = thread::Builder::new()
            .name("adit's words".into())
            .spawn(move || {
                for line in BufReader::new(stderr).lines() {
                    let Ok(line) = line else { break };
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            })
            .context("cannot start a thread")?;
        Ok(Self {
            group,
            lines,
            reader,
        })
    }

    /// Waits until adit says that its forward is up and returns the public address.
    pub(super) fn wait_until_up(
        &mut self,
        deadline: Duration,
        stop: &Stop,
    ) -> anyhow::Result<SocketAddr> {
        let (lines, group) = (&self.lines, &mut self.group);
        stop.until("the forward", deadline, || {
            loop {
                match lines.try_recv() {
                    Ok(line) => {
                        println!("  adit: {line}");
                        if let Some(addr) = public_address(&line) {
                            return Ok(Some(addr));
                        }
                    }
                    Err(TryRecvError::Empty) => return Ok(None),
                    Err(TryRecvError::Disconnected) => {
                        return match group.ended()? {
                            Some(status) => Err(anyhow!("adit ended: {status}")),
                            None => Ok(None),
                        };
                    }
                }
            }
        })
    }

    /// Passes on what adit says until a signal comes; that adit ends by itself is an error.
    pub(super) fn serve(&mut self, stop: &Stop) -> anyhow::Result<()> {
        while !stop.wait(Duration::from_millis(100)) {
            self.pass_on()?;
        }
        Ok(())
    }

    /// Passes on what adit says for that long; an end of adit and a signal are errors.
    pub(super) fn stay_up(&mut self, time: Duration, stop: &Stop) -> anyhow::Result<()> {
        let started = clock::now();
        stop.until("the end of the rest", time.saturating_mul(2), || {
            self.pass_on()?;
            Ok((started.elapsed() >= time).then_some(()))
        })
    }

    fn pass_on(&mut self) -> anyhow::Result<()> {
        while let Ok(line) = self.lines.try_recv() {
            println!("  adit: {line}");
        }
        match self.group.ended()? {
            Some(status) => bail!("adit ended: {status}"),
            None => Ok(()),
        }
    }

    /// Asks adit to end as Ctrl-C would, passing on its last words.
    pub(super) fn stop(self) -> anyhow::Result<()> {
        let Self {
            group,
            lines,
            reader,
        } = self;
        let status = thread::scope(|scope| {
            let stopping = scope.spawn(move || group.stop(PATIENCE));
            while let Ok(line) = lines.recv_timeout(PATIENCE.saturating_mul(2)) {
                println!("  adit: {line}");
            }
            drop(lines);
            stopping
                .join()
                .map_err(|_| anyhow!("stopping adit panicked"))
        })??;
        reader
            .join()
            .map_err(|_| anyhow!("reading adit's words panicked"))?;
        println!("  adit ended: {status}");
        Ok(())
    }
}

/// The address in `forward up: 127.0.0.1:40321 -> 127.0.0.1:8080`, which adit prints each time a
/// forward has come up.
fn public_address(line: &str) -> Option<SocketAddr> {
    let (bind, _service) = line.strip_prefix("forward up: ")?.split_once(" -> ")?;
    let (_host, port) = bind.rsplit_once(':')?;
    Some((Ipv4Addr::LOCALHOST, port.parse().ok()?).into())
}

/// Lines that wait to be printed; then adit's stderr waits.
const LINES: usize = 256;

/// adit closes its connection and ends at once when asked; then it is killed.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_address_is_read_from_the_line_of_the_forward_alone() {
        let cases = [
            ("forward up: 127.0.0.1:40321 -> 127.0.0.1:8080", Some(40321)),
            ("forward up: localhost:1 -> 127.0.0.1:8080", Some(1)),
            ("forward up: 127.0.0.1:70000 -> 127.0.0.1:8080", None),
            ("forward down: 127.0.0.1:40321 -> 127.0.0.1:8080", None),
            ("forward up: soon", None),
            ("", None),
        ];
        for (line, port) in cases {
            assert_eq!(public_address(line).map(|addr| addr.port()), port, "{line}");
        }
    }
}
