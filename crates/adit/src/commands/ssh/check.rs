//! Whether a block does what it says: what ssh would make of the file as a whole.

use std::path::{Path, PathBuf};

use adit_fleet::ssh_block::{Block, Said};
use adit_tunnel::ssh_config::{
    FileProblem, FileSystem, Files, Guard, Local, Owner, Presence, Proxy, Settings, Source, Wanted,
    resolve,
};

/// Where the files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Where {
    /// On this machine.
    Here,
    /// On another, of which no other file is known.
    There,
}

/// The file as it is to be, in the place of the one that is there.
struct Planned<'a> {
    path: &'a Path,
    content: &'a [u8],
    place: Where,
}

/// Hosts of a block that are looked at: each costs one reading of the file.
const LOOKED_AT: usize = 32;

/// What of the block does not take effect, in words: something before it in the file says otherwise, and counts.
pub(super) fn overruled(
    path: &Path,
    content: &[u8],
    block: &Block,
    local: &Local,
    place: Where,
) -> Vec<String> {
    let files = Planned {
        path,
        content,
        place,
    };
    let source = Source {
        path: path.into(),
        owner: Owner::User,
        presence: Presence::Required,
    };
    let mut told = Vec::new();
    for said in block.hosts().take(LOOKED_AT) {
        let wanted = Wanted {
            host: said.name.to_string(),
            user: None,
            port: None,
        };
        match resolve(std::slice::from_ref(&source), &wanted, local, &files) {
            Ok(resolved) => told.extend(differences(&said, &resolved.settings)),
            Err(error) => {
                told.push(format!(
                    "what ssh makes of the file cannot be said: {error}"
                ));
                break;
            }
        }
    }
    told
}

fn differences(said: &Said<'_>, settings: &Settings) -> Vec<String> {
    let name = said.name;
    let mut told = Vec::new();
    let mut tell = |keyword: &str, wanted: &str, found: &str, place: &str| {
        told.push(format!(
            "{name} has {keyword} {found} and not {wanted}: something before the block{place} says so, and ssh takes the \
             first; move the block to the top"
        ));
    };
    if !said.address.as_str().eq_ignore_ascii_case(&settings.host) {
        tell("HostName", said.address.as_str(), &settings.host, "");
    }
    if let Some(user) = said.user.filter(|user| user.as_str() != settings.user) {
        tell("User", user.as_str(), &settings.user, "");
    }
    if let Some(port) = said.port.filter(|port| *port != settings.port) {
        tell("Port", &port.to_string(), &settings.port.to_string(), "");
    }
    if let Some(jump) = said.jump {
        let found = settings.proxy.as_ref();
        let is_it = found.is_some_and(|found| match &found.value {
            Proxy::Jump(jumps) => {
                matches!(jumps.as_slice(), [one] if one.host.eq_ignore_ascii_case(jump.as_str()))
            }
            Proxy::Command(_) => false,
        });
        if !is_it {
            let place = found.map_or_else(String::new, |found| format!(" ({})", found.place));
            tell("a way", &format!("ProxyJump {jump}"), "of its own", &place);
        }
    }
    told
}

impl Files for Planned<'_> {
    fn glob(&self, pattern: &Path) -> Result<Vec<PathBuf>, FileProblem> {
        match self.place {
            Where::Here => FileSystem.glob(pattern),
            Where::There => Ok(Vec::new()),
        }
    }

    fn read(&self, path: &Path, guard: Guard) -> Result<Vec<u8>, FileProblem> {
        match self.place {
            _ if path == self.path => Ok(self.content.to_vec()),
            Where::Here => FileSystem.read(path, guard),
            Where::There => Err(FileProblem::Missing),
        }
    }
}

#[cfg(test)]
mod tests {
    use adit_fleet::ssh_block::{Front, write};

    use super::*;

    fn told(before: &str) -> Vec<String> {
        let manager = Front::new("pi@red".parse().unwrap(), None);
        let hosts = ["pi@red001".parse().unwrap()];
        let block = Block::through(&manager, &hosts, None).unwrap();
        let content = format!("{before}{block}");
        assert_eq!(
            write(content.as_bytes(), &block).unwrap(),
            content.as_bytes()
        );
        let path = Path::new("/there/config");
        let local = Local::default();
        overruled(path, content.as_bytes(), &block, &local, Where::There)
    }

    #[test]
    fn what_is_before_a_block_and_says_otherwise_is_told() {
        assert_eq!(told(""), Vec::<String>::new());
        assert_eq!(
            told("Host other\n User x\nMatch all\n"),
            Vec::<String>::new()
        );
        let users = told("Host *\n User root\n");
        assert_eq!(users.len(), 2, "{users:?}");
        assert!(
            users[1].starts_with("red001 has User root and not pi"),
            "{users:?}"
        );
        let ways = told("Host red0*\n ProxyCommand nc %h %p\n HostName 10.0.0.1\n");
        assert_eq!(ways.len(), 2, "{ways:?}");
        assert!(ways[1].contains("line 2"), "{ways:?}");
        assert!(told("Nonsense yes\n")[0].contains("nonsense"));
    }
}
