//! How the store fails, in three kinds: it does not open, it cannot be read, it does not take a change.

use std::path::PathBuf;
use std::time::Duration;

use adit_model::id::Fingerprint;
use sea_orm::{ConnAcquireErr, DbErr, RuntimeErr};

use crate::folder::FolderError;

/// What a database or the system said. It names no password: URLs are never part of it.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a store does not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The data folder is not fit for it.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The database does not answer.
    #[error("the database {place} does not answer; start it, or correct its URL")]
    Unavailable {
        /// Which, without its password.
        place: String,
        /// What it said.
        #[source]
        source: Source,
    },
    /// A newer adit has written it.
    #[error(
        "the store {place} is of a newer adit: its schema is {found}, this one knows {known}; run the newer adit, \
         or restore the copy that was made before it changed the store"
    )]
    Newer {
        /// Which.
        place: String,
        /// Its schema.
        found: i64,
        /// The newest that is known here.
        known: i64,
    },
    /// The copy that is made before a change of the schema failed; nothing was changed.
    #[error("the store is not brought to its new schema, because no copy of it could be made at {}", path.display())]
    Backup {
        /// Where the copy was to be.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Source,
    },
    /// The schema could not be made or brought up to date.
    #[error("the tables of {place} could not be made or brought up to date")]
    Schema {
        /// Which.
        place: String,
        /// What the database said.
        #[source]
        source: Source,
    },
    /// What is there is no store, or a damaged one.
    #[error(
        "{place} is not a store of adit, or it is damaged; restore a copy, or name another place"
    )]
    Damaged {
        /// Which.
        place: String,
        /// What was found.
        #[source]
        source: Source,
    },
}

/// Why the store could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The database does not answer. What was read before still holds.
    #[error("the database does not answer; what was read before still holds")]
    Unavailable {
        /// What happened.
        #[source]
        source: Source,
    },
    /// A row that no adit of this version has written.
    #[error(
        "row {row} of table {table} is damaged: {what}; correct or remove it, or restore a copy"
    )]
    Damaged {
        /// The table.
        table: &'static str,
        /// Its number.
        row: i64,
        /// What is wrong.
        what: String,
    },
    /// The database refused the question.
    #[error("the database could not answer")]
    Failed {
        /// What it said.
        #[source]
        source: Source,
    },
}

/// Why a change is not made. Nothing of it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The database does not answer. If it fell silent at the very end, the change may have been made.
    #[error("the database does not answer, so nothing can be changed now; try again when it does")]
    Unavailable {
        /// What happened.
        #[source]
        source: Source,
    },
    /// Its disk is full.
    #[error("the disk of the database is full; make room, nothing is lost")]
    Full {
        /// What it said.
        #[source]
        source: Source,
    },
    /// A principal of that name is there.
    #[error("the name {name} is taken; choose another, or change that one")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// A key is of one principal only (security rules G01, G02).
    #[error(
        "the key {fingerprint} is {owner}'s already; remove it there first, or make another key"
    )]
    KeyTaken {
        /// Its fingerprint.
        fingerprint: Fingerprint,
        /// The name of the principal that has it.
        owner: String,
    },
    /// That authority is there.
    #[error("the authority {fingerprint} is there already; remove it first")]
    AuthorityTaken {
        /// Its fingerprint.
        fingerprint: Fingerprint,
    },
    /// What is to be changed is not there.
    #[error("there is no {what} {which}")]
    Unknown {
        /// A principal, a key...
        what: &'static str,
        /// Which was asked for.
        which: String,
    },
    /// A text that cannot be compared as it is.
    #[error(
        "the {what} must be 1 to {limit} bytes without control or invisible characters, nor a blank at its ends"
    )]
    Text {
        /// Which text.
        what: &'static str,
        /// How long it may be.
        limit: usize,
    },
    /// Larger than anybody needs, and than every database keeps.
    #[error("the {what} is larger than {limit} bytes")]
    TooLarge {
        /// What.
        what: &'static str,
        /// Its limit.
        limit: usize,
    },
    /// A secret in a place that is shown.
    #[error("the {what} holds a private key; nothing was kept, and that key should be replaced")]
    Secret {
        /// Where.
        what: &'static str,
    },
    /// A number that the database has no room for: an epoch after the year 2248.
    #[error("the {what} is out of range; is the clock right?")]
    Range {
        /// Which.
        what: &'static str,
    },
    /// A row that no adit of this version has written.
    #[error(
        "row {row} of table {table} is damaged: {what}; correct or remove it, or restore a copy"
    )]
    Damaged {
        /// The table.
        table: &'static str,
        /// Its number.
        row: i64,
        /// What is wrong.
        what: String,
    },
    /// The database refused the change.
    #[error("the database did not take the change")]
    Failed {
        /// What it said.
        #[source]
        source: Source,
    },
}

impl ReadError {
    /// Whether the database is away: the same question may be answered later.
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

impl WriteError {
    /// Whether the database is away or full: the same change may be made later.
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Full { .. })
    }
}

/// A database did not answer in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no answer within {} s", .0.as_secs())]
pub(crate) struct Silent(pub(crate) Duration);

/// An error of a call that was given its time.
pub(crate) trait Timed: From<Silent> {
    /// Whether no connection answered in time, so that others of the pool may be as dead.
    fn is_silence(&self) -> bool;
}

impl Timed for ReadError {
    fn is_silence(&self) -> bool {
        matches!(self, Self::Unavailable { source } if is_silence(source))
    }
}

impl Timed for WriteError {
    /// After a full disk as after silence: the system has ended the transaction by itself, and what a connection that
    /// does not know that writes next is never committed, though it says so.
    fn is_silence(&self) -> bool {
        match self {
            Self::Unavailable { source } => is_silence(source),
            Self::Full { .. } => true,
            Self::NameTaken { .. }
            | Self::KeyTaken { .. }
            | Self::AuthorityTaken { .. }
            | Self::Unknown { .. }
            | Self::Text { .. }
            | Self::TooLarge { .. }
            | Self::Secret { .. }
            | Self::Range { .. }
            | Self::Damaged { .. }
            | Self::Failed { .. } => false,
        }
    }
}

fn is_silence(source: &Source) -> bool {
    let is_no_connection = matches!(
        source.downcast_ref(),
        Some(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout))
    );
    is_no_connection || source.is::<Silent>()
}

impl From<Silent> for ReadError {
    fn from(silent: Silent) -> Self {
        Self::Unavailable {
            source: Box::new(silent),
        }
    }
}

impl From<Silent> for WriteError {
    fn from(silent: Silent) -> Self {
        Self::Unavailable {
            source: Box::new(silent),
        }
    }
}

impl From<DbErr> for ReadError {
    fn from(error: DbErr) -> Self {
        let source = Box::new(error);
        match ailment(&source) {
            Ailment::Away | Ailment::Full => Self::Unavailable { source },
            Ailment::Other => Self::Failed { source },
        }
    }
}

impl From<DbErr> for WriteError {
    fn from(error: DbErr) -> Self {
        let source = Box::new(error);
        match ailment(&source) {
            Ailment::Away => Self::Unavailable { source },
            Ailment::Full => Self::Full { source },
            Ailment::Other => Self::Failed { source },
        }
    }
}

impl From<ReadError> for WriteError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable { source } => Self::Unavailable { source },
            ReadError::Damaged { table, row, what } => Self::Damaged { table, row, what },
            ReadError::Failed { source } => Self::Failed { source },
        }
    }
}

/// What an error of a database comes down to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ailment {
    /// It does not answer, or not now.
    Away,
    /// It has no room.
    Full,
    /// It says no.
    Other,
}

pub(crate) fn ailment(error: &DbErr) -> Ailment {
    if matches!(error, DbErr::ConnectionAcquire(_)) {
        return Ailment::Away;
    }
    let (DbErr::Conn(cause) | DbErr::Exec(cause) | DbErr::Query(cause)) = error else {
        return Ailment::Other;
    };
    let RuntimeErr::SqlxError(cause) = cause else {
        return Ailment::Other;
    };
    if let sqlx::Error::Database(said) = cause.as_ref() {
        return said_by_database(said.as_ref());
    }
    let is_away = matches!(
        cause.as_ref(),
        sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
    );
    if is_away {
        Ailment::Away
    } else {
        Ailment::Other
    }
}

fn said_by_database(said: &dyn sqlx::error::DatabaseError) -> Ailment {
    if let Some(said) = said.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
        return match said.number() {
            // Disk full, table full.
            1021 | 1114 => Ailment::Full,
            // Too many connections, access, unknown database, shutdown, lock wait, read-only, deadlock, gone.
            1040 | 1044 | 1045 | 1049 | 1053 | 1205 | 1290 | 1213 | 1927 | 2006 | 2013 => {
                Ailment::Away
            }
            _ => Ailment::Other,
        };
    }
    let code = said.code().unwrap_or_default();
    if said
        .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
        .is_some()
    {
        return match code.as_ref() {
            "53100" => Ailment::Full,
            // Serialization and deadlock, lock not available, query cancelled by a limit, read-only, unknown
            // database.
            "40001" | "40P01" | "55P03" | "57014" | "25006" | "3D000" => Ailment::Away,
            // Connection, authorization, resources, operator's intervention.
            code if ["08", "28", "53", "57"]
                .iter()
                .any(|class| code.starts_with(class)) =>
            {
                Ailment::Away
            }
            _ => Ailment::Other,
        };
    }
    // SQLite's extended result codes have the primary one in their low byte (sqlite.org/rescode.html).
    match code.parse::<u32>().map(|code| code & 0xff) {
        Ok(SQLITE_FULL) => Ailment::Full,
        Ok(SQLITE_BUSY | SQLITE_LOCKED | SQLITE_READONLY | SQLITE_IOERR | SQLITE_CANTOPEN) => {
            Ailment::Away
        }
        _ => Ailment::Other,
    }
}

const SQLITE_BUSY: u32 = 5;
const SQLITE_LOCKED: u32 = 6;
const SQLITE_READONLY: u32 = 8;
const SQLITE_IOERR: u32 = 10;
const SQLITE_FULL: u32 = 13;
const SQLITE_CANTOPEN: u32 = 14;
