//! What a service starts, as whom, and what it needs for that.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use adit_fleet::host::UserName;
use adit_fleet::unit::{
    AbsolutePath, Account, Credential, Sandbox, ServiceName, Unit, UnitError, Value, Word,
};
use anyhow::{Context as _, bail, ensure};

use crate::cli::{EnvironmentArguments, InstallArguments, What};
use crate::compose;
use crate::config::{Surroundings, file};

/// Where a gateway keeps what it has, if nobody says it.
const GATEWAY: &str = "/var/lib/adit";
/// The user of a gateway, who is there while it runs.
const GATEWAY_USER: &str = "adit";
/// The accounts of this machine.
const ACCOUNTS: &str = "/etc/passwd";

/// A unit, and what has to be there before it starts.
pub(super) struct Subject {
    pub(super) unit: Unit,
    /// As whom it runs, in words; nothing of a user's own.
    pub(super) whose: String,
    /// What is made if it is not there, and whose it is to be: a file below .ssh, else a directory.
    pub(super) made: Vec<(PathBuf, (u32, u32))>,
}

/// Somebody of this machine.
struct Person {
    name: UserName,
    home: PathBuf,
    ids: (u32, u32),
}

/// The unit of what is asked for.
///
/// # Errors
///
/// A file is not there or wrong, or a path cannot stand in a unit.
pub(super) fn unit(
    arguments: &InstallArguments,
    name: &ServiceName,
    surroundings: &Surroundings,
) -> anyhow::Result<Subject> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let mut unit = Unit {
        name: name.clone(),
        about: "",
        program: path(&program)?,
        arguments: Vec::new(),
        account: Account::User("root".parse()?),
        folder: None,
        environment: Vec::new(),
        writable: Vec::new(),
        state: None,
        credentials: arguments.credential_file.clone(),
        sandbox: Sandbox::Tight,
        reloads: false,
        watchdog: 60,
        stop: 90,
    };
    match arguments.service.what {
        What::Up => up(arguments, unit, surroundings),
        What::Serve => serve(arguments, unit),
        What::Hosts => {
            refuse(&[
                (arguments.config.is_some(), "--config"),
                (!arguments.files.is_empty(), "-f"),
            ])?;
            unit.about = "adit tunnels to hosts";
            unit.arguments = words(&["host", "up", "--data"])?;
            let person = person(arguments, None, surroundings)?;
            let data = match &arguments.data {
                Some(data) => absolute(data)?,
                None if person.ids.0 == 0 => PathBuf::from("/var/lib/adit-hosts"),
                None => person.home.join(".local/state/adit/hosts"),
            };
            unit.arguments.push(text(&data)?.parse()?);
            finish(unit, person, vec![data], arguments)
        }
    }
}

fn up(
    arguments: &InstallArguments,
    mut unit: Unit,
    surroundings: &Surroundings,
) -> anyhow::Result<Subject> {
    let others = [
        (arguments.data.is_some(), "--data"),
        (arguments.config.is_some(), "--config"),
        (arguments.database_file.is_some(), "--database-file"),
    ];
    refuse(&others)?;
    let files = file::named_or_usual(&arguments.files)?;
    // What is wrong with it is told now, and not to nobody at boot.
    let loaded = compose::load(&files, &EnvironmentArguments::default(), surroundings)?;
    let mut names = Vec::new();
    for file in &files {
        let found = file.canonicalize();
        names.push(found.with_context(|| format!("cannot find {}", file.display()))?);
    }
    let first = names.first().context("no file is named")?;
    unit.about = "adit tunnels and workflows";
    unit.arguments = words(&["up"])?;
    for name in &names {
        unit.arguments.extend(words(&["-f", text(name)?])?);
    }
    unit.folder = first.parent().map(path).transpose()?;
    if loaded.has_compose() {
        unit.sandbox = Sandbox::Programs;
    }
    let owner = fs::metadata(first)?.uid();
    let person = person(arguments, Some(owner), surroundings)?;
    for name in &names {
        let found = fs::metadata(name)?;
        let is_own = found.uid() == 0 || found.uid() == person.ids.0;
        ensure!(
            is_own && found.mode() & 0o002 == 0,
            "{} belongs to user {} and has mode {:04o}: whoever can write it decides what {} runs at boot; it has to be root's \
             or {}'s, and not for everybody to write",
            name.display(),
            found.uid(),
            found.mode() & 0o7777,
            person.name,
            person.name
        );
    }
    finish(unit, person, Vec::new(), arguments)
}

fn serve(arguments: &InstallArguments, mut unit: Unit) -> anyhow::Result<Subject> {
    refuse(&[(!arguments.files.is_empty(), "-f")])?;
    unit.about = "adit gateway";
    unit.reloads = true;
    unit.watchdog = 120;
    unit.arguments = words(&["serve"])?;
    if let Some(config) = &arguments.config {
        ensure!(config.exists(), "there is no file {}", config.display());
        unit.arguments
            .extend(words(&["--config", text(&absolute(config)?)?])?);
    }
    let data = match &arguments.data {
        Some(data) => absolute(data)?,
        None => PathBuf::from(GATEWAY),
    };
    unit.arguments.extend(words(&["--data", text(&data)?])?);
    if let Some(database) = &arguments.database_file {
        let file = absolute(database)?;
        let credential = Credential::named("database-url", text(&file)?)?;
        unit.credentials.push(credential.clone());
        let variable = ("ADIT_DATABASE_URL_FILE", Value::File(credential));
        unit.environment.push(variable);
    }
    check(&unit)?;
    if arguments.service.user {
        return Ok(Subject {
            unit,
            whose: String::new(),
            made: Vec::new(),
        });
    }
    let mut made = Vec::new();
    let whose = if let Some(user) = &arguments.run_as {
        let person = find(user.as_str())?;
        unit.writable.push(path(&data)?);
        made.push((data, person.ids));
        unit.account = Account::User(person.name.clone());
        person.name.to_string()
    } else {
        // systemd makes it for whoever the user is then.
        let state = data.strip_prefix("/var/lib").ok().and_then(Path::to_str);
        let Some(Ok(state)) = state.map(str::parse) else {
            bail!(
                "a gateway without --run-as keeps its data directly below /var/lib, as in --data {GATEWAY}, where systemd \
                 makes it for a user of its own"
            );
        };
        let program = unit.program.as_str();
        ensure!(
            !is_in_home(Path::new(program)),
            "{program} is in a home, which a gateway's own user does not see: sudo install -m 755 {program} /usr/local/bin/, \
             and call that"
        );
        unit.state = Some(state);
        unit.account = Account::Dynamic(GATEWAY_USER.parse()?);
        format!("{GATEWAY_USER}, a user that is there while it runs")
    };
    Ok(Subject { unit, whose, made })
}

/// Whether a path is in somebody's home directory, root's included.
fn is_in_home(path: &Path) -> bool {
    let mut parts = path.components().skip(1);
    parts
        .next()
        .is_some_and(|first| first.as_os_str() == "home" || first.as_os_str() == "root")
}

/// Has its own settings read by it, as it would at boot.
fn check(unit: &Unit) -> anyhow::Result<()> {
    let mut command = Command::new(unit.program.as_str());
    command
        .args(unit.arguments.iter().map(Word::as_str))
        .arg("--check");
    let output = command.output().context("cannot call adit serve --check")?;
    ensure!(
        output.status.success(),
        "the gateway would not start: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// Gives it to a person, whose files it may read, and to whom little is to be written.
fn finish(
    mut unit: Unit,
    person: Person,
    folders: Vec<PathBuf>,
    arguments: &InstallArguments,
) -> anyhow::Result<Subject> {
    if arguments.service.user {
        return Ok(Subject {
            unit,
            whose: String::new(),
            made: Vec::new(),
        });
    }
    let mut made: Vec<_> = folders
        .into_iter()
        .map(|folder| (folder, person.ids))
        .collect();
    // Hosts that are met for the first time are written down, and signposts to the control socket.
    made.push((person.home.join(".ssh/known_hosts"), person.ids));
    made.push((person.home.join(".local/state/adit"), person.ids));
    for (path_of, _) in &made {
        unit.writable.push(path(path_of)?);
    }
    let whose = person.name.to_string();
    unit.account = Account::User(person.name);
    Ok(Subject { unit, whose, made })
}

/// Who is meant: whoever is named, the owner of the file, or who called sudo. Never root without a word.
fn person(
    arguments: &InstallArguments,
    owner: Option<u32>,
    surroundings: &Surroundings,
) -> anyhow::Result<Person> {
    if arguments.service.user {
        let name = surroundings
            .user()
            .context("it is not known who you are: set USER")?;
        return find(name);
    }
    if let Some(user) = &arguments.run_as {
        return find(user.as_str());
    }
    if let Some(owner) = owner.filter(|owner| *owner != 0) {
        return find(&owner.to_string());
    }
    match std::env::var("SUDO_USER") {
        Ok(user) if user != "root" && owner.is_none() => find(&user),
        _ => bail!(
            "say whose keys it uses: --run-as USER (root, too, if that is meant), or --user for a service of your own"
        ),
    }
}

/// An account by its name or number.
fn find(wanted: &str) -> anyhow::Result<Person> {
    let text = fs::read_to_string(ACCOUNTS).context("cannot read the accounts of this machine")?;
    for line in text.lines() {
        let fields: Vec<_> = line.split(':').collect();
        if let [name, _, uid, gid, _, home, ..] = fields.as_slice()
            && (*name == wanted || *uid == wanted)
        {
            return Ok(Person {
                name: name.parse()?,
                home: PathBuf::from(home),
                ids: (uid.parse()?, gid.parse()?),
            });
        }
    }
    bail!("there is no user {wanted} in {ACCOUNTS}")
}

/// Makes what is not there: a file below .ssh if that is there, else a directory, both the person's alone. It is done
/// as that person, who may have put links in the way.
///
/// # Errors
///
/// It cannot be made.
pub(super) fn make(path: &Path, (uid, gid): (u32, u32)) -> anyhow::Result<()> {
    let is_file = path.parent().is_some_and(|folder| folder.ends_with(".ssh"));
    if path.exists() || is_file && !path.parent().is_some_and(Path::exists) {
        return Ok(());
    }
    let script = if is_file {
        ": >>\"$1\""
    } else {
        "mkdir -p -- \"$1\""
    };
    let made = Command::new("/bin/sh")
        .args(["-c", &format!("umask 077; {script}"), "sh"])
        .arg(path)
        .uid(uid)
        .gid(gid)
        .current_dir("/")
        .status();
    let shown = path.display();
    let made = made.with_context(|| format!("cannot make {shown}"))?;
    ensure!(
        made.success(),
        "user {uid} cannot make {shown}: make it first, install -d -o {uid} -g {gid} -m 700 {shown}"
    );
    Ok(())
}

/// Arguments of other services.
fn refuse(others: &[(bool, &str)]) -> anyhow::Result<()> {
    for (is_there, name) in others {
        ensure!(!is_there, "{name} has no meaning for this service");
    }
    Ok(())
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("cannot use {}", path.display()))
}

fn words(words: &[&str]) -> anyhow::Result<Vec<Word>> {
    let parsed: Result<_, UnitError> = words.iter().map(|word| word.parse()).collect();
    Ok(parsed?)
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str()
        .with_context(|| format!("{} is no UTF-8", path.display()))
}

fn path(path: impl AsRef<Path>) -> anyhow::Result<AbsolutePath> {
    let path = path.as_ref();
    let parsed = text(path)?.parse();
    parsed.with_context(|| format!("{} cannot stand in a unit", path.display()))
}
