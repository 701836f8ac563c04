//! The store itself: opened once, shared by all who keep something in it.

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use adit_model::id::Epoch;
use jiff::Timestamp;
use sea_orm::sea_query::Expr;
use sea_orm::{DatabaseConnection, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::backup;
use crate::change::{self, meta_row};
use crate::connect::Link;
use crate::error::{Ailment, OpenError, ReadError, Silent, Timed, WriteError, ailment};
use crate::folder::{make_file, make_folder};
use crate::place::Place;
use crate::schema::{self, Found};
use crate::table::{lease, meta};

/// A store that is open.
///
/// Every call ends within 10 s, [`load`](Self::load) within 30 s, whatever the database does. Calls may be
/// dropped at any time: a change that was not answered yet is made whole or not at all.
pub struct Store {
    place: Place,
    link: Mutex<Link>,
    instance: String,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("place", &self.place)
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store at that place, makes it if there is none, and brings it to the schema of this program. A
    /// SQLite file of an older schema is copied first, to `backups/` beside it; who keeps a store on a server
    /// keeps copies of it there.
    ///
    /// # Errors
    /// The place is not fit for it, or does not answer; what is there is newer, or no store.
    pub async fn open(place: Place, now: Timestamp) -> Result<Self, OpenError> {
        if let Place::File(path) = &place {
            let folder = path.parent().filter(|folder| *folder != Path::new(""));
            let folder = folder.unwrap_or_else(|| Path::new("."));
            let name = path.file_name().unwrap_or_default();
            make_folder(folder, name)?;
            make_file(path).map_err(|source| crate::FolderError::Io {
                path: path.clone(),
                source,
            })?;
        }
        let link = Link::to(&place);
        let instance = prepare(&place, &link, now).await?;
        Ok(Self {
            place,
            link: Mutex::new(link),
            instance,
        })
    }

    /// Ends its connections in order. A store that is dropped instead loses nothing.
    pub async fn close(self) {
        let link = self.link().clone();
        link.close().await;
    }

    /// Where it is.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// Which store it is: 32 hexadecimal digits that were drawn when it was made.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// The version, which every change of policy raises.
    pub async fn version(&self) -> Result<u64, ReadError> {
        self.within(ANSWER, async { change::version(&self.readers()).await })
            .await
    }

    /// The lowest epoch that a gateway may use which starts now; asked once at each start. Above every epoch
    /// that any gateway on this store has used, also if the store is an old copy or the clock went back
    /// (security rule G17): the moment, what was given out before, and what leases bear each raise it, the
    /// latter two by 2^32 for the takeovers that were made while the database was away.
    pub async fn epoch_floor(&self, now: Timestamp) -> Result<Epoch, WriteError> {
        self.within(ANSWER, async {
            let tx = change::begin(&self.writer()).await?;
            let by_clock = Epoch::floor_at(u64::try_from(now.as_millisecond()).unwrap_or(0));
            let by_clock = i64::try_from(by_clock.get());
            let by_clock = by_clock.map_err(|_| WriteError::Range { what: "epoch" })?;
            let given = change::row(&tx).await?.epoch_floor;
            let borne = lease::Entity::find()
                .select_only()
                .column(lease::Column::Epoch)
                .order_by_desc(lease::Column::Epoch)
                .into_tuple::<i64>()
                .one(&tx)
                .await?;
            let used = given.max(borne.unwrap_or(0));
            let floor = by_clock.max(used.saturating_add(UNKEPT_TAKEOVERS));
            meta::Entity::update_many()
                .col_expr(meta::Column::EpochFloor, Expr::val(floor))
                .filter(meta_row())
                .exec(&tx)
                .await?;
            tx.commit().await?;
            let floor = u64::try_from(floor).map_err(|_| WriteError::Range { what: "epoch" })?;
            Ok(Epoch::new(floor))
        })
        .await
    }

    /// Gives a call its time. After a silence the connections are given up with whatever they wait for, and the
    /// next call dials anew: those of the pool that are as dead would cost a wait each.
    pub(crate) async fn within<T, E: Timed>(
        &self,
        time: Duration,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let answer = tokio::time::timeout(time, call).await;
        let answer = answer.unwrap_or_else(|_| Err(E::from(Silent(time))));
        let is_silence = match &answer {
            Ok(_) => false,
            Err(error) => error.is_silence(),
        };
        if is_silence {
            *self.link() = Link::to(&self.place);
        }
        answer
    }

    pub(crate) fn writer(&self) -> DatabaseConnection {
        self.link().writer.clone()
    }

    pub(crate) fn readers(&self) -> DatabaseConnection {
        self.link().readers.clone()
    }

    fn link(&self) -> std::sync::MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Brings what is there to the schema of this program, and says which store it is.
async fn prepare(place: &Place, link: &Link, now: Timestamp) -> Result<String, OpenError> {
    let failed = |source: DbErr| match ailment(&source) {
        Ailment::Away => OpenError::Unavailable {
            place: place.to_string(),
            source: Box::new(source),
        },
        Ailment::Full | Ailment::Other => OpenError::Schema {
            place: place.to_string(),
            source: Box::new(source),
        },
    };
    let found = tokio::time::timeout(ANSWER, schema::look(&link.writer)).await;
    let found = found.map_err(|_| OpenError::Unavailable {
        place: place.to_string(),
        source: Box::new(Silent(ANSWER)),
    })?;
    let found = found.map_err(|source| match (ailment(&source), place) {
        (Ailment::Other, Place::File(_)) => OpenError::Damaged {
            place: place.to_string(),
            source: Box::new(source),
        },
        _ => failed(source),
    })?;
    match (found, place) {
        (Found::Current, _) => {}
        (Found::Newer(found), _) => {
            return Err(OpenError::Newer {
                place: place.to_string(),
                found,
                known: schema::known(),
            });
        }
        (Found::Older, Place::File(path)) => {
            let copy = backup::copy(&link.writer, path, now).await?;
            tracing::info!(store.copy = %copy.display(), "the store was copied before its schema changes");
            schema::upgrade(&link.writer, now, &instance())
                .await
                .map_err(failed)?;
        }
        (Found::Empty, _) | (Found::Older, Place::Url(_)) => {
            schema::upgrade(&link.writer, now, &instance())
                .await
                .map_err(failed)?;
        }
    }
    let row = change::row(&link.readers).await;
    let row = row.map_err(|source| OpenError::Damaged {
        place: place.to_string(),
        source: Box::new(source),
    })?;
    Ok(row.instance)
}

/// A number for a new store. A system without randomness has no gateway either; its stores are all 0.
fn instance() -> String {
    let mut bytes = [0_u8; 16];
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        tracing::warn!("the system gives no random numbers");
    }
    format!("{:032x}", u128::from_be_bytes(bytes))
}

/// How long a call takes at the most: twice what a connection is waited for.
pub(crate) const ANSWER: Duration = Duration::from_secs(10);

/// Epochs that may have been used and never kept, in one run of a gateway whose database was away: more than
/// there can be at a million takeovers a second for an hour.
const UNKEPT_TAKEOVERS: i64 = 1 << 32;
