//! `adit service`: what is started at boot.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use adit_fleet::unit::{self, Account};
use anyhow::{Context as _, bail, ensure};
use rustix::process::geteuid;

use self::place::{Installed, Place, Written};
use crate::cli::{Init, InstallArguments, LogsArguments, ServiceArguments, ServiceCommand, What};
use crate::config::Surroundings;
use crate::log::say;

mod place;
mod subject;

/// Does what was asked.
pub(crate) fn run(command: ServiceCommand) -> anyhow::Result<ExitCode> {
    match command {
        ServiceCommand::Install(arguments) => install(&arguments),
        ServiceCommand::Uninstall(service) => uninstall(&service),
        ServiceCommand::Status(service) => status(&service),
        ServiceCommand::Logs(arguments) => logs(&arguments),
    }
}

fn install(arguments: &InstallArguments) -> anyhow::Result<ExitCode> {
    let surroundings = Surroundings::of_this_process();
    let service = &arguments.service;
    let place = Place::of(service, &surroundings)?;
    let unit = subject::unit(arguments, &place.name, &surroundings)?;
    if place.init != Init::Systemd {
        ensure!(
            unit.unit.credentials.is_empty(),
            "only systemd hands credentials on: name the file of a secret in the settings instead"
        );
        ensure!(
            matches!(unit.unit.account, Account::User(_)),
            "only systemd makes a user for a service: say whose it is with --run-as USER"
        );
    }
    let text = match (place.init, service.user) {
        (Init::Systemd, true) => unit::user(&unit.unit),
        (Init::Systemd, false) => unit::system(&unit.unit),
        (Init::Openrc, _) => unit::openrc(&unit.unit),
        (Init::Sysv, _) => unit::sysv(&unit.unit),
    };
    if service.dry_run {
        let mut words = format!("# {}\n{text}", place.file.display());
        for line in begin(&place, Written::New) {
            write!(words, "\n# then: {}", line.join(" ")).ok();
        }
        return print(&(words + "\n"));
    }
    place.ensure_may_write()?;
    if place.root.is_none() {
        for (path, owner) in &unit.made {
            subject::make(path, *owner)?;
        }
    }
    let written = place.write(&text)?;
    for line in begin(&place, written) {
        call(&line)?;
    }
    if written == Written::Changed && place.init == Init::Systemd && place.root.is_none() {
        // What runs is what was there before.
        call(&place.systemctl(&["restart"], true))?;
    }
    let shown = place.file.display();
    match written {
        _ if place.root.is_some() => say(&format!(
            "{shown} is written; it is started when that machine boots"
        )),
        Written::New => say(&format!(
            "{shown} is written, {} is enabled and started",
            place.name
        )),
        Written::Changed => say(&format!(
            "{shown} is changed, {} is started anew",
            place.name
        )),
        Written::Same => say(&format!("{shown} is as it was, {} runs", place.name)),
    }
    if !unit.whose.is_empty() {
        say(&format!("it runs as {}", unit.whose));
    }
    if service.user && !lingers(&surroundings) {
        say(
            "it ends with your last session: sudo loginctl enable-linger $USER has it started at boot",
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// What is called once the file is there, in order.
fn begin(place: &Place, written: Written) -> Vec<Vec<String>> {
    let verb = if written == Written::Changed {
        "restart"
    } else {
        "start"
    };
    let name = place.name.as_str().to_owned();
    let words = |words: &[&str]| {
        words
            .iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>()
    };
    if place.root.is_some() {
        return match place.init {
            Init::Systemd => vec![place.systemctl(&["enable"], true)],
            Init::Openrc | Init::Sysv => Vec::new(),
        };
    }
    match place.init {
        Init::Systemd => vec![
            place.systemctl(&["daemon-reload"], false),
            place.systemctl(&["enable", "--now"], true),
        ],
        Init::Openrc => vec![
            words(&["rc-update", "add", &name, "default"]),
            words(&["rc-service", &name, verb]),
        ],
        Init::Sysv => {
            let mut lines = Vec::new();
            if Path::new("/usr/sbin/update-rc.d").exists() {
                lines.push(words(&["update-rc.d", &name, "defaults"]));
            }
            lines.push(words(&[&place.file.display().to_string(), verb]));
            lines
        }
    }
}

fn uninstall(service: &ServiceArguments) -> anyhow::Result<ExitCode> {
    let place = Place::of(service, &Surroundings::of_this_process())?;
    match place.installed()? {
        Installed::No => {
            say(&format!("{} is not installed", place.name));
            return Ok(ExitCode::SUCCESS);
        }
        Installed::Foreign => bail!(place.foreign()),
        Installed::Ours => {}
    }
    let name = place.name.as_str().to_owned();
    let end = match place.init {
        Init::Systemd if place.root.is_some() => vec![place.systemctl(&["disable"], true)],
        Init::Openrc | Init::Sysv if place.root.is_some() => Vec::new(),
        Init::Systemd => vec![place.systemctl(&["disable", "--now"], true)],
        Init::Openrc => vec![
            vec!["rc-service".to_owned(), name.clone(), "stop".to_owned()],
            vec!["rc-update".to_owned(), "del".to_owned(), name],
        ],
        Init::Sysv => vec![vec![place.file.display().to_string(), "stop".to_owned()]],
    };
    if service.dry_run {
        let mut lines = String::new();
        for line in &end {
            writeln!(lines, "# {}", line.join(" ")).ok();
        }
        return print(&format!("{lines}# rm {}\n", place.file.display()));
    }
    place.ensure_may_write()?;
    for line in &end {
        call(line)?;
    }
    place.remove()?;
    match place.init {
        _ if place.root.is_some() => {}
        Init::Systemd => call(&place.systemctl(&["daemon-reload"], false))?,
        Init::Sysv if Path::new("/usr/sbin/update-rc.d").exists() => {
            let words = ["update-rc.d", place.name.as_str(), "remove"];
            call(&words.map(str::to_owned))?;
        }
        Init::Openrc | Init::Sysv => {}
    }
    say(&format!(
        "{} has ended, and {} is gone",
        place.name,
        place.file.display()
    ));
    Ok(ExitCode::SUCCESS)
}

fn status(service: &ServiceArguments) -> anyhow::Result<ExitCode> {
    let place = Place::of(service, &Surroundings::of_this_process())?;
    let installed = place.installed()?;
    let file = place.file.display();
    let mut words = match installed {
        Installed::No => format!("{}: not installed\n", place.name),
        Installed::Foreign => format!("{}: {file} is not adit's\n", place.name),
        Installed::Ours => format!("{}: installed, {file}\n", place.name),
    };
    let mut runs = false;
    if installed != Installed::No && place.root.is_none() {
        match place.init {
            Init::Systemd => {
                let shown = place.systemctl(
                    &[
                        "show",
                        "--property=UnitFileState,ActiveState,SubState,MainPID,NRestarts,ActiveEnterTimestamp",
                    ],
                    true,
                );
                let output = output(&shown)?;
                let value = |key: &str| {
                    let mut lines = output.lines().filter_map(|line| line.split_once('='));
                    lines
                        .find(|(name, _)| *name == key)
                        .map_or("", |(_, value)| value)
                };
                runs = value("ActiveState") == "active";
                write!(
                    words,
                    "at boot: {}\nnow: {} ({}) since {}, process {}, started again {} times\n",
                    value("UnitFileState"),
                    value("ActiveState"),
                    value("SubState"),
                    value("ActiveEnterTimestamp"),
                    value("MainPID"),
                    value("NRestarts"),
                )
                .ok();
            }
            Init::Openrc => {
                runs = succeeds(&["rc-service", place.name.as_str(), "status"])?;
            }
            Init::Sysv => {
                runs = succeeds(&[&place.file.display().to_string(), "status"])?;
            }
        }
        if place.init != Init::Systemd {
            words.push_str(if runs {
                "now: active\n"
            } else {
                "now: inactive\n"
            });
        }
    }
    print(&words)?;
    Ok(if runs {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn logs(arguments: &LogsArguments) -> anyhow::Result<ExitCode> {
    let place = Place::of(&arguments.service, &Surroundings::of_this_process())?;
    ensure!(
        place.installed()? != Installed::No,
        "{} is not installed, and has no log",
        place.name
    );
    let lines = arguments.lines.to_string();
    let mut words: Vec<String> = match place.init {
        Init::Systemd => {
            let mut words = vec!["journalctl", "--no-pager", "-n", &lines];
            words.push(if arguments.service.user {
                "--user-unit"
            } else {
                "--unit"
            });
            words.push(place.name.as_str());
            words.into_iter().map(str::to_owned).collect()
        }
        Init::Openrc | Init::Sysv => {
            let log = format!("/var/log/{}.log", place.name);
            vec!["tail".to_owned(), "-n".to_owned(), lines, log]
        }
    };
    if arguments.follow {
        words.insert(1, "-f".to_owned());
    }
    if arguments.service.dry_run {
        return print(&format!("# {}\n", words.join(" ")));
    }
    Ok(
        if command(&words)?
            .status()
            .with_context(|| cannot(&words))?
            .success()
        {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        },
    )
}

/// Whether the user's own systemd runs without a session.
fn lingers(surroundings: &Surroundings) -> bool {
    let user = surroundings.user().unwrap_or_default();
    Path::new("/var/lib/systemd/linger").join(user).exists()
}

fn command(words: &[String]) -> anyhow::Result<Command> {
    let (program, arguments) = words.split_first().context("there is nothing to call")?;
    let mut command = Command::new(program);
    command.args(arguments);
    Ok(command)
}

fn cannot(words: &[String]) -> String {
    format!("cannot call {}", words.join(" "))
}

/// Calls a program, which succeeds.
fn call(words: &[String]) -> anyhow::Result<()> {
    let mut command = command(words)?;
    // What it prints beside errors is for whoever calls it by hand.
    let status = command
        .stdout(Stdio::null())
        .status()
        .with_context(|| cannot(words))?;
    ensure!(status.success(), "{} failed: {status}", words.join(" "));
    Ok(())
}

fn output(words: &[String]) -> anyhow::Result<String> {
    let output = command(words)?.output().with_context(|| cannot(words))?;
    ensure!(
        output.status.success(),
        "{} failed: {}",
        words.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn succeeds(words: &[&str]) -> anyhow::Result<bool> {
    let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
    let mut command = command(&words)?;
    command.stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command.status().with_context(|| cannot(&words))?.success())
}

fn print(text: &str) -> anyhow::Result<ExitCode> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// The name of a service that nobody has named.
fn usual_name(what: What) -> &'static str {
    match what {
        What::Up => "adit-up",
        What::Serve => "adit-gateway",
        What::Hosts => "adit-hosts",
    }
}

/// Whether this process may change the machine.
fn is_root() -> bool {
    geteuid().is_root()
}
