//! Who runs the program where: what a command line or a file means depends on it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use adit_tunnel::agent::dial::ProxyEnvironment;
use adit_tunnel::ssh_config as ssh;
use anyhow::Context as _;
use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::process::getuid;
use tracing::warn;

use super::option::KnownHostsFile;

/// What of a process and its user counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    pub(super) home: Option<PathBuf>,
    pub(super) state: Option<PathBuf>,
    pub(super) user: Option<String>,
    /// Socket of the ssh-agent.
    pub(super) ssh_agent: Option<PathBuf>,
    pub(super) proxies: ProxyEnvironment,
}

/// Keys that are offered when none is named, as ssh(1) has them, without those on hardware.
const DEFAULT_KEYS: [&str; 3] = [".ssh/id_ed25519", ".ssh/id_ecdsa", ".ssh/id_rsa"];
/// Where hosts are remembered for who asked to forget them, below the directory for state.
const OWN_KNOWN_HOSTS: &str = "adit/known_hosts";
/// The accounts of this machine.
const ACCOUNTS: &str = "/etc/passwd";

impl Surroundings {
    /// Those of this process.
    pub(crate) fn of_this_process() -> Self {
        let path = |name: &str| -> Option<PathBuf> {
            let value: OsString = std::env::var_os(name)?;
            let path = PathBuf::from(value);
            path.is_absolute().then_some(path)
        };
        let account = Account::of_this_process();
        let account = account.as_ref();
        // A service at boot often has neither variable.
        let home = path("HOME").or_else(|| Some(account?.home.clone()));
        let below_home = home.as_deref().map(|home| home.join(".local/state"));
        let text = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        Self {
            state: path("XDG_STATE_HOME").or(below_home),
            home,
            user: text("USER")
                .or_else(|| text("LOGNAME"))
                .or_else(|| Some(account?.name.clone())),
            ssh_agent: path("SSH_AUTH_SOCK"),
            proxies: ProxyEnvironment::of_this_process(),
        }
    }

    /// Of a user with that home directory and nothing else.
    #[cfg(test)]
    pub(crate) fn of_home(home: &Path, ssh_agent: Option<PathBuf>) -> Self {
        Self {
            home: Some(home.to_owned()),
            state: Some(home.join("state")),
            user: Some(String::from("local")),
            ssh_agent,
            proxies: ProxyEnvironment::default(),
        }
    }

    /// The directory for state, if there is one (XDG_STATE_HOME, or below the home directory).
    pub(crate) fn state(&self) -> Option<&Path> {
        self.state.as_deref()
    }

    /// Who runs the program.
    pub(crate) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Who asks, as the files of ssh(1) want to know it.
    pub(crate) fn local(&self) -> ssh::Local {
        ssh::Local::of_this_process(self.user.clone(), self.home.clone())
    }

    /// Whether it is known who runs the program.
    pub(crate) const fn has_user(&self) -> bool {
        self.user.is_some()
    }

    /// A path as it was written, with the home directory in the place of `~`.
    pub(crate) fn at_home(&self, path: &Path) -> anyhow::Result<PathBuf> {
        match path.strip_prefix("~") {
            Ok(below) => self.below_home(below),
            Err(_) => Ok(path.to_owned()),
        }
    }

    /// A file below the home directory.
    pub(crate) fn below_home(&self, file: &Path) -> anyhow::Result<PathBuf> {
        let home = self.home.as_deref();
        let home = home.context("HOME is not set, so ~/.ssh cannot be found")?;
        Ok(home.join(file))
    }

    /// Where hosts are remembered for who asked to forget them.
    fn own_known_hosts(&self) -> anyhow::Result<PathBuf> {
        let state = self.state.as_deref();
        let state = state.context("neither XDG_STATE_HOME nor HOME is set")?;
        Ok(state.join(OWN_KNOWN_HOSTS))
    }

    /// The files that a configuration lists; it has said of itself what is read otherwise.
    pub(super) fn listed(&self, files: &[ssh::KnownHostsFile]) -> anyhow::Result<Vec<PathBuf>> {
        let files = files.iter().map(|file| match file {
            ssh::KnownHostsFile::Path(path) => Ok(path.clone()),
            ssh::KnownHostsFile::Own => self.own_known_hosts(),
        });
        files.collect()
    }

    /// A known_hosts file as it was written.
    pub(super) fn known_hosts(&self, file: &KnownHostsFile) -> anyhow::Result<PathBuf> {
        match file {
            KnownHostsFile::Path(path) => Ok(path.clone()),
            KnownHostsFile::Home(path) => self.below_home(path),
            KnownHostsFile::Own => {
                let own = self.own_known_hosts()?;
                warn!(
                    file = %own.display(),
                    "hosts are remembered here and not in /dev/null"
                );
                Ok(own)
            }
        }
    }

    /// Where the first file lies in a read-only file system, as a folder does that a container was given, hosts are
    /// remembered in adit's own file, which is looked in as well.
    pub(super) fn put_writable_first(&self, files: &mut Vec<PathBuf>) {
        let first = files.first();
        if first.is_some_and(|first| is_read_only(first))
            && let Ok(own) = self.own_known_hosts()
            && !is_read_only(&own)
            && !files.contains(&own)
        {
            files.insert(0, own);
        }
    }

    /// The ssh-agent's socket, by the configuration or the environment.
    pub(super) fn ssh_agent(&self, configured: Option<&ssh::IdentityAgent>) -> Option<PathBuf> {
        match configured {
            None => self.ssh_agent.clone(),
            Some(ssh::IdentityAgent::None) => None,
            Some(ssh::IdentityAgent::Socket(socket)) => Some(socket.clone()),
            Some(ssh::IdentityAgent::Variable(name)) => std::env::var_os(name).map(PathBuf::from),
        }
    }

    /// The keys that were named and those of the configuration, or the usual ones that are there.
    pub(super) fn keys(
        &self,
        named: &[PathBuf],
        listed: Option<Vec<PathBuf>>,
    ) -> anyhow::Result<Vec<PathBuf>> {
        let mut keys = named.to_vec();
        if named.is_empty() && listed.is_none() {
            for file in DEFAULT_KEYS {
                let file = self.below_home(Path::new(file))?;
                if file.exists() {
                    keys.push(file);
                }
            }
        }
        for key in listed.unwrap_or_default() {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        Ok(keys)
    }
}

/// Whether a file's file system lets nobody write, wherever the path ends.
fn is_read_only(file: &Path) -> bool {
    let found = file.ancestors().find_map(|path| statvfs(path).ok());
    found.is_some_and(|found| found.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// What the file of accounts says of one (passwd(5)).
#[derive(Debug, PartialEq, Eq)]
struct Account {
    name: String,
    home: PathBuf,
}

impl Account {
    /// That of this process's user, if it stands in the file. Accounts of a directory service do not;
    /// their sign-in sets the variables.
    fn of_this_process() -> Option<Self> {
        let text = std::fs::read_to_string(ACCOUNTS).ok()?;
        Self::find(&text, getuid().as_raw())
    }

    fn find(text: &str, uid: u32) -> Option<Self> {
        text.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let is_it = fields.nth(1)?.parse() == Ok(uid);
            let home = fields.nth(2)?;
            let is_whole = !name.is_empty() && home.starts_with('/');
            (is_it && is_whole).then(|| Self {
                name: name.to_owned(),
                home: PathBuf::from(home),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_number() {
        let text = "root:x:0:0:root:/root:/bin/sh\n:x:7:7::/nameless:\nbroken\n\
                    me:x:1000:100:Me,,,:/home/me:/bin/sh\nhomeless:x:8:8:::\n";
        let account = |uid| Account::find(text, uid).map(|it| (it.name, it.home));
        let me = (String::from("me"), PathBuf::from("/home/me"));
        assert_eq!(account(1_000), Some(me));
        for nobody in [100, 7, 8] {
            assert_eq!(account(nobody), None);
        }
    }
}
