//! Leases and their epochs.

use adit_model::id::{Epoch, LeaseId};
use adit_model::lease::{Holding, LeaseState};
use adit_store::{Place, WriteError};

use super::{added, open};
use crate::sample::{NOW, at, change, drawn, lease};

pub(crate) async fn leases_come_back_as_they_were(place: Place) {
    let store = open(&place).await;
    let id = added(&store, "red001").await;
    let mut leases = [
        lease(Holding::Port(8_080), id, 1),
        lease(Holding::Unix(id, "db.sock".parse().unwrap()), id, 2),
        lease(
            Holding::Name("shop.example".parse().unwrap()),
            id,
            u64::MAX >> 1,
        ),
    ];
    leases[1].state = LeaseState::Grace(at("2026-11-22T10:05:00.000001Z"));
    leases[2].state = LeaseState::Quarantine(at("2026-12-22T10:05:00Z"));
    leases[0].drawn = Some(drawn());
    leases[2].scope = "[2001:db8::1]".parse::<ScopeText>().unwrap().0;
    let ids = store.keep_leases(&leases).await.unwrap();
    for (lease, id) in leases.iter_mut().zip(ids) {
        lease.id = id;
    }
    assert_eq!(store.leases().await.unwrap(), leases);

    leases[0].state = leases[1].state;
    leases[0].epoch = Epoch::new(7);
    let ids = store.keep_leases(&leases[..1]).await.unwrap();
    assert_eq!(ids, [leases[0].id]);
    store.close().await;
    let store = open(&place).await;
    assert_eq!(store.leases().await.unwrap(), leases);

    let ids: Vec<_> = leases.iter().map(|lease| lease.id).collect();
    let LeaseState::Quarantine(until) = leases[2].state else {
        panic!("{:?}", leases[2].state);
    };
    let early = until - jiff::SignedDuration::from_micros(1);
    store.forget_leases(&ids, early).await.unwrap();
    assert_eq!(store.leases().await.unwrap(), leases);
    store.forget_leases(&ids, until).await.unwrap();
    assert_eq!(store.leases().await.unwrap(), leases[..2]);
    let removed = store.remove_lease(&change(), leases[1].id).await.unwrap();
    assert_eq!(removed.it, leases[1]);
    assert_eq!(store.leases().await.unwrap(), leases[..1]);
    let again = store
        .remove_lease(&change(), leases[1].id)
        .await
        .unwrap_err();
    assert!(matches!(again, WriteError::Unknown { what: "lease", .. }));
}

struct ScopeText(adit_model::address::Scope);

impl std::str::FromStr for ScopeText {
    type Err = adit_model::address::ScopeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        adit_model::address::Scope::read(text).map(Self)
    }
}

pub(crate) async fn a_late_word_about_a_lease_changes_nothing(place: Place) {
    let store = open(&place).await;
    let one = added(&store, "red001").await;
    let two = added(&store, "red002").await;
    let newer = lease(Holding::Port(443), one, 9);
    let mut older = lease(Holding::Port(443), one, 8);
    older.state = LeaseState::Grace(at(NOW));
    let id = store
        .keep_leases(std::slice::from_ref(&newer))
        .await
        .unwrap();
    assert_eq!(store.keep_leases(&[older]).await.unwrap(), id);
    let kept = store.leases().await.unwrap();
    assert_eq!(
        (kept[0].epoch, kept[0].state),
        (newer.epoch, LeaseState::Held)
    );

    let others = lease(Holding::Port(443), two, 3);
    store.keep_leases(&[others]).await.unwrap();
    let kept = store.leases().await.unwrap();
    assert_eq!((kept.len(), kept[0].principal, kept[0].id), (1, two, id[0]));
}

pub(crate) async fn leases_are_kept_all_or_none(place: Place) {
    let store = open(&place).await;
    let id = added(&store, "red001").await;
    let both = [
        lease(Holding::Port(80), id, 1),
        lease(Holding::Port(81), id, u64::MAX),
    ];
    let error = store.keep_leases(&both).await.unwrap_err();
    assert!(matches!(error, WriteError::Range { what: "epoch" }));
    assert_eq!(store.leases().await.unwrap(), []);
    assert_eq!(store.keep_leases(&[]).await.unwrap(), Vec::<LeaseId>::new());
}

pub(crate) async fn the_epoch_floor_only_rises(place: Place) {
    let store = open(&place).await;
    let id = added(&store, "red001").await;
    let first = store.epoch_floor(at("2026-11-22T10:00:00Z")).await.unwrap();
    let millis = at("2026-11-22T10:00:00Z").as_millisecond();
    assert_eq!(first, Epoch::floor_at(u64::try_from(millis).unwrap()));
    let later = store.epoch_floor(at("2026-11-22T11:00:00Z")).await.unwrap();
    assert!(first < later);
    // The clock goes back, and a takeover had happened meanwhile.
    let used = Epoch::new(later.get() + 1_000_000_000_000);
    let held = lease(Holding::Port(443), id, used.get());
    store.keep_leases(&[held]).await.unwrap();
    let back = store.epoch_floor(at("2020-01-01T00:00:00Z")).await.unwrap();
    assert!(used < back);
    assert!(back < store.epoch_floor(at("2020-01-01T00:00:00Z")).await.unwrap());
    let error = store
        .epoch_floor(at("9000-01-01T00:00:00Z"))
        .await
        .unwrap_err();
    assert!(matches!(error, WriteError::Range { .. }), "{error}");
}
