//! What a login rests on, without a network.

use std::collections::HashMap;

use adit_model::grant::Grant;
use adit_ssh::algorithm::KeyAlgorithm;
use adit_ssh::provider::aws_lc;

use super::*;
use crate::gateway::policy::{Key, Kind};

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
