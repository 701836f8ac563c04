//! `adit up` and `adit run` as they are measured: the files, and a running one.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::json;

use super::super::kit::{Kit, Talker};
use super::super::usage;
use super::crowd::{Crowd, Owed, PATIENCE, Site, check};
use super::http::Connection;
use super::service::{Number, Service};
use crate::clock;
use crate::sshd;

/// A running `adit up`, and the service that its workflow asks.
#[derive(Debug)]
pub(super) struct Up {
    talker: Talker,
    pub(super) site: Site,
    /// Where runs are started by strangers.
    pub(super) triggers: SocketAddr,
    pub(super) service: Service,
}

/// Memory of a program, in KiB.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    /// Now.
    pub(super) resident: f64,
    /// The most that it ever was.
    pub(super) most: f64,
}

impl Up {
    /// Starts it, and lets one run through, so that all that is made once is there.
    pub(super) fn start(kit: &Kit) -> anyhow::Result<Self> {
        let up = Self::begin(kit)?;
        let crowd = Crowd {
            runs: 1,
            watched: 1,
            senders: 1,
        };
        crowd.pass(up.site, &kit.stop, || up.owed(kit, 1))?;
        up.service.clear();
        Ok(up)
    }

    /// Starts it.
    pub(super) fn begin(kit: &Kit) -> anyhow::Result<Self> {
        let service = Service::start()?;
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let site = Site {
            api: local(sshd::free_port()?),
            callbacks: local(sshd::free_port()?),
        };
        let triggers = local(sshd::free_port()?);
        let file = up_file(site, triggers, service.addr());
        let mut command = command(kit, "up", &file)?;
        let up = Self {
            talker: Talker::start(kit, &mut command)?,
            site,
            triggers,
            service,
        };
        let began = clock::now();
        while !is_up(site.api) {
            if began.elapsed() > PATIENCE || kit.stop.wait(PAUSE) {
                bail!("it does not start: {}", up.said()?.trim_end());
            }
        }
        Ok(up)
    }

    /// Waits until the service was asked by this many runs, once by each, and gives the callbacks that
    /// it owes.
    pub(super) fn owed(&self, kit: &Kit, runs: u32) -> anyhow::Result<Vec<Owed>> {
        let seen = self.service.until(&kit.stop, runs, DEADLINE)?;
        let owed = seen.into_iter().map(|(number, requests)| {
            let [request] = requests.as_slice() else {
                bail!("run {number} has asked {} times", requests.len());
            };
            let run = request.run.clone();
            Ok(Owed { number, run })
        });
        owed.collect()
    }

    /// Whether all these runs end well, each with its own result.
    pub(super) fn check(&self, kit: &Kit, tasks: &[(Number, String)]) -> anyhow::Result<()> {
        let mut connection = Connection::dial(self.site.api, PATIENCE)?;
        for (number, task) in tasks {
            let path = format!("/tasks/{task}");
            let answer = kit.stop.until("the end of a run", PATIENCE, || {
                let answer = connection.get(&path)?;
                let status = answer.json()?.get("status").cloned().unwrap_or_default();
                let goes_on = status == json!("processing") || status == json!("pending");
                Ok((!goes_on).then_some(answer))
            })?;
            check(*number, &answer)?;
        }
        Ok(())
    }

    /// Waits until its log has as many ends of runs, and is an error if it has more, or one that is
    /// not good.
    pub(super) fn completed(&self, kit: &Kit, runs: u32) -> anyhow::Result<()> {
        let runs = usize::try_from(runs)?;
        let count = kit.stop.until("the ends of all runs", DEADLINE, || {
            let said = self.said()?;
            if let Some(line) = said.lines().find(|line| is_bad(line)) {
                bail!("{line}");
            }
            let count = said.lines().filter(|line| is_end(line)).count();
            Ok((count >= runs).then_some(count))
        })?;
        if count > runs {
            bail!("{runs} runs have ended {count} times");
        }
        Ok(())
    }

    pub(super) fn memory(&self) -> anyhow::Result<Memory> {
        let tree = self.talker.group().tree();
        Ok(Memory {
            resident: usage::memory(&tree).resident,
            most: usage::most_resident(&tree).context("its memory is not known")?,
        })
    }

    pub(super) fn said(&self) -> anyhow::Result<String> {
        self.talker.said()
    }

    /// Ends it.
    pub(super) fn stop(self) -> anyhow::Result<()> {
        let said = self.talker.stop(DEADLINE)?;
        match said.lines().find(|line| is_bad(line)) {
            Some(line) => bail!("{line}"),
            None => Ok(()),
        }
    }
}

/// Whether an `up` answers that it serves.
fn is_up(api: SocketAddr) -> bool {
    let answer = Connection::dial(api, PATIENCE).and_then(|mut api| api.get("/health"));
    answer.is_ok_and(|answer| answer.status == 200)
}

/// Whether a line of the log says that a run of ours has ended well.
fn is_end(line: &str) -> bool {
    line.contains("] Workflow 'work' completed in ")
}

/// Whether a line of the log is about a run that has failed, or about ourselves.
fn is_bad(line: &str) -> bool {
    line.contains("] Workflow '") && line.contains(" failed") || line.contains("panicked")
}

/// `adit WHAT` with a file of its own, in a folder of its own.
pub(super) fn command(kit: &Kit, what: &str, file: &str) -> anyhow::Result<Command> {
    let folder = kit.folder()?;
    let path = write(&folder, file)?;
    let mut command = Command::new(&kit.adit);
    command
        .arg(what)
        .arg("-f")
        .arg(path)
        .current_dir(&folder)
        .env("XDG_RUNTIME_DIR", &folder)
        .env_remove("ADIT_LOG");
    Ok(command)
}

fn write(folder: &Path, file: &str) -> anyhow::Result<PathBuf> {
    let path = folder.join("adit.yml");
    fs::write(&path, file).context("cannot write a file")?;
    Ok(path)
}

/// A workflow that asks the service and waits for its callback. Another one is there for
/// strangers to start.
fn up_file(site: Site, triggers: SocketAddr, service: SocketAddr) -> String {
    let (api, callbacks, triggers) = (site.api.port(), site.callbacks.port(), triggers.port());
    format!(
        r"controller:
  type: http-server
  host: 127.0.0.1
  port: {api}

listeners:
  - type: http-callback
    host: 127.0.0.1
    port: {callbacks}
    path: /callback
    identify_by: ${{body.run}}
    result: ${{body.result}}
  - type: http-trigger
    host: 127.0.0.1
    port: {triggers}
    path: /trigger
    workflow: ${{body.workflow}}

components:
  - id: service
    type: http-client
    action:
      endpoint: http://{service}/work
      method: POST
      body:
        number: ${{input.number}}
        run: ${{context.run_id}}
      completion:
        type: callback
        wait_for: ${{context.run_id}}
      output: ${{result}}

workflows:
  - id: work
    default: true
    job:
      component: service
  - id: strange
    job:
      type: delay
      duration: 1ms
"
    )
}

/// A workflow whose one job asks the service; nothing has to listen.
pub(super) fn run_file(service: SocketAddr) -> String {
    format!(
        r"component:
  type: http-client
  action:
    endpoint: http://{service}/work
    method: POST
    body:
      number: ${{input.number}}
      run: ${{context.run_id}}

workflow:
  job:
    input: ${{input}}
"
    )
}

/// Until thousands of runs have asked, or have ended, on a busy machine.
const DEADLINE: Duration = Duration::from_mins(2);

/// Between two looks whether it serves.
const PAUSE: Duration = Duration::from_millis(1);
