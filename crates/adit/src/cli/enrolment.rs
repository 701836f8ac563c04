//! What a machine takes that becomes a device, and what brings others' files over.

use std::fmt;
use std::path::PathBuf;

use adit_model::host::Name;
use clap::{Args, ValueEnum};

use crate::config::destination::HostAndPort;

#[derive(Debug, Clone, Args)]
pub(crate) struct JoinArguments {
    /// A file with the code in its first line, for you alone to read (mode 600); - is standard input. Without: the
    /// one that ADIT_CODE_FILE names, then the terminal.
    #[arg(long, value_name = "FILE")]
    pub(crate) code_file: Option<PathBuf>,

    /// Join it anew, although this machine has: with another code, and another key.
    #[arg(long)]
    pub(crate) again: bool,

    /// The gateway: a name that the configuration of ssh may know, or an address. Port 2222 unless another is said.
    #[arg(value_name = "GATEWAY[:PORT]")]
    pub(crate) gateway: HostAndPort,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ExposeArguments {
    /// The service: a port of this machine, or a host and a port that it reaches.
    #[arg(value_name = "[HOST:]PORT", value_parser = service)]
    pub(crate) service: Service,

    /// The name under the gateway's domain, or a whole domain. Without: one that the gateway gives this service, the same
    /// each time.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<Name>,

    /// The gateway, where this machine has joined several.
    #[arg(long, value_name = "GATEWAY[:PORT]")]
    pub(crate) to: Option<HostAndPort>,

    /// As JSON, an object for each event and line.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where a service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) host: String,
    pub(crate) port: u16,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ImportArguments {
    /// What the file is.
    #[arg(value_name = "KIND")]
    pub(crate) kind: ImportKind,

    /// The file; - is standard input.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// Files of other programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImportKind {
    /// Keys of sshd, for adit serve --authorized-keys.
    #[value(name = "authorized_keys")]
    AuthorizedKeys,
    /// frpc.toml or frpc.ini becomes an adit.yml, frps.toml or frps.ini settings of adit serve.
    Frp,
    /// A client of rathole becomes an adit.yml, a server settings of adit serve.
    Rathole,
    /// A systemd unit or a crontab with autossh or ssh becomes an adit.yml.
    AutosshUnit,
}

impl Service {
    /// The host of a port of this machine.
    pub(crate) const HERE: &str = "localhost";
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A port, or a host and a port.
fn service(text: &str) -> Result<Service, String> {
    let wanted =
        || String::from("wanted a port like 3000, or a host and a port like db.local:5432");
    if let Ok(port) = text.parse::<u16>() {
        let host = String::from(Service::HERE);
        return (port > 0)
            .then_some(Service { host, port })
            .ok_or_else(wanted);
    }
    let HostAndPort { host, port } = text.parse().map_err(|_| wanted())?;
    let port = port.ok_or_else(wanted)?;
    Ok(Service { host, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_a_port_here_or_a_host_with_one() {
        for (text, host, port) in [
            ("3000", "localhost", 3000),
            ("db.local:5432", "db.local", 5432),
            ("[::1]:80", "::1", 80),
        ] {
            let host = String::from(host);
            assert_eq!(service(text), Ok(Service { host, port }));
        }
        for text in ["", "0", "70000", "db.local", ":80", "a b:80"] {
            assert!(service(text).is_err(), "{text}");
        }
    }
}
