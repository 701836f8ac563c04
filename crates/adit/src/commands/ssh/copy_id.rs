//! `adit ssh copy-id`: hosts take a key, and prove it.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use adit_fleet::host::Host;
use adit_fleet::key_line::{self, KeyLine};
use adit_tunnel::agent::connect::SshConnect;
use adit_tunnel::agent::errand::Errands;
use adit_tunnel::agent::join::make_key;
use adit_tunnel::agent::login::credentials::{AgentKeys, KeyChoice};
use adit_tunnel::agent::login::keys::public_text;
use adit_tunnel::transport::ssh::Memory;
use anyhow::{Context as _, ensure};

use super::far::{self, Which};
use super::wait_for;
use crate::cli::CopyIdArguments;
use crate::config::ask::{Given, Sources};
use crate::config::{Surroundings, config};
use crate::log;
use crate::names;

/// The key that the hosts are to take.
struct Key {
    /// Its file.
    file: PathBuf,
    line: KeyLine,
}

/// What was done at a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    Added,
    Already,
}

/// The key that is made where none is named, below the home directory: ssh's own first.
const USUAL: &str = ".ssh/id_ed25519";

/// One host after the other.
pub(super) fn run(arguments: &CopyIdArguments) -> anyhow::Result<ExitCode> {
    let surroundings = Surroundings::of_this_process();
    let hosts = names::of_one(&arguments.names, &arguments.groups, &surroundings)?;
    let usual = surroundings.below_home(Path::new(USUAL))?;
    let file = arguments.key.clone().unwrap_or_else(|| usual.clone());
    let is_there = file.try_exists()?;
    ensure!(
        is_there || arguments.key.is_none(),
        "there is no key {}: without -i, {} is made and taken",
        file.display(),
        usual.display()
    );
    if arguments.dry_run {
        return plan(&hosts, &file, is_there);
    }
    if !is_there {
        make(&file, &comment(&surroundings))?;
        log::say(&format!(
            "{} was made, without a passphrase: whoever can read it can log in where it is taken",
            file.display()
        ));
    }
    let key = Key::read(file, &surroundings)?;
    let mut code = ExitCode::SUCCESS;
    for host in &hosts {
        let done = match wait_for(copy(arguments, host, &key, &surroundings)) {
            Ok(Err(interrupted)) => return Ok(interrupted),
            Ok(Ok(done)) => Ok(done),
            Err(error) => Err(error),
        };
        let said = match done {
            Ok(Done::Added) => String::from("key was added, and logs in"),
            Ok(Done::Already) => String::from("key was there already, and logs in"),
            Err(error) => {
                code = ExitCode::FAILURE;
                format!("failed: {error:#}")
            }
        };
        writeln!(io::stdout().lock(), "{}: {said}", host.name)?;
    }
    Ok(code)
}

/// Says what would be done.
fn plan(hosts: &[Host], file: &Path, is_there: bool) -> anyhow::Result<ExitCode> {
    let mut stdout = io::stdout().lock();
    if !is_there {
        writeln!(
            stdout,
            "{} would be made, without a passphrase",
            file.display()
        )?;
    }
    for host in hosts {
        writeln!(
            stdout,
            "{}: the public half of {} would be added to {}, unless it is there, and a login by it tried",
            host.name,
            file.display(),
            Which::AuthorizedKeys.name()
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn copy(
    arguments: &CopyIdArguments,
    host: &Host,
    key: &Key,
    surroundings: &Surroundings,
) -> anyhow::Result<Done> {
    let first = config(&arguments.written(host, Vec::new()), surroundings)?;
    let connect = SshConnect::new(&first.peer, Memory::of_this_machine())?;
    let errands = Errands::begin(&connect)
        .await
        .context("cannot log in to leave the key there")?;
    let added = add(&errands, key).await;
    errands.end().await;
    let (done, is_home_open) = added?;
    let proved = prove(arguments, host, key, surroundings).await;
    proved.with_context(|| {
        let mut words = String::from(match done {
            Done::Added => "the key was added, but does not log in",
            Done::Already => "the key was there already, but does not log in",
        });
        if is_home_open {
            words.push_str(
                ": others can write to the home directory there, and sshd takes no key from it then; chmod go-w ~ there",
            );
        }
        words
    })?;
    Ok(done)
}

async fn add(errands: &Errands, key: &Key) -> anyhow::Result<(Done, bool)> {
    let which = Which::AuthorizedKeys;
    let found = far::read(errands, which).await?;
    let old = found.content.as_deref().unwrap_or_default();
    let (new, done) = match key_line::add(old, &key.line) {
        Some(new) => (new, Done::Added),
        // Written all the same: that makes file and folder nobody else's to write, as sshd wants them.
        None => (old.to_vec(), Done::Already),
    };
    far::write(errands, which, &found, &new).await?;
    Ok((done, found.is_home_open))
}

/// Logs in by that key alone, and leaves.
async fn prove(
    arguments: &CopyIdArguments,
    host: &Host,
    key: &Key,
    surroundings: &Surroundings,
) -> anyhow::Result<()> {
    let mut again = config(
        &arguments.written(host, vec![key.file.clone()]),
        surroundings,
    )?;
    let login = &mut again.peer.login;
    login.keys = vec![key.file.clone()];
    login.choice = KeyChoice::Named;
    login.agent_keys = AgentKeys::Named;
    login.certificates = Vec::new();
    let passphrase = arguments.passphrase_file.clone().map(Given::File);
    login.ask = Arc::new(Sources::given(passphrase, None));
    let connect = SshConnect::new(&again.peer, Memory::of_this_machine())?;
    Errands::begin(&connect).await?.end().await;
    Ok(())
}

impl Key {
    fn read(file: PathBuf, surroundings: &Surroundings) -> anyhow::Result<Self> {
        let line = public_text(&file)?;
        let key: KeyLine = format!("{line} {}", comment(surroundings)).parse()?;
        // Its own comment, if its public half is there.
        let mut beside = file.clone().into_os_string();
        beside.push(".pub");
        let written = std::fs::read_to_string(PathBuf::from(beside)).ok();
        let written: Option<KeyLine> = written.and_then(|text| text.parse().ok());
        let line = written.filter(|it| it.is_key_of(&key)).unwrap_or(key);
        Ok(Self { file, line })
    }
}

/// Whose key it is: `user@machine`.
fn comment(surroundings: &Surroundings) -> String {
    let local = surroundings.local();
    let user = local.user.as_deref().unwrap_or("user");
    format!("{user}@{}", local.host_name)
}

/// Makes a key and its public half, in new files.
fn make(file: &Path, comment: &str) -> anyhow::Result<()> {
    let made = || -> anyhow::Result<()> {
        if let Some(folder) = file.parent().filter(|it| !it.exists()) {
            DirBuilder::new().mode(0o700).create(folder)?;
        }
        make_key(file, comment)?;
        let line = public_text(file)?;
        let mut public = file.to_owned().into_os_string();
        public.push(".pub");
        let mut options = OpenOptions::new();
        let mut public = options
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(PathBuf::from(public))?;
        writeln!(public, "{line} {comment}")?;
        public.sync_all()?;
        Ok(())
    };
    made().with_context(|| format!("cannot make the key {}", file.display()))
}
