//! What principals have carried.

use adit_model::id::PrincipalId;
use adit_model::month::Month;
use adit_store::{Place, Usage};

use super::{added, open};
use crate::sample::{at, change, until};

fn usage(principal: PrincipalId, down: u64, up: u64) -> Usage {
    Usage {
        principal,
        down,
        up,
    }
}

pub(crate) async fn bytes_of_a_month_are_kept_and_replaced(place: Place) {
    let store = open(&place).await;
    let version = store.version().await.unwrap();
    let one = added(&store, "red001").await;
    let two = added(&store, "red002").await;
    let month = Month::of(at("2026-11-30T23:59:59Z"));
    let next = Month::of(at("2026-12-01T00:00:00Z"));
    assert_eq!(store.usages(month).await.unwrap(), []);
    store.keep_usages(month, &[]).await.unwrap();
    let first = [usage(one, 1, u64::MAX >> 1), usage(two, 0, 7)];
    store.keep_usages(month, &first).await.unwrap();
    let more = [usage(two, 5, 8)];
    store.keep_usages(month, &more).await.unwrap();
    store.keep_usages(next, &[usage(one, 2, 2)]).await.unwrap();
    store.close().await;

    let store = open(&place).await;
    assert_eq!(store.usages(month).await.unwrap(), [first[0], more[0]]);
    assert_eq!(store.usages(next).await.unwrap(), [usage(one, 2, 2)]);
    assert_eq!(store.version().await.unwrap(), version + 2);
    // What one that is gone has carried is nobody's.
    store
        .remove_principal(&change(), one, until())
        .await
        .unwrap();
    assert_eq!(store.usages(month).await.unwrap(), more);
    assert_eq!(store.usages(next).await.unwrap(), []);
    // A year and a month later.
    let later = Month::of(at("2027-12-01T00:00:00Z"));
    store.keep_usages(later, &[]).await.unwrap();
    assert_eq!(store.usages(month).await.unwrap(), []);
}

pub(crate) async fn many_principals_are_kept_at_once(place: Place) {
    let store = open(&place).await;
    let month = Month::of(at("2026-11-22T00:00:00Z"));
    let all: Vec<_> = (1..=2_500)
        .map(|number| usage(PrincipalId::new(number), 1, 2))
        .collect();
    for _ in 0..2 {
        store.keep_usages(month, &all).await.unwrap();
        assert_eq!(store.usages(month).await.unwrap(), all);
    }
}
