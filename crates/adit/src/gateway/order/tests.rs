use std::time::Duration;

use adit_store::{Kind, Place, Standing};
use adit_tunnel::gateway::host_keys;

use super::*;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKc1PLMMBji/x3d+AYzt8SYpa7IE4v0JsoJuzRef3q2l alice@work";

/// A store of its own.
struct Bench {
    store: Store,
    folder: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::File(folder.path().join("adit.db"));
        let store = Store::open(place, Timestamp::now()).await.unwrap();
        Self { store, folder }
    }

    async fn give(&self, order: Order) -> anyhow::Result<Outcome> {
        // As it comes over the socket.
        let text = serde_json::to_string(&order).unwrap();
        assert_eq!(serde_json::from_str::<Order>(&text).unwrap(), order);
        let hands = Hands {
            store: &self.store,
            desk: None,
            reports: None,
            who: "uid 7",
            leases: Leases {
                grace: Duration::from_secs(600),
                port_quarantine: Duration::from_secs(86_400),
                name_quarantine: Duration::from_secs(86_400),
            },
            ports: Some(&"10000-20000".parse().unwrap()),
            host_keys: &self.folder.path().join("ssh"),
            names: &self.folder.path().join("names.key"),
        };
        carry_out(&order, hands).await
    }

    async fn add(&self, name: &str) {
        let order = PrincipalOrder::Add {
            kind: Kind::User,
            name: name.parse().unwrap(),
            note: String::new(),
        };
        self.give(Order::Principal(order)).await.unwrap();
    }

    async fn refused(&self, order: Order) -> String {
        let version = self.store.version().await.unwrap();
        let error = self.give(order).await.unwrap_err();
        assert_eq!(self.store.version().await.unwrap(), version);
        format!("{error:#}")
    }
}

fn new_key(text: &str) -> Order {
    Order::Key(KeyOrder::Add(NewKey {
        principal: "alice".parse().unwrap(),
        text: String::from(text),
        sources: "192.0.2.0/24".parse().unwrap(),
        not_after: None,
        touch_required: false,
        verify_required: false,
    }))
}

#[tokio::test]
async fn what_is_added_is_shown_and_what_is_removed_is_gone() {
    let bench = Bench::new().await;
    bench.add("alice").await;
    let added = bench.give(new_key(KEY)).await.unwrap();
    let row = &added.rows[0];
    assert_eq!(row["principal"], "alice");
    assert_eq!(row["comment"], "alice@work");
    assert_eq!(row["from"], "192.0.2.0/24");
    let list = Order::Key(KeyOrder::List { principal: None });
    assert!(list.is_question());
    assert_eq!(bench.give(list.clone()).await.unwrap().rows, added.rows);
    let fingerprint = row["fingerprint"].as_str().unwrap().parse().unwrap();
    let remove = Order::Key(KeyOrder::Remove { fingerprint });
    assert!(!remove.is_question());
    bench.give(remove.clone()).await.unwrap();
    assert!(bench.give(list).await.unwrap().rows.is_empty());
    let words = bench.refused(remove).await;
    assert!(words.contains("there is no key"), "{words}");
    let audit = Order::Audit {
        limit: 1,
        before: None,
    };
    let audit = bench.give(audit).await.unwrap();
    assert_eq!(audit.rows[0]["what"], "key.remove");
    assert_eq!(audit.rows[0]["who"], "uid 7");
}

#[tokio::test]
async fn only_a_bare_public_key_is_taken_and_nothing_of_a_private_one_is_kept() {
    let bench = Bench::new().await;
    bench.add("alice").await;
    for (text, part) in [
        ("", "wanted one line"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\n", "private key"),
        ("ssh-ed25519 AAAA", "no public key"),
        (&format!("restrict {KEY}"), "wanted one line"),
        (&format!("{KEY}\n{KEY}"), "wanted one line"),
    ] {
        let words = bench.refused(new_key(text)).await;
        assert!(words.contains(part), "{text:?}: {words}");
    }
    bench.give(new_key(KEY)).await.unwrap();
    let words = bench.refused(new_key(KEY)).await;
    assert!(words.contains("is alice's already"), "{words}");
}

#[tokio::test]
async fn a_grant_is_widened_and_taken_back_piece_by_piece() {
    let bench = Bench::new().await;
    bench.add("alice").await;
    let principal = || "alice".parse().unwrap();
    let add = |change| {
        Order::Grant(GrantOrder::Add {
            principal: principal(),
            change: Box::new(change),
        })
    };
    let remove = |removal| {
        Order::Grant(GrantOrder::Remove {
            principal: principal(),
            removal: Box::new(removal),
        })
    };
    let open = |text: &str| vec![Target::of_name(text).unwrap()];
    for (ports, targets) in [("10-20", open("red:22")), ("30", open("red:80"))] {
        let change = GrantChange {
            ports: Some(ports.parse().unwrap()),
            any_port: true,
            targets,
            ..GrantChange::default()
        };
        bench.give(add(change)).await.unwrap();
    }
    let away = GrantRemoval {
        ports: Some("12-30".parse().unwrap()),
        targets: open("red:80"),
        settings: vec![Setting::AnyPort],
        ..GrantRemoval::default()
    };
    let left = bench.give(remove(away)).await.unwrap();
    assert_eq!(left.rows[0]["ports"], "10-11");
    assert_eq!(left.rows[0]["targets"], serde_json::json!(["red:22"]));
    assert_eq!(left.rows[0]["any_port"], false);
    let words = bench.refused(add(GrantChange::default())).await;
    assert!(words.contains("say what alice may do"), "{words}");
    let backwards = GrantChange {
        not_before: Some("2030-01-02T00:00:00Z".parse().unwrap()),
        not_after: Some("2030-01-01T00:00:00Z".parse().unwrap()),
        ..GrantChange::default()
    };
    let words = bench.refused(add(backwards)).await;
    assert!(words.contains("is not before"), "{words}");
    let all = GrantRemoval {
        all: true,
        ..GrantRemoval::default()
    };
    let left = bench.give(remove(all)).await.unwrap();
    assert_eq!(left.rows[0]["ports"], "none");
}

#[test]
fn a_target_is_a_name_or_a_network_with_ports() {
    for text in ["red001:5432", "*:22,80"] {
        assert_eq!(Target::of_name(text).unwrap().to_string(), text);
    }
    for (text, shown) in [
        ("192.0.2.0/24:443", "192.0.2.0/24:443"),
        ("192.0.2.7:1-5", "192.0.2.7/32:1-5"),
        ("[2001:db8::5]:22", "2001:db8::5/128:22"),
    ] {
        assert_eq!(Target::of_network(text).unwrap().to_string(), shown);
    }
    for text in ["red001", "red001:", "red001:0", "a b:22", "red001:none"] {
        assert!(Target::of_name(text).is_err(), "{text}");
        assert!(Target::of_network(text).is_err(), "{text}");
    }
}

#[tokio::test]
async fn what_is_reserved_for_one_is_not_reserved_for_another() {
    let bench = Bench::new().await;
    bench.add("alice").await;
    bench.add("bob").await;
    let add = |name: &str, ports: &str| {
        Order::Reservation(ReservationOrder::Add {
            principal: name.parse().unwrap(),
            what: adit_model::lease::Reserved::Ports(ports.parse().unwrap()),
            note: String::new(),
        })
    };
    bench.give(add("alice", "10-20")).await.unwrap();
    let words = bench.refused(add("bob", "20-30")).await;
    assert!(words.contains("keeps ports 20 for alice"), "{words}");
    bench.give(add("bob", "21-30")).await.unwrap();
}

#[tokio::test]
async fn somebody_of_another_kind_or_of_no_name_is_not_touched() {
    let bench = Bench::new().await;
    bench.add("alice").await;
    let stand = |kind, name: &str| {
        Order::Principal(PrincipalOrder::Stand {
            kind,
            name: name.parse().unwrap(),
            standing: Standing::Disabled,
        })
    };
    let words = bench.refused(stand(Kind::Device, "alice")).await;
    assert!(words.contains("say adit user"), "{words}");
    let words = bench.refused(stand(Kind::User, "eve")).await;
    assert!(words.contains("nobody is called eve"), "{words}");
    let done = bench.give(stand(Kind::User, "alice")).await.unwrap();
    assert_eq!(done.rows[0]["standing"], "disabled");
}

#[tokio::test]
async fn host_keys_that_clients_cannot_know_yet_come_into_use_by_force_alone() {
    let bench = Bench::new().await;
    let folder = bench.folder.path().join("ssh");
    let keys = host_keys::load_or_make(&folder).unwrap();
    let next = keys.public()[2].fingerprint().to_string();
    let rotate = |is_forced| Order::HostKey(HostKeyOrder::Rotate { is_forced });
    let error = bench.give(rotate(false)).await.unwrap_err().to_string();
    assert!(error.contains("--force"), "{error}");
    assert!(bench.store.audit(None, 10).await.unwrap().is_empty());
    let outcome = bench.give(rotate(true)).await.unwrap();
    assert_eq!(outcome.rows[0]["fingerprint"], next.as_str());
    assert_eq!(outcome.rows[0]["standing"], "active");
    let listed = bench.give(Order::HostKey(HostKeyOrder::List {})).await;
    assert_eq!(listed.unwrap().rows.len(), 4);
    let entry = &bench.store.audit(None, 10).await.unwrap()[0];
    assert_eq!((&*entry.what, &*entry.who), ("host_key.rotate", "uid 7"));
    let before = entry.details["before"].to_string();
    assert!(before.contains(&format!("next {next}")), "{before}");
}

#[tokio::test]
async fn a_prefix_is_refused_while_somebody_else_has_one_of_its_ports() {
    use adit_model::address::Scope;
    use adit_model::id::{Epoch, LeaseId};
    use adit_model::lease::{Drawn, Holding, Lease, LeaseState, Reservation, Reserved};

    let bench = Bench::new().await;
    bench.add("alice").await;
    bench.add("bob").await;
    let bob = bench.store.principal_named(&"bob".parse().unwrap()).await;
    let now = Timestamp::now();
    let drawn = Lease {
        id: LeaseId::new(0),
        holding: Holding::Port(40_180),
        scope: Scope::Any,
        principal: bob.unwrap().unwrap().id,
        epoch: Epoch::new(1),
        since: now,
        state: LeaseState::Held,
        drawn: Some(Drawn {
            host: String::from("localhost"),
            label: String::from("bob"),
        }),
    };
    let kept = bench.store.keep_leases(std::slice::from_ref(&drawn)).await;
    kept.unwrap();
    let reserve = |note: String| {
        Order::Reservation(ReservationOrder::Add {
            principal: "alice".parse().unwrap(),
            what: Reserved::Ports("40122,40180".parse().unwrap()),
            note,
        })
    };
    let prefix = "401".parse().unwrap();
    let made = Reservation::words_of_prefix(prefix, &"22,80".parse().unwrap());
    let words = bench.refused(reserve(made.clone())).await;
    assert!(
        words.contains("40180 of prefix 401 is bob's now, by the gateway's choice"),
        "{words}"
    );
    // What is kept from others only, is waited for.
    let over = Lease {
        state: LeaseState::Quarantine(now),
        ..drawn
    };
    bench.store.keep_leases(&[over]).await.unwrap();
    bench.give(reserve(made)).await.unwrap();
}
