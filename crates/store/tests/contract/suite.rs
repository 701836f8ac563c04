//! The promises that every database keeps.

use std::collections::BTreeSet;
use std::sync::Arc;

use adit_model::id::{Epoch, LeaseId, PrincipalId};
use adit_model::lease::{Holding, LeaseState, Reserved};
use adit_store::{OpenError, Place, ReadError, Revoked, Standing, Store, WriteError};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection};
use serde_json::json;
use tokio::task::JoinSet;

use crate::sample::{NOW, at, authority, change, fingerprint, grant, key, lease, principal, until};

/// Gives the names of all promises to another macro.
macro_rules! every_promise {
    ($then:ident) => {
        $then! {
            a_principal_is_kept_as_it_was_added,
            a_name_is_of_one_principal,
            a_key_is_of_one_principal,
            texts_are_compared_byte_by_byte,
            what_a_principal_may_do_changes,
            a_removed_principal_leaves_nothing_but_quarantine,
            a_number_is_never_given_twice,
            an_authority_names_principals,
            revocations_are_kept_to_the_last_digit,
            reservations_are_kept,
            leases_come_back_as_they_were,
            a_late_word_about_a_lease_changes_nothing,
            leases_are_kept_all_or_none,
            every_change_raises_the_version_and_is_audited,
            a_change_that_fails_leaves_nothing,
            notes_are_read_from_the_newest,
            words_are_fit_to_be_shown,
            writers_of_two_processes_stand_in_one_line,
            a_load_shows_one_moment,
            the_epoch_floor_only_rises,
            a_store_that_is_opened_again_is_the_same,
            a_store_of_a_newer_program_is_refused,
            a_damaged_row_takes_nothing_from_anybody_else,
        }
    };
}
pub(crate) use every_promise;

pub(crate) async fn open(place: &Place) -> Store {
    Store::open(place.clone(), at(NOW)).await.unwrap()
}

/// A connection beside the store's.
async fn raw(place: &Place) -> DatabaseConnection {
    let url = match place {
        Place::File(path) => format!("sqlite://{}", path.display()),
        Place::Url(url) => String::from(url.expose()),
    };
    Database::connect(url).await.unwrap()
}

async fn added(store: &Store, name: &str) -> PrincipalId {
    let new = principal(name);
    store.add_principal(&change(), &new).await.unwrap().it
}

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
