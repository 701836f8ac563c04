//! Client configuration files: parsed and resolved, with includes of themselves.
#![no_main]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use adit_tunnel::ssh_config::{
    FileProblem, Files, Guard, Local, Proxy, Source, Wanted, is_user, resolve,
};
use libfuzzer_sys::fuzz_target;

/// The input under one name, and nothing else.
struct Input<'a>(&'a [u8]);

impl Files for Input<'_> {
    fn glob(&self, pattern: &Path) -> Result<Vec<PathBuf>, FileProblem> {
        Ok(vec![pattern.to_owned()])
    }

    fn read(&self, path: &Path, _: Guard) -> Result<Vec<u8>, FileProblem> {
        if path.ends_with("self") || path.ends_with("config") {
            return Ok(self.0.to_vec());
        }
        Err(FileProblem::Missing)
    }
}

fuzz_target!(|input: &[u8]| {
    let home = PathBuf::from("/home/me");
    let local = Local {
        user: Some(String::from("me")),
        uid: 1000,
        home: Some(home.clone()),
        host_name: String::from("here.example"),
        environment: BTreeMap::from([(String::from("HOME"), String::from("/home/me"))]),
    };
    let wanted = Wanted {
        host: String::from("alpha"),
        user: None,
        port: None,
    };
    let sources = Source::standard(Some(&home));
    match resolve(&sources, &wanted, &local, &Input(input)) {
        Ok(resolved) => {
            // Whatever the file says, these are safe in any place.
            let settings = resolved.settings;
            let is_host = |host: &str| !host.is_empty() && !host.starts_with('-');
            assert!(is_host(&settings.host) && is_user(&settings.user) && settings.port > 0);
            match settings.proxy.map(|proxy| proxy.value) {
                Some(Proxy::Jump(jumps)) => {
                    assert!(!jumps.is_empty() && jumps.iter().all(|jump| is_host(&jump.host)));
                }
                Some(Proxy::Command(command)) => assert!(!command.words.is_empty()),
                None => {}
            }
        }
        Err(error) => assert!((1..=20).contains(&error.problems.len())),
    }
});
