//! Enrolment codes.

use std::sync::Arc;

use adit_model::id::PrincipalId;
use adit_store::{
    Change, Kind, NewInvite, Place, Redeemed, Redeemer, Store, TRIES, Useless, WriteError,
};
use tokio::task::JoinSet;

use super::{added, open};
use crate::sample::{NOW, at, change, fingerprint, grant, key, until};

const ID: u64 = (1 << 40) - 1;

fn hash(digit: char) -> String {
    digit.to_string().repeat(64)
}

fn invite(name: &str, device: Option<PrincipalId>) -> NewInvite {
    NewInvite {
        id: ID,
        hash: hash('a'),
        name: name.parse().unwrap(),
        device,
        grant: grant(),
        note: String::from("by the door"),
        expires: at("2026-11-22T11:00:00Z"),
    }
}

fn redeemer(number: usize) -> Redeemer {
    Redeemer {
        id: ID,
        hash: hash('a'),
        fingerprint: fingerprint(number),
        blob: vec![7; 51],
    }
}

fn later(when: &str) -> Change<'static> {
    Change {
        when: at(when),
        who: "192.0.2.1",
    }
}

async fn refused(store: &Store, change: &Change<'_>, redeemer: &Redeemer) -> Useless {
    let done = store.redeem(change, redeemer).await.unwrap();
    let Redeemed::Refused(why) = done else {
        panic!("{done:?}");
    };
    why
}

/// G44.
pub(crate) async fn a_code_makes_one_device_with_what_was_decided_before(place: Place) {
    let store = open(&place).await;
    let new = invite("red001", None);
    store.add_invite(&change(), &new).await.unwrap();
    let before = store.version().await.unwrap();
    let done = store.redeem(&change(), &redeemer(0)).await.unwrap();
    assert_eq!(done, Redeemed::Device(new.name.clone()));
    assert!(store.version().await.unwrap() > before);
    let rows = store.load().await.unwrap();
    let [device] = rows.principals.as_slice() else {
        panic!("{rows:?}");
    };
    assert_eq!((device.kind, &device.grant), (Kind::Device, &grant()));
    assert_eq!(
        (&device.name, device.note.as_str()),
        (&new.name, "by the door")
    );
    let [key] = rows.keys.as_slice() else {
        panic!("{rows:?}");
    };
    assert_eq!(
        (key.principal, &key.fingerprint),
        (device.id, &fingerprint(0))
    );
    assert_eq!(key.blob, [7; 51]);
    assert!(key.sources.is_everywhere() && key.not_after.is_none());
    let audit = store.audit(None, 1).await.unwrap();
    assert_eq!(audit[0].what, "invite.use");
    assert!(!format!("{audit:?}").contains(&hash('a')));
}

/// G41.
pub(crate) async fn of_a_thousand_who_use_a_code_one_wins(place: Place) {
    // A server takes as long for fifty as SQLite for a thousand.
    let count = match &place {
        Place::File(_) => 1_000,
        Place::Url(_) => 50,
    };
    let store = Arc::new(open(&place).await);
    store
        .add_invite(&change(), &invite("red001", None))
        .await
        .unwrap();
    let mut all = JoinSet::new();
    for number in 0..count {
        let store = Arc::clone(&store);
        all.spawn(async move { store.redeem(&change(), &redeemer(number)).await });
    }
    let mut won = 0;
    while let Some(done) = all.join_next().await {
        match done.unwrap() {
            Ok(Redeemed::Device(_)) => won += 1,
            Ok(Redeemed::Refused(why)) => assert_eq!(why, Useless::Used),
            Ok(other) => panic!("{other:?}"),
            // So many at once wait longer than a call may take.
            Err(error) => assert!(error.is_unavailable(), "{error}"),
        }
    }
    assert_eq!(won, 1);
    let rows = store.load().await.unwrap();
    assert_eq!((rows.principals.len(), rows.keys.len()), (1, 1));
}

pub(crate) async fn who_used_a_code_gets_the_same_answer_again_and_nobody_else(place: Place) {
    let store = open(&place).await;
    store
        .add_invite(&change(), &invite("red001", None))
        .await
        .unwrap();
    let first = store.redeem(&change(), &redeemer(0)).await.unwrap();
    let version = store.version().await.unwrap();
    let again = later("2026-11-22T10:59:00Z");
    assert_eq!(store.redeem(&again, &redeemer(0)).await.unwrap(), first);
    assert_eq!(store.version().await.unwrap(), version);
    assert_eq!(refused(&store, &again, &redeemer(1)).await, Useless::Used);
    let over = later("2026-11-22T11:00:00Z");
    assert_eq!(refused(&store, &over, &redeemer(0)).await, Useless::Expired);
}

/// G41.
pub(crate) async fn a_code_that_is_over_or_tried_too_often_is_of_no_use(place: Place) {
    let store = open(&place).await;
    let none = refused(&store, &change(), &redeemer(0)).await;
    assert_eq!(none, Useless::Unknown);
    store
        .add_invite(&change(), &invite("red001", None))
        .await
        .unwrap();
    let late = later("2026-11-22T11:00:00Z");
    assert_eq!(refused(&store, &late, &redeemer(0)).await, Useless::Expired);
    let huge = Redeemer {
        id: u64::MAX,
        ..redeemer(0)
    };
    assert_eq!(refused(&store, &change(), &huge).await, Useless::Unknown);
    let wrong = Redeemer {
        hash: hash('b'),
        ..redeemer(0)
    };
    for _ in 0..TRIES {
        assert_eq!(refused(&store, &change(), &wrong).await, Useless::Wrong);
    }
    for redeemer in [wrong, redeemer(0)] {
        assert_eq!(refused(&store, &change(), &redeemer).await, Useless::Burned);
    }
    assert_eq!(store.invites().await.unwrap()[0].wrong, TRIES);
    assert_eq!(store.load().await.unwrap().principals, []);
}

pub(crate) async fn a_code_of_a_device_that_is_there_adds_a_key_alone(place: Place) {
    let store = open(&place).await;
    let id = added(&store, "red001").await;
    store.add_key(&change(), &key(id, 4)).await.unwrap();
    let mut new = invite("red001", Some(id));
    new.grant = adit_model::grant::Grant::default();
    store.add_invite(&change(), &new).await.unwrap();
    // A key is of one principal, also if that is the same.
    assert_eq!(refused(&store, &change(), &redeemer(4)).await, Useless::Key);
    store.redeem(&change(), &redeemer(0)).await.unwrap();
    let rows = store.load().await.unwrap();
    assert_eq!((rows.principals.len(), rows.keys.len()), (1, 2));
    assert_eq!(rows.principals[0].grant, grant());

    // One that was removed meanwhile is not made anew, nor is another of its name taken for it.
    let new = NewInvite {
        id: 1,
        ..invite("red001", Some(id))
    };
    store.add_invite(&change(), &new).await.unwrap();
    store
        .remove_principal(&change(), id, until())
        .await
        .unwrap();
    let mut late = redeemer(1);
    late.id = 1;
    assert_eq!(refused(&store, &change(), &late).await, Useless::Device);
    added(&store, "red001").await;
    assert_eq!(refused(&store, &change(), &late).await, Useless::Device);
}

pub(crate) async fn codes_are_listed_and_taken_back(place: Place) {
    let store = open(&place).await;
    let new = invite("red001", None);
    store.add_invite(&change(), &new).await.unwrap();
    let [kept] = store.invites().await.unwrap().try_into().unwrap();
    assert_eq!(
        (kept.id, &kept.name, &kept.grant),
        (ID, &new.name, &grant())
    );
    assert_eq!((kept.created, kept.expires), (at(NOW), new.expires));
    assert_eq!((kept.wrong, kept.used, kept.device), (0, None, None));
    let twice = store.add_invite(&change(), &new).await.unwrap_err();
    assert!(matches!(twice, WriteError::NameTaken { .. }), "{twice}");
    store.remove_invite(&change(), ID).await.unwrap();
    assert_eq!(
        refused(&store, &change(), &redeemer(0)).await,
        Useless::Unknown
    );
    let again = store.remove_invite(&change(), ID).await.unwrap_err();
    assert!(matches!(again, WriteError::Unknown { what: "code", .. }));
    // A new one sweeps out what has been over for a day.
    store.add_invite(&change(), &new).await.unwrap();
    let next = NewInvite {
        id: 2,
        expires: at("2026-11-24T00:00:00Z"),
        ..new
    };
    let day = later("2026-11-23T11:00:01Z");
    store.add_invite(&day, &next).await.unwrap();
    let ids: Vec<_> = store
        .invites()
        .await
        .unwrap()
        .iter()
        .map(|it| it.id)
        .collect();
    assert_eq!(ids, [2]);
}
