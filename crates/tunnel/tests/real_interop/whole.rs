//! The whole table: every pair that can be had on this machine, one after the other.

use std::path::{Path, PathBuf};

use crate::disguise::Disguise;
use crate::keys::Keys;
use crate::peer::dropbear::{DropbearClient, DropbearServer};
use crate::peer::library;
use crate::peer::openssh::OpenSsh;
use crate::peer::putty::Plink;
use crate::table::{Extent, Outcome, at_ours, at_server};

/// Where `cargo xtask interop` makes the peers ready: `interop` in the build directory.
pub(crate) fn folder() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
    target.expect("a folder above").join("interop")
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
