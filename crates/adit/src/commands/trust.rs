//! `adit trust`: writes a host's key down, by its fingerprint.

use std::io::{self, Write as _};
use std::process::ExitCode;

use adit_tunnel::agent::connect::{HostKeyLook, Trusted};
use adit_tunnel::transport::ssh::Memory;
use anyhow::Context as _;

use crate::cli::TrustArguments;
use crate::config::{Surroundings, config};
use crate::signal::signalled;
use crate::terminal::Restore;

/// A user name where none is known.
const NOBODY: &str = "nobody";

/// Goes to the host, holds its key against the fingerprint, and leaves before any login.
pub(crate) fn run(arguments: &TrustArguments) -> anyhow::Result<ExitCode> {
    let surroundings = Surroundings::of_this_process();
    let mut written = arguments.written();
    if !surroundings.has_user() {
        // Nobody logs in there, so that any name will do.
        written.wanted.user = Some(String::from(NOBODY));
    }
    let config = config(&written, &surroundings)?;
    let look = HostKeyLook::new(&config.peer, Memory::of_this_machine())?;
    let restore = Restore::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let trusted = runtime.block_on(async {
        let signal = signalled()?;
        tokio::select! {
            biased;
            code = signal => Ok(Err(code)),
            trusted = look.trust(&arguments.key) => anyhow::Ok(Ok(trusted?)),
        }
    });
    // A question of a host on the way that nobody has answered would be waited for.
    runtime.shutdown_background();
    drop(restore);
    let (host, key) = (&config.peer.peer.host, arguments.key);
    let trusted = match trusted? {
        Ok(trusted) => trusted,
        Err(code) => return Ok(code),
    };
    let said = match trusted {
        Trusted::Written(place) => format!("{host} is trusted by {key}, written to {place}"),
        Trusted::Already(place) => format!("{host} is trusted already by {key}, see {place}"),
    };
    writeln!(io::stdout().lock(), "{said}")?;
    Ok(ExitCode::SUCCESS)
}
