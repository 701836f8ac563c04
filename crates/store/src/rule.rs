//! Rules with a number: reservations and revocations are added, read and removed alike.

use sea_orm::{
    ActiveModelTrait, ConnectionTrait, EntityTrait, IntoActiveModel, PrimaryKeyTrait, QueryOrder,
};
use serde_json::{Value, json};

use crate::change::{Change, Work, Written};
use crate::error::{ReadError, WriteError};
use crate::store::{ANSWER, Store};

/// The table of a rule, whose rows have a number each.
pub(crate) trait Table: EntityTrait<PrimaryKey: PrimaryKeyTrait<ValueType = i64>> {
    /// What a row means.
    type Rule: Send;

    /// What one is called, in the audit and to whoever asks for one that is not there.
    const NOUN: &'static str;

    /// The column of the number.
    const ID: Self::Column;

    /// Reads a row.
    fn read(row: Self::Model) -> Result<Self::Rule, ReadError>;

    /// What a rule is about, for the audit.
    fn what(rule: &Self::Rule) -> Value;
}

/// Adds a row, with these details of it for the audit. Its number is returned.
pub(crate) async fn add<T: Table>(
    work: Work,
    change: &Change<'_>,
    row: impl ActiveModelTrait<Entity = T> + Send,
    mut details: Value,
) -> Result<Written<i64>, WriteError> {
    let it = T::insert(row).exec(&work.tx).await?.last_insert_id;
    if let Some(details) = details.as_object_mut() {
        details.insert(String::from(T::NOUN), it.into());
    }
    let what = format!("{}.add", T::NOUN);
    let version = work.finish(change, &what, &details).await?;
    Ok(Written { it, version })
}

/// All of them, in the order in which they were added.
pub(crate) async fn all<T: Table>(db: &impl ConnectionTrait) -> Result<Vec<T::Rule>, ReadError> {
    let rows = T::find().order_by_asc(T::ID).all(db).await?;
    rows.into_iter().map(T::read).collect()
}

impl Store {
    /// All of them, in time.
    pub(crate) async fn rules<T: Table>(&self) -> Result<Vec<T::Rule>, ReadError> {
        self.within(ANSWER, async { all::<T>(&self.readers()).await })
            .await
    }

    /// Removes the one of that number.
    pub(crate) async fn remove_rule<T: Table>(
        &self,
        change: &Change<'_>,
        id: i64,
    ) -> Result<Written<()>, WriteError>
    where
        T::Model: IntoActiveModel<T::ActiveModel> + Send,
    {
        self.within(ANSWER, async {
            let work = Work::begin(&self.writer()).await?;
            let row = T::find_by_id(id).one(&work.tx).await?;
            let row = row.ok_or_else(|| WriteError::Unknown {
                what: T::NOUN,
                which: format!("#{id}"),
            })?;
            T::delete_by_id(id).exec(&work.tx).await?;
            let details = json!({ T::NOUN: id, "of": T::what(&T::read(row)?) });
            let what = format!("{}.remove", T::NOUN);
            let version = work.finish(change, &what, &details).await?;
            Ok(Written { it: (), version })
        })
        .await
    }
}
