//! Changes, their versions and the audit.

use std::collections::BTreeSet;
use std::sync::Arc;

use adit_model::lease::{Holding, Reserved};
use adit_store::{Place, Revoked, Standing, WriteError};
use serde_json::json;
use tokio::task::JoinSet;

use super::{added, open};
use crate::sample::{NOW, at, authority, change, fingerprint, grant, key, lease, principal, until};

#[expect(clippy::too_many_lines, reason = "one line for each change there is")]
pub(crate) async fn every_change_raises_the_version_and_is_audited(place: Place) {
    let store = open(&place).await;
    let start = store.version().await.unwrap();
    let change = change();
    let added = store
        .add_principal(&change, &principal("red001"))
        .await
        .unwrap();
    let (id, mut versions) = (added.it, vec![added.version]);
    let of = fingerprint(2);
    let ports = Reserved::Ports("443".parse().unwrap());
    let mut done = |version| versions.push(version);
    done(
        store
            .set_grant(&change, id, &grant())
            .await
            .unwrap()
            .version,
    );
    done(
        store
            .set_standing(&change, id, Standing::Disabled)
            .await
            .unwrap()
            .version,
    );
    done(
        store
            .set_standing(&change, id, Standing::Enabled)
            .await
            .unwrap()
            .version,
    );
    done(store.add_key(&change, &key(id, 0)).await.unwrap().version);
    done(
        store
            .remove_key(&change, &fingerprint(0))
            .await
            .unwrap()
            .version,
    );
    done(
        store
            .add_authority(&change, &authority(2))
            .await
            .unwrap()
            .version,
    );
    done(
        store
            .set_authority_name(&change, &of, "a", id)
            .await
            .unwrap()
            .version,
    );
    done(
        store
            .remove_authority_name(&change, &of, "a")
            .await
            .unwrap()
            .version,
    );
    done(store.remove_authority(&change, &of).await.unwrap().version);
    let revoked = Revoked::Key(of);
    let revocation = store.add_revocation(&change, &revoked, "").await.unwrap();
    done(revocation.version);
    done(
        store
            .remove_revocation(&change, revocation.it)
            .await
            .unwrap()
            .version,
    );
    let reservation = store
        .add_reservation(&change, &ports, id, "")
        .await
        .unwrap();
    done(reservation.version);
    done(
        store
            .remove_reservation(&change, reservation.it)
            .await
            .unwrap()
            .version,
    );
    let held = [lease(Holding::Port(443), id, 1)];
    let leases = store.keep_leases(&held).await.unwrap();
    done(
        store
            .remove_lease(&change, leases[0])
            .await
            .unwrap()
            .version,
    );
    done(
        store
            .remove_principal(&change, id, until())
            .await
            .unwrap()
            .version,
    );

    let expected: Vec<u64> = (start + 1..).take(versions.len()).collect();
    assert_eq!(versions, expected);
    assert_eq!(store.version().await.unwrap(), *expected.last().unwrap());
    let audit = store.audit(None, 100).await.unwrap();
    let whats: Vec<_> = audit
        .iter()
        .rev()
        .map(|entry| entry.what.as_str())
        .collect();
    assert_eq!(
        whats,
        [
            "principal.add",
            "principal.grant",
            "principal.disable",
            "principal.enable",
            "key.add",
            "key.remove",
            "authority.add",
            "authority.name",
            "authority.unname",
            "authority.remove",
            "revocation.add",
            "revocation.remove",
            "reservation.add",
            "reservation.remove",
            "lease.remove",
            "principal.remove",
        ]
    );
    assert!(
        audit
            .iter()
            .all(|entry| entry.who == "uid 0" && entry.when == at(NOW))
    );
    assert_eq!(audit.last().unwrap().details["name"], json!("red001"));
}

pub(crate) async fn a_change_that_fails_leaves_nothing(place: Place) {
    let store = open(&place).await;
    let id = added(&store, "red001").await;
    store.add_key(&change(), &key(id, 0)).await.unwrap();
    let before = (
        store.load().await.unwrap(),
        store.audit(None, 100).await.unwrap(),
    );
    store.add_key(&change(), &key(id, 0)).await.unwrap_err();
    store
        .add_principal(&change(), &principal("red001"))
        .await
        .unwrap_err();
    store.remove_reservation(&change(), 77).await.unwrap_err();
    let after = (
        store.load().await.unwrap(),
        store.audit(None, 100).await.unwrap(),
    );
    assert_eq!(before, after);
}

pub(crate) async fn notes_are_read_from_the_newest(place: Place) {
    let store = open(&place).await;
    let version = store.version().await.unwrap();
    for number in 0..5 {
        let details = json!({ "number": number, "from": "192.0.2.1" });
        store
            .note(&change(), "lease.takeover", &details)
            .await
            .unwrap();
    }
    assert_eq!(store.version().await.unwrap(), version);
    let newest = store.audit(None, 2).await.unwrap();
    let older = store.audit(Some(newest[1].id), 100).await.unwrap();
    let numbers = newest
        .iter()
        .chain(&older)
        .map(|entry| &entry.details["number"]);
    assert_eq!(numbers.collect::<Vec<_>>(), [4, 3, 2, 1, 0]);
    let large = json!({ "text": "a".repeat(70_000) });
    let error = store
        .note(&change(), "lease.takeover", &large)
        .await
        .unwrap_err();
    assert!(matches!(error, WriteError::TooLarge { .. }), "{error}");
}

pub(crate) async fn writers_of_two_processes_stand_in_one_line(place: Place) {
    const WRITERS: usize = 6;
    const CHANGES: usize = 5;
    let stores = [Arc::new(open(&place).await), Arc::new(open(&place).await)];
    let start = stores[0].version().await.unwrap();
    let mut writers = JoinSet::new();
    for (number, store) in stores.iter().cycle().take(WRITERS).enumerate() {
        let store = Arc::clone(store);
        writers.spawn(async move {
            let mut versions = Vec::new();
            for turn in 0..CHANGES {
                let new = principal(&format!("p{number}-{turn}"));
                let written = store.add_principal(&change(), &new).await.unwrap();
                versions.push(written.version);
            }
            assert!(versions.is_sorted(), "{versions:?}");
            versions
        });
    }
    let versions: BTreeSet<u64> = writers.join_all().await.into_iter().flatten().collect();
    let expected: BTreeSet<u64> = (start + 1..).take(WRITERS * CHANGES).collect();
    assert_eq!(versions, expected);
}

pub(crate) async fn a_load_shows_one_moment(place: Place) {
    const PAIRS: usize = 25;
    let store = Arc::new(open(&place).await);
    let start = store.version().await.unwrap();
    let mut writer = JoinSet::new();
    let shared = Arc::clone(&store);
    writer.spawn(async move {
        for number in 0..PAIRS {
            let id = added(&shared, &format!("p{number}")).await;
            shared.add_key(&change(), &key(id, number)).await.unwrap();
        }
    });
    let mut is_done = false;
    while !is_done {
        is_done = writer.is_empty() || writer.try_join_next().is_some();
        let rows = store.load().await.unwrap();
        let changes = rows.principals.len() + rows.keys.len();
        assert_eq!(rows.version, start + u64::try_from(changes).unwrap());
        assert!(rows.principals.len() - rows.keys.len() <= 1);
    }
    assert_eq!(store.load().await.unwrap().keys.len(), PAIRS);
}
