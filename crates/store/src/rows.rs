//! Everything that policy is made of, as it was at one moment; and how columns are read.

use std::collections::HashSet;
use std::time::Duration;

use adit_model::id::Fingerprint;
use adit_model::lease::Reservation;
use adit_model::source::SourceSet;
use jiff::Timestamp;
use sea_orm::{
    AccessMode, DbBackend, EntityTrait, IsolationLevel, QueryOrder, TransactionOptions,
    TransactionTrait,
};

use crate::authority::{self, Authority};
use crate::error::ReadError;
use crate::key::{self, Key};
use crate::principal::{self, Principal};
use crate::revocation::Revocation;
use crate::store::Store;
use crate::{change, rule, table};

/// Everything that policy is made of, at one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// The version that it shows.
    pub version: u64,
    /// All principals, disabled ones too.
    pub principals: Vec<Principal>,
    /// All keys, also of disabled principals.
    pub keys: Vec<Key>,
    /// All authorities with their names.
    pub authorities: Vec<Authority>,
    /// All revocations.
    pub revocations: Vec<Revocation>,
    /// All reservations.
    pub reservations: Vec<Reservation>,
}

/// How long a reading of everything may take: a hundred times what ten thousand principals take.
const LOAD: Duration = Duration::from_secs(30);

impl Store {
    /// Reads everything that policy is made of, at one moment. A principal or a key whose row is damaged is left
    /// out, with its keys, and logged: it may nothing, and everybody else what they may. Any other damaged row
    /// fails the whole: what is left out could be a revocation or a reservation.
    pub async fn load(&self) -> Result<Rows, ReadError> {
        self.within(LOAD, async {
            let readers = self.readers();
            // SQLite's transactions see one moment anyway; it knows neither option.
            let options = if readers.get_database_backend() == DbBackend::Sqlite {
                TransactionOptions::default()
            } else {
                TransactionOptions {
                    isolation_level: Some(IsolationLevel::RepeatableRead),
                    access_mode: Some(AccessMode::ReadOnly),
                    sqlite_transaction_mode: None,
                }
            };
            let tx = readers.begin_with_options(options).await?;
            let version = change::version(&tx).await?;
            let principals = table::principal::Entity::find()
                .order_by_asc(table::principal::Column::Id)
                .all(&tx)
                .await?;
            let keys = table::key::Entity::find()
                .order_by_asc(table::key::Column::Id)
                .all(&tx)
                .await?;
            let principals: Vec<Principal> = whole(principals.into_iter().map(principal::read));
            let known: HashSet<_> = principals.iter().map(|principal| principal.id).collect();
            let mut keys: Vec<Key> = whole(keys.into_iter().map(key::read));
            keys.retain(|key| known.contains(&key.principal));
            let rows = Rows {
                version,
                principals,
                keys,
                authorities: authority::all(&tx).await?,
                revocations: rule::all::<table::revocation::Entity>(&tx).await?,
                reservations: rule::all::<table::reservation::Entity>(&tx).await?,
            };
            tx.commit().await?;
            Ok(rows)
        })
        .await
    }
}

/// Those that can be read.
fn whole<T>(read: impl Iterator<Item = Result<T, ReadError>>) -> Vec<T> {
    let log = |error: &ReadError| {
        tracing::error!(%error, "somebody cannot be read, and may nothing until that is mended");
    };
    read.filter_map(|read| read.inspect_err(log).ok()).collect()
}

pub(crate) fn moment(table: &'static str, row: i64, micros: i64) -> Result<Timestamp, ReadError> {
    Timestamp::from_microsecond(micros).map_err(|error| ReadError::Damaged {
        table,
        row,
        what: error.to_string(),
    })
}

pub(crate) fn moments(
    table: &'static str,
    row: i64,
    micros: Option<i64>,
) -> Result<Option<Timestamp>, ReadError> {
    micros.map(|micros| moment(table, row, micros)).transpose()
}

pub(crate) fn fingerprint(
    table: &'static str,
    row: i64,
    text: &str,
) -> Result<Fingerprint, ReadError> {
    text.parse().map_err(|_| ReadError::Damaged {
        table,
        row,
        what: String::from("its fingerprint is none"),
    })
}

pub(crate) fn sources(table: &'static str, row: i64, text: &str) -> Result<SourceSet, ReadError> {
    text.parse().map_err(
        |error: adit_model::source::SourceError| ReadError::Damaged {
            table,
            row,
            what: error.to_string(),
        },
    )
}
