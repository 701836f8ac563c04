//! Everything of a gateway that outlives the process: principals with their keys and grants, authorities,
//! revocations, reservations, enrolment codes, leases, bytes of each month, and who changed what. In SQLite, PostgreSQL or MariaDB by the same code;
//! no other crate knows SQL.
//!
//! Readers of policy never wait for it: they hold a snapshot that was built from [`Rows`], which
//! [`Store::load`] reads at one moment. What an operator changes is one transaction that raises the *version*
//! and leaves an audit entry; who wants to know whether a snapshot is old asks for the version. Leases are kept
//! without either: a thousand agents that come back are no change of policy.
//!
//! The row that bears the version is also the lock of writers: a change raises it first, so changes stand in
//! one line whatever database it is, and none of them is ever told to try again.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::arithmetic_side_effects, clippy::as_conversions)
)]

mod audit;
mod authority;
mod backup;
mod change;
mod connect;
mod error;
mod folder;
mod invite;
mod key;
mod lease;
mod place;
mod principal;
mod reservation;
mod revocation;
mod rows;
mod rule;
mod schema;
mod store;
mod table;
mod text;
mod usage;

pub use self::audit::AuditEntry;
pub use self::authority::{Authority, NewAuthority};
pub use self::change::{Change, Written};
pub use self::error::{OpenError, ReadError, Source, WriteError};
pub use self::folder::{FolderError, make_folder};
pub use self::invite::{Invite, NewInvite, Redeemed, Redeemer, TRIES, Useless};
pub use self::key::{Key, NewKey};
pub use self::lease::QuarantineUntil;
pub use self::place::{DatabaseUrl, Place, UrlError};
pub use self::principal::{Kind, NewPrincipal, Principal, Standing};
pub use self::revocation::{Revocation, Revoked};
pub use self::rows::Rows;
pub use self::store::Store;
pub use self::usage::Usage;
