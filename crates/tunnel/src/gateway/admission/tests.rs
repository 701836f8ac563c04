//! What a login rests on, without a network.

use std::collections::HashMap;

use adit_model::grant::Grant;
use adit_ssh::algorithm::KeyAlgorithm;
use adit_ssh::provider::aws_lc;

use super::*;
use crate::gateway::overheard::Audit;
use crate::gateway::policy::Key;

fn key(seed: u8) -> PresentedKey {
    let signer = aws_lc::sign::ed25519(&[seed; 32]).unwrap();
    let key = signer.public_key().clone();
    PresentedKey {
        algorithm: KeyAlgorithm::from_name(b"ssh-ed25519").unwrap(),
        blob: key.blob().to_vec(),
        key,
        certificate: None,
    }
}

fn principal(row: i64) -> (PrincipalId, Arc<Principal>) {
    let id = PrincipalId::new(row);
    let principal = Principal {
        id,
        name: format!("principal {row}"),
        kind: Kind::User,
        grant: Grant::default(),
    };
    (id, Arc::new(principal))
}

fn policy(keys: &[(u8, i64)]) -> Policy {
    let mut policy = Policy {
        principals: HashMap::from([principal(1), principal(2)]),
        ..Policy::default()
    };
    for (seed, row) in keys {
        let shown = key(*seed);
        let known = Key {
            principal: PrincipalId::new(*row),
            blob: shown.blob,
            sources: adit_model::source::SourceSet::default(),
            not_after: None,
            touch_required: true,
            verify_required: true,
        };
        let name = fingerprint(&shown.key).unwrap();
        policy.keys.insert(name, Arc::new(known));
    }
    policy
}

fn rules(policy: Policy) -> (watch::Sender<Arc<Policy>>, Rules) {
    let (sender, receiver) = watch::channel(Arc::new(policy));
    let rules = Rules {
        policy: receiver,
        verifier: aws_lc::provider().verifier,
        clock: Clock::system(),
    };
    (sender, rules)
}

fn gate(rules: &Rules) -> Gate {
    let source = "192.0.2.1:5".parse().unwrap();
    Gate::new(rules.clone(), source, Arc::default())
}

#[test]
fn g01_identity_is_principal_not_username() {
    let (_policy, rules) = rules(policy(&[(1, 1), (2, 2)]));
    for (seed, row) in [(1, 1), (2, 2)] {
        for user in ["root", "principal 2", "who\x1b[2J", ""] {
            let who = gate(&rules).who(user, &key(seed)).unwrap();
            assert_eq!(who.principal.id, PrincipalId::new(row));
            assert!(!who.user.contains('\x1b'));
        }
    }
    let stranger = gate(&rules).who("root", &key(3)).unwrap_err();
    assert_eq!(stranger, NoEntry::UnknownKey);
}

#[test]
fn what_a_security_key_must_report_is_what_stands_with_the_key() {
    let (_policy, rules) = rules(policy(&[(1, 1)]));
    let wanted = gate(&rules).entry("a", &key(1)).unwrap().rules;
    assert!(wanted.touch_required && wanted.verify_required);
}

#[tokio::test(start_paused = true)]
async fn g09_strangers_keys_wait_together_and_a_good_key_never_does() {
    let (_policy, rules) = rules(policy(&[(1, 1)]));
    let throttle = Arc::new(Mutex::new(Throttle::default()));
    let source = "192.0.2.1:5".parse().unwrap();
    let begun = tokio::time::Instant::now();
    for seed in 10..60 {
        let mut gate = Gate::new(rules.clone(), source, Arc::clone(&throttle));
        // Two in one connection count once.
        for seed in [seed, seed + 100] {
            let verdict = gate.key("root", &key(seed)).await;
            assert_eq!(verdict, KeyVerdict::Refused);
        }
        gate.failed();
    }
    let waited = begun.elapsed();
    assert!(waited.as_secs() > 200, "{waited:?}");
    assert!(
        waited.as_secs() <= 250,
        "five seconds at the most: {waited:?}"
    );
    let begun = tokio::time::Instant::now();
    let mut good = Gate::new(rules, source, throttle);
    let verdict = good.key("root", &key(1)).await;
    assert!(matches!(verdict, KeyVerdict::Authorised(_)));
    assert!(begun.elapsed().is_zero());
}

#[tokio::test(start_paused = true)]
async fn g09_the_time_of_a_refusal_tells_nobody_whether_a_key_is_known() {
    let mut known = policy(&[(1, 1)]);
    let name = fingerprint(&key(1).key).unwrap();
    let expired = Key {
        not_after: Some(Timestamp::UNIX_EPOCH),
        ..Key::clone(&known.keys[&name])
    };
    known.keys.insert(name, Arc::new(expired));
    let (_policy, rules) = rules(known);
    let throttle = Arc::new(Mutex::new(Throttle::default()));
    let source = "192.0.2.1:5".parse().unwrap();
    let mut times = Vec::new();
    // A stranger who has failed often, and now a key that is somebody's, and one that is nobody's.
    for seed in (10..40).chain([1, 2, 1, 2]) {
        let mut gate = Gate::new(rules.clone(), source, Arc::clone(&throttle));
        let begun = tokio::time::Instant::now();
        let verdict = gate.key("root", &key(seed)).await;
        assert_eq!(verdict, KeyVerdict::Refused);
        times.push(begun.elapsed().as_millis());
        gate.failed();
    }
    assert_eq!(times.split_off(30), [5_000, 5_000, 5_000, 5_000]);
}

#[test]
fn nobody_comes_in_without_a_key_but_as_a_user_that_is_named_for_it() {
    let mut named = policy(&[]);
    let gate_of = |policy: &Policy| {
        let (_policy, rules) = rules(policy.clone());
        gate(&rules)
    };
    assert!(gate_of(&named).anonymous("principal 1").is_none());
    named.anonymous.insert(PrincipalId::new(1));
    let who = gate_of(&named).anonymous("principal 1").unwrap();
    assert_eq!((who.principal.id, who.key), (PrincipalId::new(1), None));
    for user in ["principal 2", "Principal 1", "", "root"] {
        assert!(gate_of(&named).anonymous(user).is_none(), "{user}");
    }
    let id = PrincipalId::new(1);
    let device = Principal {
        kind: Kind::Device,
        ..Principal::clone(&named.principals[&id])
    };
    let of_device = Policy {
        principals: HashMap::from([(id, Arc::new(device))]),
        ..named.clone()
    };
    assert!(gate_of(&of_device).anonymous("principal 1").is_none());
    // Disabled.
    named.principals.remove(&id);
    assert!(gate_of(&named).anonymous("principal 1").is_none());
}

/// A key that is known and may not come in: the audit says with which program it came.
#[tokio::test(start_paused = true)]
async fn a_refused_login_is_audited_with_the_clients_software() {
    let events = Arc::new(Mutex::new(Vec::new()));
    let _guard = tracing::subscriber::set_default(Audit(Arc::clone(&events)));
    let mut known = policy(&[(1, 1)]);
    let name = fingerprint(&key(1).key).unwrap();
    let expired = Key {
        not_after: Some(Timestamp::UNIX_EPOCH),
        ..Key::clone(&known.keys[&name])
    };
    known.keys.insert(name.clone(), Arc::new(expired));
    let (_policy, rules) = rules(known);
    let mut gate = gate(&rules);
    gate.software = String::from("OpenSSH_9.2p1 Debian");
    assert_eq!(gate.key("root", &key(1)).await, KeyVerdict::Refused);
    let told = events.lock().unwrap().join(" ");
    for word in [
        "what=\"login.refuse\"",
        &format!("who={name}"),
        "software=\"OpenSSH_9.2p1 Debian\"",
    ] {
        assert!(told.contains(word), "{word} is not in {told}");
    }
}
