//! The table, part by part.

use crate::case::Case;
use crate::client::Client;

pub(crate) mod algorithms;
pub(crate) mod alive;
pub(crate) mod background;
pub(crate) mod binds;
pub(crate) mod data;
pub(crate) mod forwards;
pub(crate) mod grants;
pub(crate) mod logins;
pub(crate) mod master;
pub(crate) mod names;
pub(crate) mod opens;
pub(crate) mod sessions;
pub(crate) mod sockets;
pub(crate) mod takeover;

/// All of it, in the order of the page.
pub(crate) fn all() -> Vec<(&'static str, Vec<Case>)> {
    let parts = vec![
        ("Where forwards listen", binds::cases()),
        ("Asking, asking again, taking back", forwards::cases()),
        ("In the background", background::cases()),
        ("On a connection that lives", master::cases()),
        ("Unix sockets", sockets::cases()),
        ("Streams from the client's side", opens::cases()),
        ("Devices by name", names::cases()),
        ("Bytes", data::cases()),
        ("Sessions", sessions::cases()),
        ("Logins", logins::cases()),
        ("What a key may", grants::cases()),
        ("Algorithms", algorithms::cases()),
        ("Somebody comes twice", takeover::cases()),
        ("Silence", alive::cases()),
    ];
    let parts = parts.into_iter();
    parts.map(|(title, part)| (title, by_both(part))).collect()
}

/// What the installed ssh does, the newer one does as well.
pub(crate) fn by_both(cases: Vec<Case>) -> Vec<Case> {
    let both = |case: Case| {
        let newer = (case.client == Client::Ssh).then(|| case.by(Client::Ssh10));
        std::iter::once(case).chain(newer)
    };
    cases.into_iter().flat_map(both).collect()
}
