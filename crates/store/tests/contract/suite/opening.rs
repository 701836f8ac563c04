//! What is found when a store is opened.

use adit_model::lease::{Holding, LeaseState};
use adit_model::month::Month;
use adit_store::{OpenError, Place, ReadError, Store};
use sea_orm::ConnectionTrait;

use super::{added, open, raw};
use crate::sample::{NOW, at, change, drawn, grant, lease};

pub(crate) async fn a_store_that_is_opened_again_is_the_same(place: Place) {
    let store = open(&place).await;
    added(&store, "red001").await;
    let (instance, rows) = (String::from(store.instance()), store.load().await.unwrap());
    assert_eq!(instance.len(), 32);
    let beside = open(&place).await;
    assert_eq!(beside.instance(), instance);
    store.close().await;
    assert_eq!(beside.load().await.unwrap(), rows);
}

pub(crate) async fn a_store_of_a_newer_program_is_refused(place: Place) {
    open(&place).await.close().await;
    let beside = raw(&place).await;
    let newer = "INSERT INTO adit_schema VALUES (99, 0)";
    beside.execute_unprepared(newer).await.unwrap();
    let error = Store::open(place.clone(), at(NOW)).await.unwrap_err();
    assert!(
        matches!(error, OpenError::Newer { found: 99, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("run the newer adit"), "{error}");
    beside.close().await.unwrap();
}

pub(crate) async fn a_damaged_row_takes_nothing_from_anybody_else(place: Place) {
    let store = open(&place).await;
    let id = added(&store, "red001").await;
    let beside = raw(&place).await;
    let other = added(&store, "red002").await;
    store
        .keep_leases(&[
            lease(Holding::Port(8080), id, 5),
            lease(Holding::Port(8081), other, 6),
        ])
        .await
        .unwrap();
    for damage in [
        format!(
            "UPDATE adit_principals SET grant_json = '{{\"port\": 1}}' WHERE id = {}",
            id.get()
        ),
        String::from("UPDATE adit_leases SET state = 'broken' WHERE holding = 'port:8080'"),
    ] {
        beside.execute_unprepared(&damage).await.unwrap();
    }
    let rows = store.load().await.unwrap();
    let ids: Vec<_> = rows.principals.iter().map(|row| row.id).collect();
    assert_eq!(ids, [other]);
    let error = store.principals().await.unwrap_err();
    assert!(
        matches!(&error, ReadError::Damaged { table: "adit_principals", row, .. } if *row == id.get()),
        "{error}"
    );
    let leases = store.leases().await.unwrap();
    assert_eq!(leases[0].holding, Holding::Port(8080));
    assert!(matches!(leases[0].state, LeaseState::Quarantine(_)));
    assert_eq!(leases[1].holding, Holding::Port(8081));
    // A revocation that cannot be read may be of anybody's key.
    let damage = "INSERT INTO adit_revocations (kind, fingerprint, note, added) VALUES ('key', 'none', '', 0)";
    beside.execute_unprepared(damage).await.unwrap();
    store.load().await.unwrap_err();
    let mend = "DELETE FROM adit_revocations";
    beside.execute_unprepared(mend).await.unwrap();
    // It can still be corrected by what an operator has.
    store.set_grant(&change(), id, &grant()).await.unwrap();
    store.load().await.unwrap();
    beside.close().await.unwrap();
}

/// Takes the steps after the first back, as far as they went.
async fn go_back(place: &Place, statements: &[&str]) {
    let beside = raw(place).await;
    let recorded = "DELETE FROM adit_schema WHERE version >= 2";
    for statement in statements.iter().chain([&recorded]) {
        beside.execute_unprepared(statement).await.unwrap();
    }
    beside.close().await.unwrap();
}

pub(crate) async fn a_store_of_an_older_program_is_brought_up_and_loses_nothing(place: Place) {
    let store = open(&place).await;
    let id = added(&store, "red001").await;
    let mut held = lease(Holding::Port(8080), id, 5);
    held.id = store.keep_leases(&[held.clone()]).await.unwrap()[0];
    let (rows, instance) = (store.load().await.unwrap(), String::from(store.instance()));
    store.close().await;
    let statements = [
        "DROP TABLE adit_usages",
        "DROP TABLE adit_invites",
        "ALTER TABLE adit_leases DROP COLUMN drawn_host",
        "ALTER TABLE adit_leases DROP COLUMN drawn_label",
    ];
    go_back(&place, &statements).await;

    let store = open(&place).await;
    assert_eq!(store.instance(), instance);
    assert_eq!(store.load().await.unwrap(), rows);
    assert_eq!(store.leases().await.unwrap(), [held.clone()]);
    held.drawn = Some(drawn());
    store.keep_leases(&[held.clone()]).await.unwrap();
    assert_eq!(store.leases().await.unwrap(), [held]);
    let month = Month::of(at(NOW));
    assert_eq!(store.usages(month).await.unwrap(), []);
    if let Place::File(file) = &place {
        let copies = std::fs::read_dir(file.with_file_name("backups")).unwrap();
        assert_eq!(copies.count(), 1, "it was copied before");
    }
}

/// Where statements that change tables are no part of a transaction, a step may have stopped after any of them.
pub(crate) async fn half_a_step_of_the_schema_is_made_whole(place: Place) {
    open(&place).await.close().await;
    let statements: &[&str] = match &place {
        // Half a step is never left there.
        Place::File(_) => return,
        Place::Url(url) if url.expose().starts_with("postgres") => return,
        Place::Url(_) => &["ALTER TABLE adit_leases DROP COLUMN drawn_label"],
    };
    go_back(&place, statements).await;
    let store = open(&place).await;
    let id = added(&store, "red001").await;
    let mut held = lease(Holding::Port(8080), id, 5);
    held.drawn = Some(drawn());
    held.id = store.keep_leases(&[held.clone()]).await.unwrap()[0];
    assert_eq!(store.leases().await.unwrap(), [held]);
}
