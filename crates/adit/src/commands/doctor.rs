//! `adit doctor`: what is wrong with a tunnel, from this machine's clock to the bytes that come through.
//!
//! What a check says is a function of what was seen, and stands apart from the looking.

use std::io::{self, Write as _};
use std::process::ExitCode;

use adit_tunnel::agent::probe::Prober;
use adit_tunnel::agent::supervise::TunnelConfig;
use adit_tunnel::agent::target::Kind;
use anyhow::Context as _;
use serde::Serialize;

use self::diagnosis::{Diagnosis, State};
use self::examination::Reached;
use crate::cli::DoctorArguments;
use crate::compose;
use crate::config::{Surroundings, config, file, has_keep_alive_off};
use crate::files;
use crate::log::say;
use crate::signal::signalled;
use crate::terminal::Restore;

mod clock;
mod diagnosis;
mod examination;
mod link;
mod local;
mod login;
mod path;
mod reach;
mod running;
mod there;

/// A tunnel that is looked at.
struct Patient {
    /// The tunnel's name, or the host.
    name: String,
    config: TunnelConfig,
    /// What targets are said to be, by the places of their forwards.
    kinds: Vec<(usize, Kind)>,
    /// Whether ssh(1) would never notice that the connection is dead.
    keep_alive_off: bool,
}

/// Tells diagnoses as they come.
struct Teller<'a> {
    name: &'a str,
    is_json: bool,
    worst: State,
}

/// A diagnosis as JSON, with whom it is about.
#[derive(Serialize)]
struct Line<'a> {
    target: &'a str,
    #[serde(flatten)]
    diagnosis: &'a Diagnosis,
}

/// Looks at each tunnel in turn.
pub(crate) fn run(arguments: &DoctorArguments) -> anyhow::Result<ExitCode> {
    if let Some(few) = files::complaint() {
        say(&few);
    }
    let surroundings = Surroundings::of_this_process();
    let patients = patients(arguments, &surroundings)?;
    let prober = Prober::new().ok().context("the system has no randomness")?;
    let restore = Restore::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let has_many = patients.len() > 1;
    let looked = async {
        let (mut worst, mut reached) = (State::Ok, Reached::new());
        for (number, patient) in patients.iter().enumerate() {
            let mut teller = Teller {
                name: &patient.name,
                is_json: arguments.json,
                worst: State::Ok,
            };
            if !arguments.json && has_many {
                let gap = if number > 0 { "\n" } else { "" };
                writeln!(io::stdout().lock(), "{gap}{}", patient.name)?;
            }
            Box::pin(patient.examine(&surroundings, &prober, &mut reached, &mut teller)).await?;
            worst = worst.max(teller.worst);
        }
        anyhow::Ok(if worst == State::Fail {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    };
    let code = runtime.block_on(async {
        let signal = signalled()?;
        tokio::select! {
            biased;
            code = signal => Ok(code),
            code = looked => code,
        }
    });
    // A question that nobody has answered would be waited for.
    runtime.shutdown_background();
    drop(restore);
    code
}

/// Those that are named: a tunnel of a file by its name, else a host, or all of the file.
fn patients(
    arguments: &DoctorArguments,
    surroundings: &Surroundings,
) -> anyhow::Result<Vec<Patient>> {
    let files = match &arguments.target {
        None => file::named_or_usual(&arguments.files)?,
        Some(_) if !arguments.files.is_empty() => arguments.files.clone(),
        Some(_) => file::usual().into_iter().collect(),
    };
    let of_tunnel = |tunnel: crate::tunnels::Tunnel| Patient {
        name: tunnel.name,
        config: tunnel.config,
        kinds: tunnel
            .checks
            .into_iter()
            .map(|check| (check.number, check.kind))
            .collect(),
        keep_alive_off: false,
    };
    let Some(target) = &arguments.target else {
        let loaded = compose::load(&files, &arguments.environment, surroundings)?;
        return Ok(loaded.tunnels.into_iter().map(of_tunnel).collect());
    };
    if target.user.is_none() && !files.is_empty() {
        let tunnels = match compose::load(&files, &arguments.environment, surroundings) {
            Ok(loaded) => loaded.tunnels,
            // One that is merely there may have nothing to do with this host; one that is named has.
            Err(error) if arguments.files.is_empty() => {
                say(&format!("the file here is not used: {error:#}"));
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        let mut named = tunnels
            .into_iter()
            .filter(|tunnel| tunnel.name == target.host);
        if let Some(tunnel) = named.next() {
            return Ok(vec![of_tunnel(tunnel)]);
        }
    }
    anyhow::ensure!(
        arguments.files.is_empty(),
        "there is no tunnel {} in that file",
        target.host
    );
    let written = arguments.written(target);
    Ok(vec![Patient {
        name: target.host.clone(),
        config: config(&written, surroundings)?,
        kinds: Vec::new(),
        keep_alive_off: has_keep_alive_off(&written, surroundings)?,
    }])
}

impl Teller<'_> {
    fn tell(&mut self, diagnosis: &Diagnosis) -> anyhow::Result<()> {
        self.worst = self.worst.max(diagnosis.state);
        let text = if self.is_json {
            let target = self.name;
            serde_json::to_string(&Line { target, diagnosis })
                .context("cannot write a diagnosis")?
        } else {
            diagnosis.to_string()
        };
        writeln!(io::stdout().lock(), "{text}")?;
        Ok(())
    }

    fn tell_all(&mut self, diagnoses: &[Diagnosis]) -> anyhow::Result<()> {
        diagnoses
            .iter()
            .try_for_each(|diagnosis| self.tell(diagnosis))
    }
}
