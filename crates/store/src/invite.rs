//! Invites: codes by which machines become devices, each once.
//!
//! A code's secret is not here, only its hash (security rule G41). What it is worth was decided when it was made:
//! the name of the device, and its grant; whoever uses it adds a key and chooses nothing (G44).

use adit_model::grant::Grant;
use adit_model::host::Name;
use adit_model::id::{Fingerprint, PrincipalId};
use adit_model::source::SourceSet;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use jiff::Timestamp;
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use serde_json::json;

use crate::Kind;
use crate::change::{Change, Work, Written};
use crate::error::{ReadError, WriteError};
use crate::key::{bounded, source_text};
use crate::principal::{grant_text, kind_text, taken};
use crate::rows::{fingerprint, moment, moments};
use crate::store::{ANSWER, Store};
use crate::table::{invite, key, principal};
use crate::text;

/// An invite as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Invite {
    /// The number of its code, of 40 bits; no secret.
    pub id: u64,
    /// The device that whoever uses it becomes.
    pub name: Name,
    /// The device that there was already when it was made, and that only gets one more key by it.
    pub device: Option<PrincipalId>,
    /// What the device may do that is made by it.
    pub grant: Grant,
    /// Words about the device.
    pub note: String,
    /// When it was made.
    pub created: Timestamp,
    /// Until when it can be used.
    pub expires: Timestamp,
    /// How often somebody had its number and a wrong secret.
    pub wrong: u32,
    /// When it was used, and with which key.
    pub used: Option<(Timestamp, Fingerprint)>,
}

/// An invite that is to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInvite {
    /// The number of its code.
    pub id: u64,
    /// What is kept of its secret: 64 hexadecimal digits.
    pub hash: String,
    /// The device.
    pub name: Name,
    /// The device that is there already.
    pub device: Option<PrincipalId>,
    /// What a new device may do.
    pub grant: Grant,
    /// Words about it; cut after 200 characters.
    pub note: String,
    /// Until when it can be used.
    pub expires: Timestamp,
}

/// Who uses a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redeemer {
    /// The number of the code.
    pub id: u64,
    /// The hash of what was given as its secret.
    pub hash: String,
    /// The fingerprint of `blob`.
    pub fingerprint: Fingerprint,
    /// The public key that was proved in the same login.
    pub blob: Vec<u8>,
}

/// What using a code has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Redeemed {
    /// The key lets that device in from now on; or did so before, by the same code.
    Device(Name),
    /// It is none that can be used. For the log; the one who gave it is told nothing.
    Refused(Useless),
}

/// Why a code cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Useless {
    /// There is none of that number.
    #[error("there is no such code")]
    Unknown,
    /// Its secret is another.
    #[error("its secret is wrong")]
    Wrong,
    /// Somebody had a wrong secret too often.
    #[error("it was tried with wrong secrets")]
    Burned,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// Another key has used it.
    #[error("it was used before")]
    Used,
    /// There is a device or a user of its name that was not there when it was made, or the other way round.
    #[error("its device is another by now")]
    Device,
    /// The key is somebody's already.
    #[error("the key is somebody's already")]
    Key,
}

/// Wrong secrets after which a code is of no use (security rule G41).
pub const TRIES: u32 = 5;

const TABLE: &str = "adit_invites";

impl Store {
    /// Adds an invite.
    ///
    /// # Errors
    /// [`WriteError::NameTaken`] if there is a code of that number, which is drawn by chance.
    pub async fn add_invite(
        &self,
        change: &Change<'_>,
        new: &NewInvite,
    ) -> Result<Written<()>, WriteError> {
        let row = invite::ActiveModel {
            id: Set(number(new.id)?),
            hash: Set(text::exact("hash", &new.hash)?),
            name: Set(String::from(new.name.as_str())),
            grant_json: Set(grant_text(&new.grant)?),
            note: Set(text::words("note", &new.note)?),
            device: Set(new.device.map(PrincipalId::get)),
            created: Set(change.when.as_microsecond()),
            expires: Set(new.expires.as_microsecond()),
            wrong: Set(0),
            used: Set(None),
            used_by: Set(None),
        };
        self.within(ANSWER, async {
            let work = Work::begin(&self.writer()).await?;
            // Those that are over for a day are of interest to nobody.
            let old = change.when.as_microsecond().saturating_sub(KEPT);
            let over = invite::Entity::delete_many().filter(invite::Column::Expires.lt(old));
            over.exec(&work.tx).await?;
            let added = invite::Entity::insert(row).exec(&work.tx).await;
            added.map_err(|error| taken(error, &new.name))?;
            let details = json!({
                "code": new.id,
                "name": new.name,
                "device": new.device,
                "grant": new.grant,
                "expires": new.expires,
            });
            let version = work.finish(change, "invite.add", &details).await?;
            Ok(Written { it: (), version })
        })
        .await
    }

    /// All invites, the newest last, until a day after their end.
    pub async fn invites(&self) -> Result<Vec<Invite>, ReadError> {
        self.within(ANSWER, async {
            let question = invite::Entity::find()
                .order_by_asc(invite::Column::Created)
                .order_by_asc(invite::Column::Id);
            let rows = question.all(&self.readers()).await?;
            rows.into_iter().map(read).collect()
        })
        .await
    }

    /// Takes an invite back. What it was used for stays.
    pub async fn remove_invite(
        &self,
        change: &Change<'_>,
        id: u64,
    ) -> Result<Written<()>, WriteError> {
        let row = number(id)?;
        self.within(ANSWER, async {
            let work = Work::begin(&self.writer()).await?;
            let removed = invite::Entity::delete_by_id(row).exec(&work.tx).await?;
            if removed.rows_affected == 0 {
                return Err(unknown(id));
            }
            let details = json!({ "code": id });
            let version = work.finish(change, "invite.remove", &details).await?;
            Ok(Written { it: (), version })
        })
        .await
    }

    /// Uses a code: of any number who try at the same time, one wins (security rule G41). The device is made, or
    /// gets the key. Who asks again with the same key while the code lives gets the same answer.
    ///
    /// # Cancel safety
    /// Dropped, it is done whole or not at all.
    pub async fn redeem(
        &self,
        change: &Change<'_>,
        redeemer: &Redeemer,
    ) -> Result<Redeemed, WriteError> {
        let Ok(id) = number(redeemer.id) else {
            return Ok(Redeemed::Refused(Useless::Unknown));
        };
        let blob = bounded("key", redeemer.blob.clone())?;
        self.within(ANSWER, async {
            // Strangers take the place of the writer only with a good code, or to burn one.
            let found = invite::Entity::find_by_id(id).one(&self.readers()).await?;
            let Some(found) = found else {
                return Ok(Redeemed::Refused(Useless::Unknown));
            };
            if let Some(useless) = useless(&found, redeemer, change.when) {
                if useless == Useless::Wrong {
                    self.count_wrong(change, &found).await?;
                }
                return Ok(Redeemed::Refused(useless));
            }
            let name = name(&found)?;
            if found.used.is_some() {
                return Ok(Redeemed::Device(name));
            }
            self.use_up(change, &found, (redeemer, blob), name).await
        })
        .await
    }

    async fn count_wrong(
        &self,
        change: &Change<'_>,
        found: &invite::Model,
    ) -> Result<(), WriteError> {
        let work = Work::begin(&self.writer()).await?;
        let wrong = Expr::col(invite::Column::Wrong).add(1_i64);
        invite::Entity::update_many()
            .col_expr(invite::Column::Wrong, wrong)
            .filter(invite::Column::Id.eq(found.id))
            .exec(&work.tx)
            .await?;
        let details = json!({ "code": found.id, "name": found.name });
        work.finish(change, "invite.wrong", &details).await?;
        Ok(())
    }

    async fn use_up(
        &self,
        change: &Change<'_>,
        found: &invite::Model,
        (redeemer, blob): (&Redeemer, Vec<u8>),
        name: Name,
    ) -> Result<Redeemed, WriteError> {
        let when = change.when.as_microsecond();
        let by = redeemer.fingerprint.to_string();
        let work = Work::begin(&self.writer()).await?;
        let used = invite::Entity::update_many()
            .col_expr(invite::Column::Used, Expr::val(when))
            .col_expr(invite::Column::UsedBy, Expr::val(by.clone()))
            .filter(invite::Column::Id.eq(found.id))
            .filter(invite::Column::Used.is_null())
            .filter(invite::Column::Wrong.lt(i64::from(TRIES)))
            .filter(invite::Column::Expires.gt(when))
            .exec(&work.tx)
            .await?;
        if used.rows_affected == 0 {
            // Somebody was faster; the same key with two connections, perhaps.
            let row = invite::Entity::find_by_id(found.id).one(&work.tx).await?;
            let is_same = row.is_some_and(|row| row.used_by.as_deref() == Some(by.as_str()));
            return Ok(if is_same {
                Redeemed::Device(name)
            } else {
                Redeemed::Refused(Useless::Used)
            });
        }
        let known = key::Entity::find().filter(key::Column::Fingerprint.eq(by.as_str()));
        if known.one(&work.tx).await?.is_some() {
            return Ok(Redeemed::Refused(Useless::Key));
        }
        let there = principal::Entity::find().filter(principal::Column::Name.eq(name.as_str()));
        let there = there.one(&work.tx).await?.map(|row| row.id);
        if there != found.device {
            return Ok(Redeemed::Refused(Useless::Device));
        }
        let device = if let Some(device) = there {
            device
        } else {
            let row = principal::ActiveModel {
                id: NotSet,
                name: Set(String::from(name.as_str())),
                kind: Set(String::from(kind_text(Kind::Device))),
                disabled: Set(false),
                grant_json: Set(found.grant_json.clone()),
                created: Set(when),
                note: Set(found.note.clone()),
            };
            let added = principal::Entity::insert(row).exec(&work.tx).await;
            added.map_err(|error| taken(error, &name))?.last_insert_id
        };
        let row = key::ActiveModel {
            id: NotSet,
            fingerprint: Set(by.clone()),
            principal: Set(device),
            blob: Set(blob),
            comment: Set(String::from("enrolled")),
            sources: Set(source_text(&SourceSet::default())?),
            not_after: Set(None),
            touch_required: Set(true),
            verify_required: Set(false),
            added: Set(when),
        };
        key::Entity::insert(row).exec(&work.tx).await?;
        let details = json!({
            "code": found.id,
            "name": name,
            "principal": device,
            "fingerprint": by,
            "is_new": there.is_none(),
        });
        work.finish(change, "invite.use", &details).await?;
        Ok(Redeemed::Device(name))
    }
}

/// Why that code is of no use to whoever gives it now. The secret is looked at first, in constant time: who does not
/// have it learns nothing of the rest.
fn useless(row: &invite::Model, redeemer: &Redeemer, now: Timestamp) -> Option<Useless> {
    let is_right = verify_slices_are_equal(row.hash.as_bytes(), redeemer.hash.as_bytes()).is_ok();
    let is_burned = row.wrong >= i64::from(TRIES);
    let by = redeemer.fingerprint.as_str();
    let is_others = row.used.is_some() && row.used_by.as_deref() != Some(by);
    if is_burned {
        Some(Useless::Burned)
    } else if !is_right {
        Some(Useless::Wrong)
    } else if row.expires <= now.as_microsecond() {
        Some(Useless::Expired)
    } else if is_others {
        Some(Useless::Used)
    } else {
        None
    }
}

fn read(row: invite::Model) -> Result<Invite, ReadError> {
    let used = match (moments(TABLE, row.id, row.used)?, &row.used_by) {
        (Some(when), Some(by)) => Some((when, fingerprint(TABLE, row.id, by)?)),
        _ => None,
    };
    Ok(Invite {
        id: u64::try_from(row.id).map_err(|_| damaged(&row, "its number is none"))?,
        name: name(&row)?,
        device: row.device.map(PrincipalId::new),
        grant: serde_json::from_str(&row.grant_json)
            .map_err(|_| damaged(&row, "its grant cannot be read"))?,
        created: moment(TABLE, row.id, row.created)?,
        expires: moment(TABLE, row.id, row.expires)?,
        wrong: u32::try_from(row.wrong).unwrap_or(u32::MAX),
        used,
        note: row.note,
    })
}

fn name(row: &invite::Model) -> Result<Name, ReadError> {
    let name = row.name.parse();
    name.map_err(|_| damaged(row, "its name is none"))
}

fn damaged(row: &invite::Model, what: &str) -> ReadError {
    ReadError::Damaged {
        table: TABLE,
        row: row.id,
        what: String::from(what),
    }
}

fn number(id: u64) -> Result<i64, WriteError> {
    i64::try_from(id).map_err(|_| unknown(id))
}

fn unknown(id: u64) -> WriteError {
    WriteError::Unknown {
        what: "code",
        which: id.to_string(),
    }
}

/// How long an invite is shown after its end, in microseconds: a day.
const KEPT: i64 = 86_400_000_000;
