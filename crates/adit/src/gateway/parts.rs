//! What settings come to for the parts of a gateway.

use std::net::TcpListener;
use std::sync::Arc;

use adit_model::id::Epoch;
use adit_model::lease::Lease;
use adit_store::{DatabaseUrl, Place};
use adit_text::SecretSource;
use adit_tunnel::gateway::accept::Site;
use adit_tunnel::gateway::desk;
use adit_tunnel::gateway::port;
use adit_tunnel::gateway::seam::Sites;
use anyhow::Context as _;
use jiff::Timestamp;
use tracing::warn;

use super::announce::Listening;
use super::certificates::Shelf;
use super::directory::DataDirectory;
use super::names::suffix::{self, Standing};
use super::names::{Names, Registrar};
use super::settings::{Listen, Settings};
use super::trusted;

/// What the desk goes by.
pub(super) fn desk_settings(
    settings: &Settings,
    directory: &DataDirectory,
    registrar: Option<Arc<Registrar>>,
    epochs: Epoch,
) -> desk::Settings {
    desk::Settings {
        grace: settings.leases.grace,
        port_quarantine: settings.leases.port_quarantine,
        name_quarantine: settings.leases.name_quarantine,
        sockets: Some(directory.sockets()),
        sites: registrar.map(|registrar| registrar as Arc<dyn Sites>),
        epochs,
        ..desk::Settings::with_ports(settings.defaults.ports.clone())
    }
}

/// What is known of names, where visitors come in by them.
pub(super) fn registrar(
    settings: &Settings,
    names: Option<&Names>,
    directory: &DataDirectory,
    shelf: &Arc<Shelf>,
    leases: &[Lease],
) -> anyhow::Result<Option<Arc<Registrar>>> {
    let (Some(names), Some(domain)) = (names, &settings.domain) else {
        return Ok(None);
    };
    if let Standing::PartOf(registered) = suffix::standing(domain) {
        warn!(
            "names are under {domain}, which is part of {registered}: a site under it can set cookies for all of \
             {registered}, and read those that are set there; give names a domain that is registered for them alone"
        );
    }
    let registrar = Registrar::new(
        domain,
        &settings.names,
        (&directory.names(), &directory.missing_proofs()),
        Arc::clone(shelf),
        &names.addresses(),
    );
    let registrar = registrar?;
    registrar.believe(leases, Timestamp::now());
    Ok(Some(Arc::new(registrar)))
}

/// Where visitors of names come in, as devices are told it: at the first place of each kind.
pub(super) fn site(settings: &Settings, names: Option<&Names>) -> Site {
    let all = names.map_or_else(Vec::new, Names::addresses);
    let port = |wanted: bool| {
        let place = all.iter().find(|(_, is_secure)| *is_secure == wanted);
        place.map(|(address, _)| address.port())
    };
    Site {
        domain: settings.domain.clone(),
        http: port(false),
        https: port(true),
    }
}

/// Where the store is: in the data directory, unless a server is named.
pub(crate) fn place(settings: &Settings, directory: &DataDirectory) -> anyhow::Result<Place> {
    /// Names a database server; one in a file is named by the other.
    const VARIABLE: &str = "ADIT_DATABASE_URL";
    const FILE_VARIABLE: &str = "ADIT_DATABASE_URL_FILE";
    /// Longest URL.
    const LENGTH: u64 = 8_192;
    let of_file = |path: &std::path::Path| {
        // It may have a password in it, and is not repeated (security rule G121).
        anyhow::ensure!(
            !path.to_string_lossy().contains("://"),
            "the URL of a database does not stand on a command line, where everybody on this machine reads it: \
             write it to a file that only you can read, and name that file"
        );
        let bytes = trusted::read(path, LENGTH);
        let bytes = bytes.with_context(|| format!("cannot use {}", path.display()))?;
        String::from_utf8(bytes).with_context(|| format!("{} is no text", path.display()))
    };
    let variable = |name: &str| {
        let value = std::env::var(name);
        value.with_context(|| format!("the variable {name} cannot be used"))
    };
    let url = match &settings.database {
        Some(SecretSource::File(path)) => Some(of_file(path)?),
        Some(SecretSource::Environment(name)) => Some(variable(name)?),
        Some(SecretSource::Value(value)) => Some(value.clone()),
        None => match (std::env::var_os(VARIABLE), std::env::var_os(FILE_VARIABLE)) {
            (Some(_), _) => Some(variable(VARIABLE)?),
            (None, Some(path)) => Some(of_file(path.as_ref())?),
            (None, None) => None,
        },
    };
    Ok(match url {
        Some(url) => Place::Url(url.trim().parse::<DatabaseUrl>()?),
        None => Place::File(directory.path().join("adit.db")),
    })
}

/// Binds everywhere or nowhere.
pub(super) fn bind(listens: &[Listen]) -> anyhow::Result<Vec<TcpListener>> {
    let mut all = Vec::new();
    for listen in listens {
        let wanted = || format!("cannot listen at {listen}");
        if listen.port == 0 {
            // Any free one: of one address, since another might not have the same.
            let address = listen.scope.addresses().into_iter().next();
            let address = address.with_context(wanted)?;
            let socket = TcpListener::bind((address, 0)).with_context(wanted)?;
            socket.set_nonblocking(true).with_context(wanted)?;
            all.push(socket);
        } else {
            let bound = port::bind(listen.scope, listen.port);
            all.extend(bound.with_context(wanted)?.sockets);
        }
    }
    Ok(all)
}

pub(super) fn addresses(listeners: &[TcpListener]) -> anyhow::Result<Vec<Listening>> {
    let addresses = listeners.iter().map(Listening::of);
    let addresses: Result<Vec<_>, _> = addresses.collect();
    addresses.context("cannot tell where it listens")
}
