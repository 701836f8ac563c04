//! Who gets in, with what, and for how long.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use adit_model::grant::Grant;
use adit_model::source::SourceSet;
use adit_ssh::key::PublicKey;
use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::process::Process;
use adit_testkit::require;
use adit_tunnel::gateway::admission::fingerprint;
use adit_tunnel::gateway::desk::Clock;
use adit_tunnel::gateway::policy::{Authority, Key, Kind, Policy, Revoked};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::world::{Gateway, SOON, User, Wishes, alone, free_port, policy};

/// Whether that user gets in.
fn gets_in(gateway: &Gateway, user: &User, arguments: &[&str]) -> bool {
    let mut all = vec!["-T"];
    all.extend(arguments);
    let mut ssh = Process::spawn(&mut gateway.command_with(user, &all, &["x"]));
    let _: std::process::ExitStatus = ssh.wait(SOON);
    let told = ssh.stderr();
    let is_in = told.contains("runs no commands");
    assert!(is_in || told.contains("Permission denied"), "{told}");
    is_in
}

/// With other rules for the one key of a policy.
fn with_key(mut policy: Policy, change: impl FnOnce(&mut Key)) -> Policy {
    let (_, key) = policy.keys.iter_mut().next().unwrap();
    change(Arc::make_mut(key));
    policy
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_lets_its_principal_in_under_any_user_name_and_nobody_else() {
    require!("ssh", "ssh-keygen");
    let (gateway, user) = alone(Grant::default()).await;
    let stranger = User::new(2, "alice");
    assert!(gets_in(&gateway, &user, &[]));
    assert!(gets_in(&gateway, &user, &["-l", "root"]));
    assert!(!gets_in(&gateway, &stranger, &[]));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_restriction_of_a_key_and_of_its_principal_is_kept() {
    require!("ssh", "ssh-keygen");
    let user = User::new(1, "alice");
    let base = |grant: Grant| policy(&[(&user, Kind::User, grant)]);
    let gateway = Gateway::new(base(Grant::default())).await;
    let elsewhere: SourceSet = "192.0.2.0/24".parse().unwrap();
    let here: SourceSet = "127.0.0.0/8".parse().unwrap();
    let past = Timestamp::now() - SignedDuration::from_secs(1);
    let print = fingerprint(&user.public()).unwrap();
    let open = base(Grant::default());
    for (what, policy, is_in) in [
        ("nothing", open.clone(), true),
        (
            "from here",
            with_key(open.clone(), |key| key.sources = here),
            true,
        ),
        (
            "from elsewhere",
            with_key(open.clone(), |key| key.sources = elsewhere.clone()),
            false,
        ),
        (
            "expired",
            with_key(open.clone(), |key| key.not_after = Some(past)),
            false,
        ),
        (
            "another blob",
            with_key(open.clone(), |key| key.blob.push(0)),
            false,
        ),
        (
            "revoked",
            Policy {
                revoked: vec![Revoked::Key(print)],
                ..open.clone()
            },
            false,
        ),
        (
            "disabled",
            Policy {
                principals: HashMap::new(),
                ..open.clone()
            },
            false,
        ),
        (
            "a grant from elsewhere",
            base(Grant {
                sources: elsewhere,
                ..Grant::default()
            }),
            false,
        ),
        (
            "a grant that ended",
            base(Grant {
                not_after: Some(past),
                ..Grant::default()
            }),
            false,
        ),
        (
            "a grant that begins later",
            base(Grant {
                not_before: Some(past + SignedDuration::from_hours(1)),
                ..Grant::default()
            }),
            false,
        ),
    ] {
        gateway.publish(policy);
        assert_eq!(gets_in(&gateway, &user, &[]), is_in, "{what}");
    }
    gateway.stop().await;
}

/// An authority whose names are these, for that user.
fn authority(key: &KeyPair, names: &[(&str, &User)]) -> Arc<Authority> {
    Arc::new(Authority {
        blob: PublicKey::from_openssh_text(key.public_key())
            .unwrap()
            .blob()
            .to_vec(),
        names: (names.iter())
            .map(|(name, user)| ((*name).to_owned(), user.id))
            .collect(),
        sources: SourceSet::default(),
        not_after: None,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g01_a_certificate_stands_for_the_names_that_its_authority_may_give() {
    require!("ssh", "ssh-keygen");
    let (alice, bob) = (User::new(1, "alice"), User::new(2, "bob"));
    let folder = alice.folder();
    let signer = KeyPair::generate(folder, "authority", KeyKind::Ed25519);
    let other = KeyPair::generate(folder, "other", KeyKind::Ed25519);
    let mut base = policy(&[
        (&alice, Kind::User, Grant::default()),
        (&bob, Kind::User, Grant::default()),
    ]);
    base.keys.clear();
    base.authorities = vec![authority(&signer, &[("alice", &alice), ("bob", &bob)])];
    // A key that is nobody's but for its certificate.
    let holder = User::new(3, "holder");
    let certificate = holder.key.public_path().with_file_name("holder-cert.pub");
    for (arguments, by, user, is_in) in [
        (&["-n", "alice"][..], &signer, "whoever", true),
        (&["-n", "alice,bob"], &signer, "bob", true),
        (&["-n", "alice,bob"], &signer, "whoever", false),
        (&["-n", "carol"], &signer, "carol", false),
        (&["-n", "alice"], &other, "alice", false),
        (&[], &signer, "alice", false),
        (&["-n", "alice", "-V", "-2d:-1d"], &signer, "alice", false),
        (
            &["-n", "alice", "-O", "source-address=127.0.0.1"],
            &signer,
            "alice",
            true,
        ),
        (
            &["-n", "alice", "-O", "source-address=192.0.2.1"],
            &signer,
            "alice",
            false,
        ),
        (
            &["-n", "alice", "-O", "force-command=/bin/true"],
            &signer,
            "alice",
            false,
        ),
        (&["-n", "alice", "-h"], &signer, "alice", false),
    ] {
        let all = [&["-I", "an id"], arguments].concat();
        let made = by.certify(&holder.key.public_path(), &all);
        assert_eq!(made, certificate);
        let file = format!("CertificateFile={}", certificate.display());
        let shown = ["-o", file.as_str(), "-l", user];
        // One that knows of no failure before: they would add up to delays.
        let gateway = Gateway::new(base.clone()).await;
        assert_eq!(
            gets_in(&gateway, &holder, &shown),
            is_in,
            "{arguments:?} as {user}"
        );
    }
    // Revoked in every way that there is.
    signer.certify(
        &holder.key.public_path(),
        &["-n", "alice", "-z", "7", "-I", "the-id"],
    );
    let file = format!("CertificateFile={}", certificate.display());
    let shown = ["-o", file.as_str()];
    let print = |key: &KeyPair| {
        fingerprint(&PublicKey::from_openssh_text(key.public_key()).unwrap()).unwrap()
    };
    let from_signer = print(&signer);
    for (revoked, is_in) in [
        (None, true),
        (Some(Revoked::Key(print(&holder.key))), false),
        (Some(Revoked::Key(from_signer.clone())), false),
        (
            Some(Revoked::Serials {
                authority: from_signer.clone(),
                from: 5,
                to: 7,
            }),
            false,
        ),
        (
            Some(Revoked::Serials {
                authority: from_signer.clone(),
                from: 8,
                to: 9,
            }),
            true,
        ),
        (
            Some(Revoked::KeyId {
                authority: from_signer,
                id: String::from("the-id"),
            }),
            false,
        ),
    ] {
        let told = format!("{revoked:?}");
        let gateway = Gateway::new(Policy {
            revoked: revoked.into_iter().collect(),
            ..base.clone()
        })
        .await;
        assert_eq!(gets_in(&gateway, &holder, &shown), is_in, "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g05_a_revocation_ends_a_connection_within_a_second_and_says_why() {
    require!("ssh", "ssh-keygen");
    let (gateway, user) = alone(Grant::default()).await;
    let mut ssh = gateway.ssh(&user, &["-T"]);
    ssh.wait_for_text("You are alice");
    let begun = Instant::now();
    gateway.change(|policy| policy.keys.clear());
    let _: std::process::ExitStatus = ssh.wait(SOON);
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    let told = ssh.stderr();
    assert!(told.contains("Received disconnect"), "{told}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g05_the_end_of_a_keys_time_ends_its_connection() {
    require!("ssh", "ssh-keygen");
    let user = User::new(1, "alice");
    let until = Timestamp::now() + SignedDuration::from_hours(1);
    let (clock, now) = (
        Arc::new(std::sync::atomic::AtomicI64::new(0)),
        Timestamp::now(),
    );
    let read = Arc::clone(&clock);
    let wishes = Wishes {
        clock: Clock::of(move || {
            now + SignedDuration::from_secs(read.load(std::sync::atomic::Ordering::SeqCst))
        }),
        ..Wishes::default()
    };
    let policy = with_key(policy(&[(&user, Kind::User, Grant::default())]), |key| {
        key.not_after = Some(until);
    });
    let gateway = Gateway::with(policy, wishes).await;
    let mut ssh = gateway.ssh(&user, &["-T"]);
    ssh.wait_for_text("You are alice");
    // The clock jumps: timers know nothing of it (G06).
    clock.store(3_601, std::sync::atomic::Ordering::SeqCst);
    let begun = Instant::now();
    let _: std::process::ExitStatus = ssh.wait(SOON);
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    // Back again, which revives nothing that ended.
    clock.store(-3_600, std::sync::atomic::Ordering::SeqCst);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_tells_everybody_and_leaves_nothing() {
    require!("ssh", "ssh-keygen");
    let (gateway, user) = alone(Grant::default()).await;
    let mut ssh = gateway.ssh(&user, &["-T"]);
    ssh.wait_for_text("You are alice");
    gateway.stop().await;
    let _: std::process::ExitStatus = ssh.wait(SOON);
    let told = ssh.stderr();
    assert!(
        told.contains("Received disconnect") && told.contains("stopping"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g09_a_flood_of_silent_connections_keeps_nobody_out_of_another_network() {
    require!("ssh", "ssh-keygen");
    let (gateway, user) = alone(Grant::default()).await;
    let addr = std::net::SocketAddr::from(([127, 0, 0, 1], gateway.port()));
    // More than one network may have on the way in, all of them silent.
    let flood: Vec<_> = (0..400)
        .map(|_| std::net::TcpStream::connect(addr).unwrap())
        .collect();
    let begun = Instant::now();
    assert!(gets_in(&gateway, &user, &["-b", "127.0.1.1"]));
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    // Who leaves makes room for who waits.
    drop(flood);
    assert!(gets_in(&gateway, &user, &[]));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g09_silent_neighbours_at_the_same_address_delay_no_login() {
    require!("ssh", "ssh-keygen");
    let (gateway, user) = alone(Grant::default()).await;
    let addr = std::net::SocketAddr::from(([127, 0, 0, 1], gateway.port()));
    // More than their network has places for and may wait, from the very address of the one who comes then.
    let _flood: Vec<_> = (0..3_000)
        .map(|_| std::net::TcpStream::connect(addr).unwrap())
        .collect();
    let begun = Instant::now();
    assert!(gets_in(&gateway, &user, &[]));
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g09_a_neighbour_at_the_same_address_who_fails_again_and_again_delays_nobody() {
    require!("ssh", "ssh-keygen");
    let (gateway, user) = alone(Grant::default()).await;
    let stranger = User::new(2, "mallory");
    // All at once, so that none of them waits for the failures of the others.
    let mut failing: Vec<Process> = (0..12).map(|_| gateway.ssh(&stranger, &["-T"])).collect();
    for ssh in &mut failing {
        let _: std::process::ExitStatus = ssh.wait(SOON);
    }
    let begun = Instant::now();
    let mut waiting = gateway.ssh(&stranger, &["-T"]);
    assert!(gets_in(&gateway, &user, &[]));
    let good = begun.elapsed();
    let _: std::process::ExitStatus = waiting.wait(SOON);
    let bad = begun.elapsed();
    assert!(waiting.stderr().contains("Permission denied"));
    // Five seconds is the longest that anybody waits.
    assert!(bad >= Duration::from_secs(5), "{bad:?}");
    assert!(good < bad, "{good:?} {bad:?}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g05_a_client_that_is_stopped_loses_the_streams_that_it_has_opened() {
    require!("ssh", "ssh-keygen");
    let target = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let service = target.local_addr().unwrap().port();
    let grant = Grant {
        targets: vec![adit_model::grant::TargetRule::Cidr {
            network: "127.0.0.1/32".parse().unwrap(),
            ports: adit_model::port::PortSet::one(service),
        }],
        ..Grant::default()
    };
    let (gateway, user) = alone(grant).await;
    let port = free_port();
    let local = format!("127.0.0.1:{port}:127.0.0.1:{service}");
    let mut ssh = gateway.ssh(&user, &["-N", "-v", "-L", &local]);
    ssh.wait_for_text("Entering interactive session");
    let _visitor = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (mut opened, _) = target.accept().unwrap();
    opened.set_read_timeout(Some(SOON)).unwrap();
    ssh.signal(rustix::process::Signal::STOP);
    let begun = Instant::now();
    gateway.change(|policy| policy.keys.clear());
    let ended = std::io::Read::read(&mut opened, &mut [0; 1]);
    assert!(!matches!(ended, Ok(1)), "{ended:?}");
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    ssh.signal(rustix::process::Signal::CONT);
    gateway.stop().await;
}
