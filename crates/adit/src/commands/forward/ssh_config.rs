//! What the configuration files of ssh(1) add to a command line.

use std::path::{Path, PathBuf};

use adit_tunnel::ssh_config::{
    FileSystem, ForwardBind, ForwardTarget, Local, Placed, Proxy, Settings, Source, SshForward,
    Wanted, resolve,
};
use anyhow::Context as _;
use tracing::{debug, warn};

use super::Surroundings;
use super::destination::Destination;
use super::spec::RemoteForward;

/// Reads what `-F` names, or the files of ssh(1).
pub(super) fn read(
    config: Option<&Path>,
    destination: &Destination,
    port: Option<u16>,
    surroundings: &Surroundings,
) -> anyhow::Result<Settings> {
    let sources = match config {
        Some(config) => Source::named(config),
        None => Source::standard(surroundings.home.as_deref()),
    };
    let local = Local::of_this_process(surroundings.user.clone(), surroundings.home.clone());
    let wanted = Wanted {
        host: destination.host.clone(),
        user: destination.user.clone(),
        port,
    };
    let resolved = resolve(&sources, &wanted, &local, &FileSystem)?;
    for warning in &resolved.warnings {
        warn!("{warning}");
    }
    for Placed { value, place } in &resolved.ignored {
        debug!(keyword = value, %place, "keyword is ignored");
    }
    Ok(resolved.settings)
}

/// Refuses what would lead elsewhere, and tells what is not used.
pub(super) fn check(settings: &Settings) -> anyhow::Result<()> {
    if let Some(Placed { value, place }) = &settings.proxy {
        let keyword = match value {
            Proxy::Jump(_) => "ProxyJump",
            Proxy::Command(_) => "ProxyCommand",
        };
        anyhow::bail!(
            "{place}: {keyword} is not supported by `adit forward`, and the host may not be reached \
             without; use a host that can be reached directly, or another file with -F"
        );
    }
    if let Some(alias) = &settings.host_key_alias {
        anyhow::bail!(
            "HostKeyAlias {alias} is not supported by `adit forward`; write the key down under the \
             host's own name, and use another file with -F"
        );
    }
    let unused = [
        ("AddressFamily", settings.address_family.is_some()),
        ("ConnectTimeout", settings.connect_timeout.is_some()),
        ("DynamicForward", !settings.dynamic_forwards.is_empty()),
        (
            "ExitOnForwardFailure",
            settings.exit_on_forward_failure == Some(true),
        ),
        ("HostKeyAlgorithms", settings.host_key_algorithms.is_some()),
        ("LocalForward", !settings.local_forwards.is_empty()),
    ];
    let unused = unused.iter().filter(|(_, is_said)| *is_said);
    let unused: Vec<&str> = unused.map(|(keyword, _)| *keyword).collect();
    if !unused.is_empty() {
        let keywords = unused.join(", ");
        warn!(keywords, "configuration has what adit forward does not use");
    }
    Ok(())
}

/// The keys of the files that are there.
pub(super) fn keys(settings: &Settings) -> Option<Vec<PathBuf>> {
    let files = settings.identity_files.as_ref()?;
    Some(files.iter().filter(|file| file.exists()).cloned().collect())
}

/// A `RemoteForward` line as `-R` has it.
pub(super) fn remote_forward(forward: &Placed<SshForward>) -> anyhow::Result<RemoteForward> {
    let Placed { value, place } = forward;
    let (
        ForwardBind::Tcp { host: bind, port },
        ForwardTarget::Tcp {
            host,
            port: host_port,
        },
    ) = (&value.bind, &value.target)
    else {
        anyhow::bail!(
            "{place}: RemoteForward {value} is not supported by `adit forward`, which takes \
             [BIND:]PORT HOST:HOSTPORT"
        );
    };
    let bind = bind.as_ref().map(|bind| format!("[{bind}]:"));
    let text = format!("{}{port}:[{host}]:{host_port}", bind.unwrap_or_default());
    let parsed = text.parse().map_err(anyhow::Error::new);
    parsed.with_context(|| format!("{place}: RemoteForward {value}"))
}

/// Reads a value that the files keep as text.
pub(super) fn list<T, E>(
    written: Option<&Placed<String>>,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> anyhow::Result<Option<T>>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let Some(Placed { value, place }) = written else {
        return Ok(None);
    };
    parse(value).map(Some).with_context(|| place.to_string())
}
