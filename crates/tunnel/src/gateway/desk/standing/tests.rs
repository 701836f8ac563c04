use std::collections::HashMap;

use adit_model::grant::Grant;
use adit_model::id::PrincipalId;

use super::*;
use crate::gateway::policy::{Authority, Key, Kind};

const ME: PrincipalId = PrincipalId::new(1);

/// An Ed25519 key as RFC 8709 section 4 encodes it: the base point, which is a good one.
fn blob() -> Vec<u8> {
    let mut point = [0x66; 32];
    point[0] = 0x58;
    let mut blob = vec![0, 0, 0, 11];
    blob.extend(b"ssh-ed25519");
    blob.extend([0, 0, 0, 32]);
    blob.extend(point);
    blob
}

fn now() -> Timestamp {
    Timestamp::from_second(1_763_000_000).unwrap()
}

fn principal() -> Arc<Principal> {
    Arc::new(Principal {
        id: ME,
        name: String::from("me"),
        kind: Kind::User,
        grant: Grant::default(),
    })
}

fn policy() -> Policy {
    let key = Key {
        principal: ME,
        blob: blob(),
        sources: "192.0.2.0/24".parse().unwrap(),
        not_after: None,
        touch_required: false,
        verify_required: false,
    };
    Policy {
        principals: HashMap::from([(ME, principal())]),
        keys: HashMap::from([(fingerprint(&blob()).unwrap(), Arc::new(key))]),
        authorities: vec![Arc::new(Authority {
            blob: blob(),
            names: HashMap::from([(String::from("me"), ME)]),
            sources: "192.0.2.0/24".parse().unwrap(),
            not_after: None,
        })],
        ..Policy::default()
    }
}

fn who() -> Who {
    Who {
        principal: principal(),
        key: fingerprint(&blob()),
        certificate: None,
        source: "192.0.2.1:4000".parse().unwrap(),
        user: String::from("whoever"),
        software: String::from("OpenSSH_10.0"),
        not_after: None,
        line: Arc::default(),
    }
}

fn certified() -> Who {
    Who {
        key: None,
        certificate: Some(Certified {
            authority: fingerprint(&blob()).unwrap(),
            serial: 7,
            key_id: String::from("laptop"),
            name: String::from("me"),
        }),
        ..who()
    }
}

fn key(policy: &mut Policy) -> &mut Key {
    Arc::make_mut(policy.keys.values_mut().next().unwrap())
}

fn authority(policy: &mut Policy) -> &mut Authority {
    Arc::make_mut(&mut policy.authorities[0])
}

/// A change of the policy, and whom it ends: by a key, by a certificate.
type Case = (fn(&mut Policy), bool, bool);

#[test]
fn what_is_taken_away_ends_who_rests_on_it_and_nobody_else() {
    let cases: [Case; 9] = [
        (|_| {}, false, false),
        (|policy| policy.principals.clear(), true, true),
        (|policy| policy.keys.clear(), true, false),
        (
            |policy| key(policy).principal = PrincipalId::new(2),
            true,
            false,
        ),
        (|policy| key(policy).not_after = Some(now()), true, false),
        (
            |policy| key(policy).sources = "198.51.100.0/24".parse().unwrap(),
            true,
            false,
        ),
        (|policy| policy.authorities.clear(), false, true),
        (|policy| authority(policy).names.clear(), false, true),
        (
            |policy| authority(policy).not_after = Some(now()),
            false,
            true,
        ),
    ];
    for (number, (change, ends_key, ends_certificate)) in cases.into_iter().enumerate() {
        let mut policy = policy();
        change(&mut policy);
        let ends = |who: Who| policy.standing(&who, now()).is_err();
        assert_eq!(ends(who()), ends_key, "case {number}");
        assert_eq!(ends(certified()), ends_certificate, "case {number}");
    }
}

#[test]
fn a_revocation_list_ends_what_it_names() {
    let authority = || fingerprint(&blob()).unwrap();
    let serials = |from, to| Revoked::Serials {
        authority: authority(),
        from,
        to,
    };
    let key_id = |id| Revoked::KeyId {
        authority: authority(),
        id: String::from(id),
    };
    for (line, ends_key, ends_certificate) in [
        (serials(1, 6), false, false),
        (serials(7, 7), false, true),
        (serials(8, 9), false, false),
        (key_id("phone"), false, false),
        (key_id("laptop"), false, true),
        (Revoked::Key(authority()), true, true),
    ] {
        let mut policy = policy();
        policy.revoked.push(line.clone());
        let ends = |who: Who| policy.standing(&who, now()).is_err();
        assert_eq!(ends(who()), ends_key, "{line:?}");
        assert_eq!(ends(certified()), ends_certificate, "{line:?}");
    }
}

#[test]
fn the_first_end_of_anything_is_the_end() {
    let mut policy = policy();
    let at = |seconds: i64| Some(Timestamp::from_second(1_763_000_000 + seconds).unwrap());
    let mut who = who();
    assert_eq!(policy.standing(&who, now()).unwrap().until, None);
    who.not_after = at(30);
    assert_eq!(policy.standing(&who, now()).unwrap().until, at(30));
    key(&mut policy).not_after = at(20);
    assert_eq!(policy.standing(&who, now()).unwrap().until, at(20));
    let me = Arc::make_mut(policy.principals.get_mut(&ME).unwrap());
    me.grant.not_after = at(10);
    assert_eq!(policy.standing(&who, now()).unwrap().until, at(10));
    policy.standing(&who, at(10).unwrap()).unwrap_err();
}
