//! Revocations and reservations.

use adit_model::lease::Reserved;
use adit_store::{Place, Revoked, WriteError};

use super::{added, open};
use crate::sample::{NOW, at, change, fingerprint};

pub(crate) async fn revocations_are_kept_to_the_last_digit(place: Place) {
    let store = open(&place).await;
    let all = [
        Revoked::Key(fingerprint(0)),
        Revoked::Serials {
            authority: fingerprint(1),
            from: 0,
            to: u64::MAX,
        },
        Revoked::KeyId {
            authority: fingerprint(1),
            id: String::from("laptop of K\u{e4}the"),
        },
    ];
    for what in &all {
        store
            .add_revocation(&change(), what, "stolen")
            .await
            .unwrap();
    }
    let kept = store.revocations().await.unwrap();
    let whats: Vec<_> = kept.iter().map(|kept| kept.what.clone()).collect();
    assert_eq!(whats, all);
    assert!(
        kept.iter()
            .all(|kept| kept.note == "stolen" && kept.added == at(NOW))
    );
    store
        .remove_revocation(&change(), kept[1].id)
        .await
        .unwrap();
    assert_eq!(store.load().await.unwrap().revocations.len(), 2);
    let again = store
        .remove_revocation(&change(), kept[1].id)
        .await
        .unwrap_err();
    assert!(matches!(again, WriteError::Unknown { .. }));
}

pub(crate) async fn reservations_are_kept(place: Place) {
    let store = open(&place).await;
    let id = added(&store, "red001").await;
    let all = [
        Reserved::Ports("40100-40199,443".parse().unwrap()),
        Reserved::Name("shop.example".parse().unwrap()),
    ];
    for what in &all {
        store
            .add_reservation(&change(), what, id, "the shop")
            .await
            .unwrap();
    }
    let kept = store.reservations().await.unwrap();
    let whats: Vec<_> = kept.iter().map(|kept| kept.what.clone()).collect();
    assert_eq!(whats, all);
    assert!(
        kept.iter()
            .all(|kept| kept.principal == id && kept.note == "the shop")
    );
    store
        .remove_reservation(&change(), kept[0].id)
        .await
        .unwrap();
    assert_eq!(store.reservations().await.unwrap(), kept[1..]);
}
