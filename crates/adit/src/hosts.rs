//! Tunnels to hosts by name: a table of ports in a folder, and whoever keeps what stands in it.

pub(crate) mod keeper;
pub(crate) mod place;
pub(crate) mod tunnel;

use adit_fleet::table::Entry;

use crate::status::{ForwardReport, Report, TunnelReport};

/// What a report says of an entry: no two have the same port.
pub(crate) fn find<'r>(
    report: &'r Report,
    entry: &Entry,
) -> Option<(&'r TunnelReport, &'r ForwardReport)> {
    report.tunnels.iter().find_map(|tunnel| {
        let forward = tunnel.forwards.first()?;
        let port = forward
            .bind
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok());
        (port == Some(entry.port)).then_some((tunnel, forward))
    })
}
