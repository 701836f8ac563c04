//! The gateways that this machine is a device of: where they are, by which key it logs in, which host key they have.
//!
//! Each has a folder of its own below the directory for state, for its user alone: `id_ed25519`, `known_hosts`, and
//! `gateway.json`, which is written last. A folder that is being made has another name, and what it has made is used
//! again by the next try, so that a code that was used by a key is asked about with that key.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use adit_tunnel::agent::join::make_key;
use adit_tunnel::ssh_config::Wanted;
use anyhow::Context as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::info;

use crate::config::option::SshOption;
use crate::config::{Surroundings, Written};

/// What is kept of a gateway, besides its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// The name or address by which it was joined.
    pub(crate) host: String,
    /// Its port.
    pub(crate) port: u16,
    /// What this machine is called there.
    pub(crate) device: String,
    /// The domain that names are under.
    pub(crate) domain: Option<String>,
    /// When it was joined.
    pub(crate) joined: Timestamp,
}

/// A gateway that was joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Enrolled {
    folder: PathBuf,
    pub(crate) entry: Entry,
}

/// A gateway that is being joined.
#[derive(Debug)]
pub(crate) struct Joining {
    folder: PathBuf,
    becomes: PathBuf,
}

/// Below the directory for state.
const FOLDER: &str = "adit/gateways";
const KEY: &str = "id_ed25519";
const KNOWN_HOSTS: &str = "known_hosts";
const ENTRY: &str = "gateway.json";
/// What is behind the name of a folder that is being made.
const JOINING: &str = ".joining";
/// What is behind the name of one that is replaced.
const OLD: &str = ".old";

impl Enrolled {
    /// All of them, in the order of their names. One that cannot be read is left out, and said.
    pub(crate) fn all(surroundings: &Surroundings) -> Vec<Self> {
        let folders = folder(surroundings).and_then(|folder| Ok(fs::read_dir(folder)?));
        let mut all: Vec<Self> = folders
            .into_iter()
            .flatten()
            .filter_map(|entry| Self::read(&entry.ok()?.path()))
            .collect();
        all.sort_by(|one, other| one.folder.cmp(&other.folder));
        all
    }

    /// Those of that name or address; at that port, if it is said.
    pub(crate) fn of_host(
        surroundings: &Surroundings,
        host: &str,
        port: Option<u16>,
    ) -> Option<Self> {
        let all = Self::all(surroundings).into_iter();
        let mut of_host = all.filter(|it| it.entry.host.eq_ignore_ascii_case(host));
        of_host.find(|it| port.is_none_or(|port| it.entry.port == port))
    }

    /// What is written of a tunnel there: logged in as the device, and checked by its own known host.
    pub(crate) fn written(&self, mut written: Written) -> Written {
        let Entry {
            host, port, device, ..
        } = &self.entry;
        written.wanted = Wanted {
            host: host.clone(),
            user: Some(device.clone()),
            port: Some(*port),
        };
        written.keys = vec![self.key()];
        written
            .options
            .push(SshOption::known_hosts(self.folder.join(KNOWN_HOSTS)));
        written
    }

    /// The file of the key that this machine logs in with.
    pub(crate) fn key(&self) -> PathBuf {
        self.folder.join(KEY)
    }

    fn read(folder: &Path) -> Option<Self> {
        let name = folder.file_name()?.to_str()?;
        if name.ends_with(JOINING) || name.ends_with(OLD) {
            return None;
        }
        let text = fs::read(folder.join(ENTRY)).ok()?;
        let entry = serde_json::from_slice(&text);
        let entry = entry.inspect_err(|error| {
            let file = folder.join(ENTRY);
            tracing::warn!(file = %file.display(), %error, "gateway is left out");
        });
        Some(Self {
            folder: folder.to_owned(),
            entry: entry.ok()?,
        })
    }
}

/// What is written of a tunnel, as the device that this machine is at that host: where nothing else is said of who logs
/// in there and how.
pub(crate) fn apply(written: &Written, surroundings: &Surroundings) -> Option<Written> {
    let says_who = !written.keys.is_empty() || !written.pins.is_empty();
    let says_host = |option: &SshOption| matches!(option, SshOption::UserKnownHostsFile(_));
    if says_who || written.options.iter().any(says_host) {
        return None;
    }
    let Wanted { host, user, port } = &written.wanted;
    let found = Enrolled::of_host(surroundings, host, *port)?;
    let Entry { port, device, .. } = &found.entry;
    if user.as_ref().is_some_and(|user| user != device) {
        return None;
    }
    info!(
        host,
        port, device, "this machine has joined that gateway, and logs in there as that device"
    );
    Some(found.written(written.clone()))
}

impl Joining {
    /// Begins, or goes on with what an earlier try has left.
    ///
    /// # Errors
    ///
    /// It was joined before and that is not to be replaced, or files cannot be made.
    pub(crate) fn begin(
        surroundings: &Surroundings,
        host: &str,
        port: u16,
        is_again: bool,
    ) -> anyhow::Result<Self> {
        if let Some(there) = Enrolled::of_host(surroundings, host, Some(port)).filter(|_| !is_again)
        {
            anyhow::bail!(
                "this machine has joined {host} already, as {}: say --again to join it anew, with another code and key",
                there.entry.device
            );
        }
        let name = format!("{}_{port}", host.to_ascii_lowercase());
        let above = folder(surroundings)?;
        let joining = Self {
            folder: above.join(format!("{name}{JOINING}")),
            becomes: above.join(name),
        };
        let made = joining.make();
        made.with_context(|| format!("cannot make {}", joining.folder.display()))?;
        Ok(joining)
    }

    fn make(&self) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        // What the host was known by in an earlier try, another code may say otherwise.
        match fs::remove_file(self.known_hosts()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        if !self.key().try_exists()? {
            make_key(&self.key(), "adit")?;
        }
        Ok(())
    }

    /// The file of the key that is to be the device's.
    pub(crate) fn key(&self) -> PathBuf {
        self.folder.join(KEY)
    }

    /// The file that the gateway's host key is written to.
    pub(crate) fn known_hosts(&self) -> PathBuf {
        self.folder.join(KNOWN_HOSTS)
    }

    /// It is joined.
    ///
    /// # Errors
    ///
    /// It cannot be written down. The next try finds the key.
    pub(crate) fn done(self, entry: Entry) -> anyhow::Result<Enrolled> {
        let written = || -> anyhow::Result<()> {
            fs::write(self.folder.join(ENTRY), serde_json::to_vec_pretty(&entry)?)?;
            let mut old = self.becomes.clone().into_os_string();
            old.push(OLD);
            let old = PathBuf::from(old);
            if self.becomes.try_exists()? {
                if old.try_exists()? {
                    fs::remove_dir_all(&old)?;
                }
                fs::rename(&self.becomes, &old)?;
            }
            fs::rename(&self.folder, &self.becomes)?;
            Ok(())
        };
        written().with_context(|| format!("cannot write {}", self.becomes.display()))?;
        Ok(Enrolled {
            folder: self.becomes,
            entry,
        })
    }
}

fn folder(surroundings: &Surroundings) -> anyhow::Result<PathBuf> {
    let state = surroundings.state();
    let state = state.context("neither XDG_STATE_HOME nor HOME is set")?;
    Ok(state.join(FOLDER))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn entry(host: &str, port: u16) -> Entry {
        Entry {
            host: String::from(host),
            port,
            device: String::from("red001"),
            domain: Some(String::from("gw.example")),
            joined: "2026-11-23T00:00:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn a_try_that_failed_leaves_its_key_to_the_next_and_nothing_to_others() {
        let home = tempfile::tempdir().unwrap();
        let around = Surroundings::of_home(home.path(), None);
        let first = Joining::begin(&around, "gw.example", 2222, false).unwrap();
        let key = fs::read(first.key()).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&first.key()), mode(&first.folder)), (0o600, 0o700));
        fs::write(first.known_hosts(), "another host").unwrap();
        drop(first);
        assert_eq!(Enrolled::all(&around), []);
        let second = Joining::begin(&around, "GW.example", 2222, false).unwrap();
        assert_eq!(fs::read(second.key()).unwrap(), key);
        assert!(!second.known_hosts().exists());
        let done = second.done(entry("gw.example", 2222)).unwrap();
        assert_eq!(Enrolled::all(&around), std::slice::from_ref(&done));
        assert_eq!(fs::read(done.key()).unwrap(), key);
    }

    #[test]
    fn a_gateway_is_joined_once_unless_it_is_said_again() {
        let home = tempfile::tempdir().unwrap();
        let around = Surroundings::of_home(home.path(), None);
        let join = |is_again| Joining::begin(&around, "gw.example", 2222, is_again);
        let first = join(false)
            .unwrap()
            .done(entry("gw.example", 2222))
            .unwrap();
        let key = fs::read(first.key()).unwrap();
        let error = join(false).unwrap_err().to_string();
        assert!(
            error.contains("as red001") && error.contains("--again"),
            "{error}"
        );
        for _ in 0..2 {
            join(true).unwrap().done(entry("gw.example", 2222)).unwrap();
        }
        assert_ne!(fs::read(first.key()).unwrap(), key);
        assert_eq!(Enrolled::all(&around).len(), 1);
        let other = Joining::begin(&around, "gw.example", 22, false).unwrap();
        other.done(entry("gw.example", 22)).unwrap();
        let of = |port| {
            Enrolled::of_host(&around, "gw.EXAMPLE", port)
                .unwrap()
                .entry
                .port
        };
        assert_eq!((of(Some(22)), of(Some(2222))), (22, 2222));
        assert_eq!(Enrolled::of_host(&around, "example", None), None);
    }
}
