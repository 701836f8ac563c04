//! Principals, their keys and the authorities that name them.

use adit_model::id::PrincipalId;
use adit_model::lease::{Holding, LeaseState, Reserved};
use adit_store::{Place, Standing, WriteError};

use super::{added, open};
use crate::sample::{NOW, at, authority, change, fingerprint, grant, key, lease, principal, until};

pub(crate) async fn a_principal_is_kept_as_it_was_added(place: Place) {
    let store = open(&place).await;
    let new = principal("red001");
    let id = store.add_principal(&change(), &new).await.unwrap().it;
    let kept = store.principal_named(&new.name).await.unwrap().unwrap();
    assert_eq!(kept.id, id);
    assert_eq!(kept.name, new.name);
    assert_eq!(kept.kind, new.kind);
    assert_eq!(kept.grant, grant());
    assert_eq!(kept.standing, Standing::Enabled);
    assert_eq!(kept.created, at(NOW));
    assert_eq!(kept.note, new.note);
    assert_eq!(store.principals().await.unwrap(), [kept]);
    let nobody = "red002".parse().unwrap();
    assert_eq!(store.principal_named(&nobody).await.unwrap(), None);
}

pub(crate) async fn a_name_is_of_one_principal(place: Place) {
    let store = open(&place).await;
    added(&store, "red001").await;
    let error = store.add_principal(&change(), &principal("RED001")).await;
    let error = error.unwrap_err();
    assert!(
        matches!(&error, WriteError::NameTaken { name } if name == "red001"),
        "{error}"
    );
}

pub(crate) async fn a_key_is_of_one_principal(place: Place) {
    let store = open(&place).await;
    let one = added(&store, "red001").await;
    let two = added(&store, "red002").await;
    store.add_key(&change(), &key(one, 0)).await.unwrap();
    for principal in [one, two] {
        let error = store
            .add_key(&change(), &key(principal, 0))
            .await
            .unwrap_err();
        assert!(
            matches!(&error, WriteError::KeyTaken { owner, .. } if owner == "red001"),
            "{error}"
        );
    }
    let kept = store.keys(Some(one)).await.unwrap();
    let new = key(one, 0);
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].fingerprint, new.fingerprint);
    assert_eq!(kept[0].blob, new.blob);
    assert_eq!(kept[0].comment, new.comment);
    assert_eq!(kept[0].sources, new.sources);
    assert_eq!(kept[0].not_after, new.not_after);
    assert!(kept[0].touch_required && !kept[0].verify_required);
    assert_eq!(store.keys(Some(two)).await.unwrap(), []);

    store.remove_key(&change(), &fingerprint(0)).await.unwrap();
    let again = store
        .remove_key(&change(), &fingerprint(0))
        .await
        .unwrap_err();
    assert!(matches!(again, WriteError::Unknown { what: "key", .. }));
    store.add_key(&change(), &key(two, 0)).await.unwrap();
    let nobody = store
        .add_key(&change(), &key(PrincipalId::new(999), 2))
        .await;
    assert!(matches!(
        nobody.unwrap_err(),
        WriteError::Unknown {
            what: "principal",
            ..
        }
    ));
}

pub(crate) async fn texts_are_compared_byte_by_byte(place: Place) {
    let store = open(&place).await;
    let id = added(&store, "red001").await;
    store.add_key(&change(), &key(id, 0)).await.unwrap();
    store.add_key(&change(), &key(id, 1)).await.unwrap();
    store.remove_key(&change(), &fingerprint(1)).await.unwrap();
    let left = store.keys(None).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].fingerprint, fingerprint(0));
}

pub(crate) async fn what_a_principal_may_do_changes(place: Place) {
    let store = open(&place).await;
    let id = added(&store, "red001").await;
    let mut grant = grant();
    grant.ports = "8080".parse().unwrap();
    store.set_grant(&change(), id, &grant).await.unwrap();
    let disabled = store.set_standing(&change(), id, Standing::Disabled).await;
    let rows = store.load().await.unwrap();
    assert_eq!(rows.version, disabled.unwrap().version);
    assert_eq!(rows.principals[0].grant, grant);
    assert_eq!(rows.principals[0].standing, Standing::Disabled);
    store
        .set_standing(&change(), id, Standing::Enabled)
        .await
        .unwrap();
    let rows = store.load().await.unwrap();
    assert_eq!(rows.principals[0].standing, Standing::Enabled);
    let nobody = store
        .set_grant(&change(), PrincipalId::new(999), &grant)
        .await;
    assert!(matches!(nobody.unwrap_err(), WriteError::Unknown { .. }));
}

pub(crate) async fn a_removed_principal_leaves_nothing_but_quarantine(place: Place) {
    let store = open(&place).await;
    let id = added(&store, "red001").await;
    let other = added(&store, "red002").await;
    store.add_key(&change(), &key(id, 0)).await.unwrap();
    store.add_key(&change(), &key(other, 1)).await.unwrap();
    store.add_authority(&change(), &authority(2)).await.unwrap();
    for (name, principal) in [("one", id), ("two", other)] {
        let change = &change();
        let of = &fingerprint(2);
        store
            .set_authority_name(change, of, name, principal)
            .await
            .unwrap();
    }
    let ports = Reserved::Ports("443".parse().unwrap());
    store
        .add_reservation(&change(), &ports, id, "")
        .await
        .unwrap();
    let held = [
        lease(Holding::Port(443), id, 5),
        lease(Holding::Name("shop.example".parse().unwrap()), id, 6),
        lease(Holding::Unix(id, "db.sock".parse().unwrap()), id, 7),
        lease(Holding::Port(80), other, 8),
    ];
    store.keep_leases(&held).await.unwrap();
    store
        .remove_principal(&change(), id, until())
        .await
        .unwrap();

    let rows = store.load().await.unwrap();
    assert_eq!(rows.principals.len(), 1);
    assert_eq!(rows.principals[0].id, other);
    assert_eq!(rows.keys.len(), 1);
    assert_eq!(rows.keys[0].principal, other);
    assert_eq!(rows.reservations, []);
    assert_eq!(
        rows.authorities[0].names.iter().collect::<Vec<_>>(),
        [(&String::from("two"), &other)]
    );
    let left = store.leases().await.unwrap();
    let left: Vec<_> = left
        .iter()
        .map(|lease| (&lease.holding, lease.state))
        .collect();
    assert_eq!(
        left,
        [
            (&held[0].holding, LeaseState::Quarantine(until().ports)),
            (&held[1].holding, LeaseState::Quarantine(until().names)),
            (&held[3].holding, LeaseState::Held),
        ]
    );
    let again = store
        .remove_principal(&change(), id, until())
        .await
        .unwrap_err();
    assert!(matches!(again, WriteError::Unknown { .. }));
}

pub(crate) async fn a_number_is_never_given_twice(place: Place) {
    let store = open(&place).await;
    let first = added(&store, "red001").await;
    let second = added(&store, "red002").await;
    store
        .remove_principal(&change(), second, until())
        .await
        .unwrap();
    store.close().await;
    let store = open(&place).await;
    let third = added(&store, "red002").await;
    assert!(first < second && second < third, "{first} {second} {third}");
}

pub(crate) async fn an_authority_names_principals(place: Place) {
    let store = open(&place).await;
    let one = added(&store, "red001").await;
    let two = added(&store, "red002").await;
    let (change, of) = (change(), fingerprint(0));
    store.add_authority(&change, &authority(0)).await.unwrap();
    let again = store
        .add_authority(&change, &authority(0))
        .await
        .unwrap_err();
    assert!(matches!(again, WriteError::AuthorityTaken { .. }));
    for (name, principal) in [
        ("Admin", one),
        ("admin", two),
        ("gone", one),
        ("Admin", two),
    ] {
        store
            .set_authority_name(&change, &of, name, principal)
            .await
            .unwrap();
    }
    store
        .remove_authority_name(&change, &of, "gone")
        .await
        .unwrap();
    let unknown = store.remove_authority_name(&change, &of, "gone").await;
    assert!(matches!(unknown.unwrap_err(), WriteError::Unknown { .. }));
    let kept = store.authorities().await.unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].blob, authority(0).blob);
    let names: Vec<_> = kept[0]
        .names
        .iter()
        .map(|(name, id)| (name.as_str(), *id))
        .collect();
    assert_eq!(names, [("Admin", two), ("admin", two)]);
    store.remove_authority(&change, &of).await.unwrap();
    assert_eq!(store.authorities().await.unwrap(), []);
}

pub(crate) async fn words_are_fit_to_be_shown(place: Place) {
    let store = open(&place).await;
    let id = added(&store, "red001").await;
    let mut new = key(id, 0);
    new.comment = format!("a\u{1b}[2J\u{202e}\0b{}", "\u{1f600}".repeat(300));
    store.add_key(&change(), &new).await.unwrap();
    let kept = store.keys(None).await.unwrap();
    assert!(
        kept[0].comment.starts_with("a[2Jb\u{1f600}"),
        "{}",
        kept[0].comment
    );
    assert_eq!(kept[0].comment.chars().count(), 200);
    let mut new = key(id, 1);
    new.comment = String::from("-----BEGIN OPENSSH PRIVATE KEY-----");
    let error = store.add_key(&change(), &new).await.unwrap_err();
    assert!(
        matches!(error, WriteError::Secret { what: "comment" }),
        "{error}"
    );
}
