//! `adit ssh config`: a block of ssh's configuration, here or at another machine.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use adit_fleet::host::{Host, HostName, UserName};
use adit_fleet::ssh_block::{self, Block, Front};
use adit_fleet::table::{Service, Table};
use adit_tunnel::agent::connect::SshConnect;
use adit_tunnel::agent::errand::Errands;
use adit_tunnel::ssh_config::{Local, USER_FILE};
use adit_tunnel::transport::ssh::Memory;
use anyhow::Context as _;

use super::check::{Where, overruled};
use super::far::{self, Which};
use super::file::{Kept, look};
use super::wait_for;
use crate::cli::ConfigArguments;
use crate::config::destination::Destination;
use crate::config::{Surroundings, config};
use crate::hosts::place::Place;
use crate::log;
use crate::names::{self, as_user, usage};

/// The port of an sshd, at its host.
const SSH: u16 = 22;

/// What is to become of the file.
enum Change {
    Write(Block),
    Remove(HostName),
}

/// Writes the block, takes it away, or shows what would be.
pub(super) fn run(arguments: &ConfigArguments) -> anyhow::Result<ExitCode> {
    let surroundings = Surroundings::of_this_process();
    let change = match &arguments.remove {
        Some(manager) => Change::Remove(manager.clone()),
        None => Change::Write(block(arguments, &surroundings)?),
    };
    if let Some(there) = &arguments.laptop {
        return at_laptop(arguments, there, &change, &surroundings);
    }
    if !arguments.login.keys.is_empty() {
        usage("-i is how to log in at the --laptop; what the block is to say is --identity FILE");
    }
    let mut stdout = io::stdout().lock();
    if let (true, Change::Write(block)) = (arguments.print, &change) {
        write!(stdout, "{block}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let path = match &arguments.file {
        Some(file) => file.clone(),
        None => surroundings.below_home(Path::new(USER_FILE))?,
    };
    let local = surroundings.local();
    if arguments.dry_run {
        let content = look(&path)?.unwrap_or_default();
        let planned = change.apply(&content, &path.display().to_string())?;
        stdout.write_all(planned.as_deref().unwrap_or(&content))?;
        return Ok(ExitCode::SUCCESS);
    }
    if matches!(change, Change::Remove(_)) && look(&path)?.is_none() {
        return change.tell(false, &path.display().to_string());
    }
    let kept = Kept::open(&path)?;
    let place = kept.path().to_owned();
    let planned = change.apply(kept.content(), &place.display().to_string())?;
    let is_changed = match &planned {
        Some(planned) => {
            change.warn(&place, planned, &local, Where::Here);
            kept.replace(planned)?
        }
        None => false,
    };
    change.tell(is_changed, &place.display().to_string())
}

/// The block that the command line asks for.
fn block(arguments: &ConfigArguments, surroundings: &Surroundings) -> anyhow::Result<Block> {
    let (Some(names), Some(manager)) = (&arguments.names, arguments.manager()) else {
        usage("NAMES and MANAGER are missing");
    };
    let manager = Front::new(manager, arguments.manager_host.clone());
    let hosts = names::of_one(names, &arguments.groups, surroundings)?.into_iter();
    if arguments.table {
        let place = Place::open(arguments.data.as_deref(), surroundings)?;
        let table = place.read()?;
        let user = arguments.user.as_ref();
        let at = hosts.map(|host| in_table(host, &table, user, place.folder()));
        let at: Vec<(Host, u16)> = at.collect::<anyhow::Result<_>>()?;
        let block = Block::at_ports(&manager, &at, arguments.identity.as_ref());
        return Ok(block.unwrap_or_else(|error| usage(error)));
    }
    let hosts = hosts.map(|host| as_user(host, arguments.user.as_ref()));
    let hosts: Vec<Host> = hosts.collect();
    let identity = arguments.identity.as_ref();
    let block = match arguments.ports {
        Some(start) => {
            at_ports(&manager, hosts, start).map(|at| Block::at_ports(&manager, &at, identity))
        }
        None => Ok(Block::through(&manager, &hosts, identity)),
    };
    match block {
        Ok(Ok(block)) => Ok(block),
        Ok(Err(error)) => usage(error),
        Err(words) => usage(words),
    }
}

/// A host with the port that the table has for its ssh.
fn in_table(
    host: Host,
    table: &Table,
    user: Option<&UserName>,
    folder: &Path,
) -> anyhow::Result<(Host, u16)> {
    let ssh = Service::local(SSH);
    let mut entries = table.entries().iter();
    let entry = entries.find(|entry| entry.key() == (&host.name, &ssh));
    let entry = entry.with_context(|| {
        let name = &host.name;
        format!("the table in {} has no port for the ssh of {name}: adit host tunnel create {name} {SSH} START", folder.display())
    })?;
    let host = as_user(host, entry.user.as_ref());
    Ok((as_user(host, user), entry.port))
}

/// Each host with its port: `START` and its place among them.
fn at_ports(manager: &Front, hosts: Vec<Host>, start: u16) -> Result<Vec<(Host, u16)>, String> {
    let count = hosts.len();
    let last = usize::from(start).saturating_add(count).saturating_sub(1);
    if last > usize::from(u16::MAX) {
        let name = &manager.name;
        return Err(format!(
            "{count} hosts from port {start} would need ports of {name} up to {last}; the last there is is 65535"
        ));
    }
    Ok(hosts.into_iter().zip(start..=u16::MAX).collect())
}

/// The same at a machine that is logged in at.
fn at_laptop(
    arguments: &ConfigArguments,
    there: &Destination,
    change: &Change,
    surroundings: &Surroundings,
) -> anyhow::Result<ExitCode> {
    let config = config(&arguments.laptop(there), surroundings)?;
    let connect = SshConnect::new(&config.peer, Memory::of_this_machine())?;
    let shown = format!("{} at {}", Which::Config.name(), there.host);
    let work = async {
        let errands = Errands::begin(&connect)
            .await
            .with_context(|| format!("cannot log in at {}", there.host))?;
        let changed = at_there(arguments, &errands, change, &shown).await;
        errands.end().await;
        changed
    };
    match wait_for(work)? {
        Err(code) => Ok(code),
        Ok(None) => Ok(ExitCode::SUCCESS),
        Ok(Some(is_changed)) => change.tell(is_changed, &shown),
    }
}

/// `None` where nothing was to be done but shown.
async fn at_there(
    arguments: &ConfigArguments,
    errands: &Errands,
    change: &Change,
    shown: &str,
) -> anyhow::Result<Option<bool>> {
    let found = far::read(errands, Which::Config).await?;
    let content = found.content.as_deref().unwrap_or_default();
    let planned = change.apply(content, shown)?;
    if arguments.dry_run {
        let planned = planned.as_deref().unwrap_or(content);
        io::stdout().lock().write_all(planned)?;
        return Ok(None);
    }
    let Some(planned) = planned.filter(|planned| planned != content) else {
        return Ok(Some(false));
    };
    // Who is logged in there has another name here.
    change.warn(
        Path::new(USER_FILE),
        &planned,
        &Local::default(),
        Where::There,
    );
    far::write(errands, Which::Config, &found, &planned).await?;
    Ok(Some(true))
}

impl Change {
    /// The file as it is to be; `None` if nothing of it is to be changed.
    fn apply(&self, content: &[u8], shown: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let changed = match self {
            Self::Write(block) => ssh_block::write(content, block).map(Some),
            Self::Remove(manager) => ssh_block::remove(content, manager),
        };
        changed.with_context(|| {
            format!("{shown} has a block that somebody has broken, and nothing is written: mend it, or take its lines out")
        })
    }

    /// Tells what of the block will not count.
    fn warn(&self, path: &Path, planned: &[u8], local: &Local, place: Where) {
        if let Self::Write(block) = self {
            for words in overruled(path, planned, block, local, place) {
                log::warn(&words);
            }
        }
    }

    /// Says what was done.
    fn tell(&self, is_changed: bool, shown: &str) -> anyhow::Result<ExitCode> {
        let said = match (self, is_changed) {
            (Self::Write(block), true) => {
                let count = block.hosts().count().saturating_sub(1);
                let hosts = if count == 1 { "host" } else { "hosts" };
                format!("{shown}: {count} {hosts} behind {}", block.manager())
            }
            (Self::Write(block), false) => {
                format!(
                    "{shown}: {} is there as it should be, nothing was changed",
                    block.manager()
                )
            }
            (Self::Remove(manager), true) => format!("{shown}: {manager} was taken away"),
            (Self::Remove(manager), false) => {
                format!("{shown}: there is no block of {manager}, nothing was changed")
            }
        };
        writeln!(io::stdout().lock(), "{said}")?;
        Ok(ExitCode::SUCCESS)
    }
}
