//! What the configuration files of ssh(1) add to a command line.

use std::path::{Path, PathBuf};

use adit_tunnel::agent::forward::{Forward, Listens};
use adit_tunnel::ssh_config::{
    FileSystem, Local, Placed, Proxy, Settings, Source, Wanted, resolve,
};
use anyhow::Context as _;
use tracing::{debug, warn};

use super::Surroundings;
use super::destination::Destination;
use super::spec::{self, DefaultBind};

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
        ("CertificateFile", !settings.certificate_files.is_empty()),
        ("ConnectTimeout", settings.connect_timeout.is_some()),
        (
            "ExitOnForwardFailure",
            settings.exit_on_forward_failure == Some(true),
        ),
        ("HostKeyAlgorithms", settings.host_key_algorithms.is_some()),
        ("IdentityAgent", settings.identity_agent.is_some()),
        (
            "ServerAliveCountMax",
            settings.server_alive_count_max.is_some(),
        ),
        (
            "ServerAliveInterval",
            settings.server_alive_interval.is_some(),
        ),
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

/// The forwards of the files, in the order in which ssh(1) sets them up: our listeners first.
pub(super) fn forwards(settings: &Settings) -> anyhow::Result<Vec<Forward>> {
    let here = if settings.gateway_ports == Some(true) {
        DefaultBind::Everywhere
    } else {
        DefaultBind::Loopback
    };
    let kinds = [
        (
            "LocalForward",
            Listens::Here,
            here,
            &settings.local_forwards,
        ),
        (
            "DynamicForward",
            Listens::Here,
            here,
            &settings.dynamic_forwards,
        ),
        (
            "RemoteForward",
            Listens::There,
            DefaultBind::Loopback,
            &settings.remote_forwards,
        ),
    ];
    let mut forwards = Vec::new();
    for (keyword, listens, default, lines) in kinds {
        for Placed { value, place } in lines {
            let forward = spec::forward(value.clone(), listens, default);
            let forward = forward.map_err(anyhow::Error::new);
            forwards.push(forward.with_context(|| format!("{place}: {keyword} {value}"))?);
        }
    }
    Ok(forwards)
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
