use std::os::unix::fs::PermissionsExt as _;

use adit_model::grant::Grant;
use adit_model::id::PrincipalId;
use adit_tunnel::gateway::policy::Principal;

use super::*;
use crate::gateway::order::RevokedText;

fn policy() -> Policy {
    let principal = |row: i64, name: &str, kind| {
        let principal = Principal {
            id: PrincipalId::new(row),
            name: String::from(name),
            kind,
            grant: Grant::default(),
        };
        (principal.id, Arc::new(principal))
    };
    Policy {
        principals: [
            principal(1, "alice", Kind::User),
            principal(2, "red001", Kind::Device),
        ]
        .into(),
        ..Policy::default()
    }
}

fn of(data: &Path) -> (Withdrawn, watch::Receiver<Arc<Policy>>) {
    let (policy, published) = watch::channel(Arc::new(policy()));
    (
        Withdrawn::new(Journal::open(data).unwrap(), policy),
        published,
    )
}

fn disable(kind: StoredKind, name: &str) -> Withdrawal {
    Withdrawal {
        who: String::from("uid 7"),
        order: Order::Principal(PrincipalOrder::Stand {
            kind,
            name: name.parse().unwrap(),
            standing: Standing::Disabled,
        }),
    }
}

fn revoke() -> Withdrawal {
    let key = format!("SHA256:{}", "a".repeat(43)).parse().unwrap();
    Withdrawal {
        who: String::from("uid 7"),
        order: Order::Revocation(RevocationOrder::Add {
            what: RevokedText::Key(key),
            note: String::from("stolen"),
        }),
    }
}

fn counts(policy: &watch::Receiver<Arc<Policy>>) -> (usize, usize) {
    let policy = policy.borrow();
    (policy.principals.len(), policy.revoked.len())
}

#[test]
fn g123_what_is_taken_away_holds_at_once_and_after_a_restart_until_the_store_says_it() {
    let data = tempfile::tempdir().unwrap();
    let (withdrawn, published) = of(data.path());
    for withdrawal in [disable(StoredKind::User, "alice"), revoke()] {
        let words = withdrawn.withdraw(withdrawal).unwrap();
        assert!(words.contains("from now on"), "{words}");
    }
    assert_eq!(counts(&published), (1, 1));
    let file = data.path().join(NAME);
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    // Whatever the store says, also after a restart.
    let (withdrawn, published) = of(data.path());
    withdrawn.publish(policy());
    assert_eq!(counts(&published), (1, 1));
    assert!(file.exists());
    let said = Policy::clone(&published.borrow());
    withdrawn.publish(said);
    assert_eq!(counts(&published), (1, 1));
    assert!(withdrawn.journal().is_empty() && !file.exists());
}

#[test]
fn g123_nothing_is_kept_that_takes_nothing_away_from_anybody_here() {
    let data = tempfile::tempdir().unwrap();
    let (withdrawn, published) = of(data.path());
    for withdrawal in [
        disable(StoredKind::User, "red001"),
        disable(StoredKind::Device, "red002"),
    ] {
        assert!(takes_away(&withdrawal.order));
        withdrawn.withdraw(withdrawal).unwrap_err();
    }
    assert!(withdrawn.journal().is_empty());
    assert_eq!(counts(&published), (2, 0));
    let enable = PrincipalOrder::Stand {
        kind: StoredKind::User,
        name: "alice".parse().unwrap(),
        standing: Standing::Enabled,
    };
    assert!(!takes_away(&Order::Principal(enable)));
}

#[test]
fn g123_a_journal_that_is_damaged_or_a_link_lets_no_gateway_start() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join(NAME);
    fs::write(&file, b"[{").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let error = Journal::open(data.path()).unwrap_err().to_string();
    assert!(error.contains("damaged"), "{error}");
    let elsewhere = data.path().join("elsewhere");
    fs::rename(&file, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    Journal::open(data.path()).unwrap_err();
}
