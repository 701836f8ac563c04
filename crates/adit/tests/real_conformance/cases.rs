//! The table, part by part.

use crate::case::Case;

pub(crate) mod algorithms;
pub(crate) mod alive;
pub(crate) mod binds;
pub(crate) mod data;
pub(crate) mod forwards;
pub(crate) mod grants;
pub(crate) mod logins;
pub(crate) mod opens;
pub(crate) mod sessions;
pub(crate) mod takeover;

/// All of it, in the order of the page.
pub(crate) fn all() -> Vec<(&'static str, Vec<Case>)> {
    vec![
        ("Where forwards listen", binds::cases()),
        ("Asking, asking again, taking back", forwards::cases()),
        ("Streams from the client's side", opens::cases()),
        ("Bytes", data::cases()),
        ("Sessions", sessions::cases()),
        ("Logins", logins::cases()),
        ("What a key may", grants::cases()),
        ("Algorithms", algorithms::cases()),
        ("Somebody comes twice", takeover::cases()),
        ("Silence", alive::cases()),
    ]
}
