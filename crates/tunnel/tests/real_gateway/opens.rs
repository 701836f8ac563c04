//! `-W`, `-L` and `-J`: streams by name, by address and by nothing else.

use std::io;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use adit_model::grant::{Grant, TargetRule};
use adit_model::port::PortSet;
use adit_testkit::process::Process;
use adit_testkit::{echo, require, wait};
use adit_tunnel::gateway::open::Resolve;
use adit_tunnel::gateway::policy::Kind;
use adit_tunnel::gateway::seam::Later;

use crate::world::{
    Gateway, SOON, User, Wishes, alone, answers, echo as ask, free_port, generous, policy,
};

/// What comes out of `ssh -W target` when `text` goes in, and what it says.
fn through(gateway: &Gateway, user: &User, target: &str, text: &str) -> (String, String) {
    let ssh = gateway.command(user, &["-W", target]);
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(format!("printf '{text}' | \"$@\""))
        .arg("sh")
        .arg(ssh.get_program())
        .args(ssh.get_args());
    let mut ssh = Process::spawn(&mut shell);
    let _: std::process::ExitStatus = ssh.wait(SOON);
    (ssh.stdout(), ssh.stderr())
}

/// A port that is three digits and 22, and that nobody has. Tests in other processes begin elsewhere.
fn prefixed() -> u16 {
    let start = u16::try_from(std::process::id() % 300).unwrap();
    (0..300)
        .map(|step| (200 + (start + step) % 300) * 100 + 22)
        .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .unwrap()
}

/// A rule for any name at any port.
fn names() -> TargetRule {
    TargetRule::Name {
        name: None,
        ports: PortSet::all(),
    }
}

/// A rule for a network.
fn network(text: &str, ports: PortSet) -> TargetRule {
    TargetRule::Cidr {
        network: text.parse().unwrap(),
        ports,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_is_reached_by_its_name_and_the_port_behind_its_prefix() {
    require!("ssh", "ssh-keygen");
    let (device, alice, bob) = (
        User::new(1, "red001"),
        User::new(2, "alice"),
        User::new(3, "bob"),
    );
    let may = Grant {
        targets: vec![names()],
        ..Grant::default()
    };
    let gateway = Gateway::new(policy(&[
        (&device, Kind::Device, generous()),
        (&alice, Kind::User, may),
        (&bob, Kind::User, Grant::default()),
    ]))
    .await;
    let service = echo::named_service();
    let port = prefixed();
    let forward = format!("{port}:127.0.0.1:{service}");
    let _device = gateway.tunnel(&device, &["-R", &forward]);
    let by_port = format!("red001:{port}");
    for target in ["red001:22", "RED001:22", &by_port] {
        let (answer, told) = through(&gateway, &alice, target, "hello");
        assert_eq!(answer, format!("hello{service}"), "{target}: {told}");
    }
    let (_, told) = through(&gateway, &alice, "red001:80", "");
    assert!(told.contains("red001 offers nothing at port 80"), "{told}");
    // Who may not open it learns nothing of what there is.
    for target in ["red001:22", "red001:80", "red002:22"] {
        let (_, told) = through(&gateway, &bob, target, "");
        let (host, port) = target.split_once(':').unwrap();
        let denied = format!("administratively prohibited: you may not open {host} port {port}");
        assert!(told.contains(&denied), "{told}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jump_through_the_gateway_reaches_a_device_and_ends_with_its_right() {
    require!("ssh", "ssh-keygen");
    let (device, alice) = (User::new(1, "red001"), User::new(2, "alice"));
    let may = Grant {
        targets: vec![names()],
        ..Grant::default()
    };
    let with = |grant: Grant| {
        policy(&[
            (&device, Kind::Device, generous()),
            (&alice, Kind::User, grant),
        ])
    };
    let gateway = Gateway::new(with(may)).await;
    // The device's "sshd" is another gateway, which refuses a command in its own words.
    let (inner, inner_user) = alone(Grant::default()).await;
    let forward = format!("{}:127.0.0.1:{}", prefixed(), inner.port());
    let _device = gateway.tunnel(&device, &["-R", &forward]);
    let proxy: Vec<String> = {
        let command = gateway.command(&alice, &["-W", "red001:22"]);
        std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(|word| word.to_str().unwrap().to_owned())
            .collect()
    };
    let proxy = format!("ProxyCommand={}", proxy.join(" "));
    let alias = format!("HostKeyAlias=[127.0.0.1]:{}", inner.port());
    let mut ssh = inner.ssh(&inner_user, &["-T", "-o", &proxy, "-o", &alias]);
    ssh.wait_for_text("You are alice");
    // The right to open is taken away while the jump is there (G04, G05).
    let begun = tokio::time::Instant::now();
    gateway.publish(with(Grant::default()));
    let _: std::process::ExitStatus = ssh.wait(SOON);
    assert!(begun.elapsed().as_secs() < 1, "{:?}", begun.elapsed());
    inner.stop().await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_of_ones_own_is_reached_by_a_loopback_address_and_nobody_elses_is() {
    require!("ssh", "ssh-keygen");
    let (alice, bob) = (User::new(1, "alice"), User::new(2, "bob"));
    let gateway = Gateway::new(policy(&[
        (&alice, Kind::User, generous()),
        (&bob, Kind::User, generous()),
    ]))
    .await;
    let (port, service) = (prefixed(), echo::named_service());
    let _own = gateway.tunnel(&alice, &["-R", &format!("{port}:127.0.0.1:{service}")]);
    for host in ["127.0.0.1", "localhost", "[::1]", "127.0.0.9"] {
        let target = format!("{host}:{port}");
        let (answer, told) = through(&gateway, &alice, &target, "round");
        assert_eq!(answer, format!("round{service}"), "{target}: {told}");
        let (answer, told) = through(&gateway, &bob, &target, "");
        assert!(
            answer.is_empty() && told.contains("administratively prohibited"),
            "{target}: {told}"
        );
    }
    // The service itself is on this machine as well, and is no lease.
    let target = format!("127.0.0.1:{service}");
    let (answer, told) = through(&gateway, &alice, &target, "");
    assert!(
        answer.is_empty() && told.contains("administratively prohibited"),
        "{told}"
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_is_opened_only_where_the_grant_names_exactly_it() {
    require!("ssh", "ssh-keygen");
    let service = echo::service();
    let ports: PortSet = service.to_string().parse().unwrap();
    let user = User::new(1, "alice");
    let with = |targets: Vec<TargetRule>| {
        let grant = Grant {
            targets,
            ..Grant::default()
        };
        policy(&[(&user, Kind::User, grant)])
    };
    let gateway = Gateway::new(with(Vec::new())).await;
    let target = format!("127.0.0.1:{service}");
    for (targets, is_open) in [
        (Vec::new(), false),
        (vec![names()], false),
        (vec![network("0.0.0.0/0", PortSet::all())], false),
        (vec![network("127.0.0.0/8", ports.clone())], false),
        (vec![network("127.0.0.1/32", PortSet::one(1))], false),
        (vec![network("127.0.0.1/32", ports.clone())], true),
    ] {
        gateway.publish(with(targets.clone()));
        let (answer, told) = through(&gateway, &user, &target, "hello");
        assert_eq!(answer == "hello", is_open, "{targets:?}: {told}");
        assert_eq!(
            told.contains("administratively prohibited"),
            !is_open,
            "{told}"
        );
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g04_a_right_that_is_taken_away_between_two_opens_is_gone_for_the_second() {
    require!("ssh", "ssh-keygen");
    let service = echo::service();
    let user = User::new(1, "alice");
    let with = |ports: PortSet| {
        let grant = Grant {
            targets: vec![network("127.0.0.1/32", ports)],
            ..Grant::default()
        };
        policy(&[(&user, Kind::User, grant)])
    };
    let gateway = Gateway::new(with(PortSet::all())).await;
    let port = free_port();
    let local = format!("127.0.0.1:{port}:127.0.0.1:{service}");
    let mut ssh = gateway.ssh(&user, &["-N", "-v", "-L", &local]);
    ssh.wait_for_text("Entering interactive session");
    answers(port);
    gateway.publish(with(PortSet::one(1)));
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    let answer = ask(addr, "hello");
    assert_eq!(answer.unwrap_or_default(), "");
    ssh.wait_for_text("administratively prohibited");
    // The connection itself may stay, and has the right again when it is given back.
    gateway.publish(with(PortSet::all()));
    answers(port);
    assert_eq!(ssh.exit_status(), None);
    gateway.stop().await;
}

/// Gives another address each time.
#[derive(Debug)]
struct Rebinding(std::sync::atomic::AtomicUsize, Vec<SocketAddr>);

impl Resolve for Rebinding {
    fn resolve<'a>(&'a self, _: &'a str, port: u16) -> Later<'a, io::Result<Vec<SocketAddr>>> {
        let turn = self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let mut address = self.1[turn.min(self.1.len() - 1)];
        address.set_port(port);
        Box::pin(async move { Ok(vec![address]) })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g55_the_address_that_was_tested_is_dialled_and_no_other() {
    require!("ssh", "ssh-keygen");
    let service = echo::service();
    let user = User::new(1, "alice");
    let grant = Grant {
        targets: vec![network("127.0.0.1/32", PortSet::all())],
        ..Grant::default()
    };
    let rebinding = Arc::new(Rebinding(
        std::sync::atomic::AtomicUsize::new(0),
        vec![
            "127.0.0.1:0".parse().unwrap(),
            "127.0.0.2:0".parse().unwrap(),
        ],
    ));
    let wishes = Wishes {
        resolver: Arc::<Rebinding>::clone(&rebinding),
        ..Wishes::default()
    };
    let gateway = Gateway::with(policy(&[(&user, Kind::User, grant)]), wishes).await;
    let target = format!("rebind.example:{service}");
    let (answer, told) = through(&gateway, &user, &target, "hello");
    assert_eq!(answer, "hello", "{told}");
    assert_eq!(
        rebinding.0.load(std::sync::atomic::Ordering::SeqCst),
        1,
        "asked once"
    );
    let (_, told) = through(&gateway, &user, &target, "hello");
    assert!(told.contains("you may not open 127.0.0.2"), "{told}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_a_principal_have_a_limit_over_all_its_connections() {
    require!("ssh", "ssh-keygen");
    let service = echo::service();
    let user = User::new(1, "alice");
    let mut grant = Grant {
        targets: vec![network("127.0.0.1/32", PortSet::all())],
        ..Grant::default()
    };
    grant.limits.streams = Some(1);
    let gateway = Gateway::new(policy(&[(&user, Kind::User, grant)])).await;
    let fifo = gateway.folder.path().join("input");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let ssh = gateway.command(&user, &["-v", "-W", &format!("127.0.0.1:{service}")]);
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(format!("exec \"$@\" < {}", fifo.display()))
        .arg("sh")
        .arg(ssh.get_program())
        .args(ssh.get_args());
    let mut first = Process::spawn(&mut shell);
    let input = std::fs::OpenOptions::new().write(true).open(&fifo).unwrap();
    first.wait_for_text("Entering interactive session");
    let target = format!("127.0.0.1:{service}");
    wait::until_within(SOON, "the limit is reached", || {
        let (_, told) = through(&gateway, &user, &target, "");
        told.contains("which is your limit")
            .then_some(())
            .ok_or(told)
    });
    drop(input);
    let _: std::process::ExitStatus = first.wait(SOON);
    let (answer, told) = through(&gateway, &user, &target, "again");
    assert_eq!(answer, "again", "{told}");
    gateway.stop().await;
}
