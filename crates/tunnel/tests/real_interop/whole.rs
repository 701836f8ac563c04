//! The whole table: every pair that can be had on this machine, one after the other.

use std::path::{Path, PathBuf};

use adit_ssh::algorithm::{CipherAlgorithm, KexAlgorithm, KeyAlgorithm, MacAlgorithm};

use crate::cell;
use crate::disguise::Disguise;
use crate::keys::Keys;
use crate::peer::dropbear::{DropbearClient, DropbearServer};
use crate::peer::library;
use crate::peer::openssh::OpenSsh;
use crate::peer::putty::Plink;
use crate::table::{Extent, Outcome, at_ours, at_server};
use crate::terms::Login;

/// Where `cargo xtask interop` makes the peers ready: `interop` in the build directory.
pub(crate) fn folder() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
    target.expect("a folder above").join("interop")
}

/// The rows of the table in their order, as lines like those of outcomes that name no pair.
pub(crate) fn rows() -> Vec<String> {
    fn names<T: ToString + Copy>(all: &[T]) -> Vec<String> {
        all.iter().map(T::to_string).collect()
    }
    let logins = Login::all().map(|login| login.to_string());
    let axes = [
        (cell::LOAD, names(&cell::LOADS)),
        ("key exchange", names(KexAlgorithm::ALL)),
        ("cipher", names(CipherAlgorithm::ALL)),
        ("MAC", names(MacAlgorithm::ALL)),
        ("host key", names(KeyAlgorithm::ALL)),
        ("login", logins.collect()),
    ];
    let lines = axes.iter().flat_map(|(axis, values)| {
        let lines = values.iter();
        lines.map(move |value| format!("\t{axis}\t{value}\t"))
    });
    lines.collect()
}

/// Runs the pairs whose peer's name contains `only`.
pub(crate) async fn run(folder: &Path, only: &str, extent: Extent) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let is_wanted = |name: &str| name.to_lowercase().contains(&only.to_lowercase());
    let unpacked = OpenSsh::unpacked(&folder.join("openssh-10.0"));
    let versions = [OpenSsh::installed(), unpacked];
    for openssh in versions.into_iter().flatten() {
        if is_wanted(openssh.name()) {
            let keys = Keys::generate();
            let mut server = openssh.server(&keys);
            outcomes.extend(at_server(&keys, &mut server, extent).await);
            outcomes.extend(at_ours(&keys, &openssh.client(&keys), extent).await);
        }
    }
    if is_wanted("Dropbear") {
        let keys = Keys::generate();
        if let Some(mut server) = Disguise::is_possible()
            .then(|| DropbearServer::installed(&keys))
            .flatten()
        {
            outcomes.extend(at_server(&keys, &mut server, extent).await);
        }
        if let Some(client) = DropbearClient::installed(&keys) {
            outcomes.extend(at_ours(&keys, &client, extent).await);
        }
    }
    if is_wanted("PuTTY") {
        let keys = Keys::generate();
        if let Some(client) = Plink::installed(&keys) {
            outcomes.extend(at_ours(&keys, &client, extent).await);
        }
    }
    for library in library::ALL {
        if is_wanted(library.name) {
            let keys = Keys::generate();
            if let Some(mut server) = library.server(folder, &keys) {
                outcomes.extend(at_server(&keys, &mut server, extent).await);
            }
            if let Some(client) = library.client(folder) {
                outcomes.extend(at_ours(&keys, &client, extent).await);
            }
        }
    }
    outcomes
}
