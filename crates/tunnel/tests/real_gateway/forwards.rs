//! `ssh -R` in every form that it has.

use std::net::SocketAddr;
use std::time::Duration;

use adit_model::grant::{Grant, Reach};
use adit_model::lease::{Holding, Takeover};
use adit_testkit::process::Process;
use adit_testkit::{echo, require, wait};
use adit_tunnel::gateway::desk::{LeaseRow, RowState};
use adit_tunnel::gateway::policy::Kind;
use tokio::time::Instant;

use crate::world::{Gateway, SOON, User, alone, answers, echo as ask, free_port, generous, policy};

/// The addresses that are bound for a port.
fn bound(gateway: &Gateway, port: u16) -> Vec<String> {
    let rows = gateway.desk.rows();
    let row = rows.iter().find(|row| row.holding == Holding::Port(port));
    let mut addresses: Vec<_> = row
        .map(|row| {
            row.addresses
                .iter()
                .map(|addr| addr.ip().to_string())
                .collect()
        })
        .unwrap_or_default();
    addresses.sort();
    addresses
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_form_of_a_bind_address_listens_where_openssh_says() {
    require!("ssh", "ssh-keygen");
    let (gateway, user) = alone(generous()).await;
    let service = echo::service();
    for (bind, expected) in [
        ("", &["127.0.0.1", "::1"][..]),
        ("localhost:", &["127.0.0.1", "::1"]),
        ("127.0.0.1:", &["127.0.0.1"]),
        ("0.0.0.0:", &["0.0.0.0"]),
        ("*:", &["0.0.0.0", "::"]),
        (":", &["0.0.0.0", "::"]),
        ("[::]:", &["::"]),
        ("[::1]:", &["::1"]),
    ] {
        let port = free_port();
        let forward = format!("{bind}{port}:127.0.0.1:{service}");
        let ssh = gateway.tunnel(&user, &["-R", &forward]);
        assert_eq!(
            bound(&gateway, port),
            expected,
            "{forward}: {}",
            ssh.stderr()
        );
        let host = if expected.iter().any(|text| text.contains('.')) {
            "127.0.0.1"
        } else {
            "[::1]"
        };
        let addr: SocketAddr = format!("{host}:{port}").parse().unwrap();
        assert_eq!(ask(addr, "through").unwrap(), "through", "{forward}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn port_0_becomes_a_port_of_the_grant_and_the_client_is_told() {
    require!("ssh", "ssh-keygen");
    let (gateway, user) = alone(generous()).await;
    let service = echo::service();
    // ssh asks only once for what it was told twice in the same words.
    let (first, second) = (
        format!("0:127.0.0.1:{service}"),
        format!("0:localhost:{service}"),
    );
    let ssh = gateway.tunnel(&user, &["-R", &first, "-R", &second]);
    let text = ssh.stderr();
    let ports: Vec<u16> = text
        .lines()
        .filter_map(|line| line.strip_prefix("Allocated port "))
        .map(|rest| rest.split(' ').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(ports.len(), 2, "{text}");
    for port in ports {
        assert!((20_000..30_000).contains(&port));
        answers(port);
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_forwards_of_one_connection_are_answered_in_order_and_each_by_itself() {
    require!("ssh", "ssh-keygen");
    let only = free_port();
    let grant = Grant {
        ports: format!("{only}").parse().unwrap(),
        ..Grant::default()
    };
    let (gateway, user) = alone(grant).await;
    let service = echo::service();
    let forward = |port: u16| format!("127.0.0.1:{port}:127.0.0.1:{service}");
    let (first, granted, last) = (forward(1), forward(only), forward(2));
    let ssh = gateway.tunnel(&user, &["-R", &first, "-R", &granted, "-R", &last]);
    let told = ssh.stderr();
    for port in [1, 2] {
        let failure = format!("remote port forwarding failed for listen port {port}");
        assert!(told.contains(&failure), "{told}");
    }
    answers(only);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at30_a_client_whose_only_forward_is_refused_is_told_why_and_ended() {
    require!("ssh", "ssh-keygen");
    let (gateway, user) = alone(Grant {
        ports: "20001".parse().unwrap(),
        ..Grant::default()
    })
    .await;
    let begun = Instant::now();
    let mut ssh = gateway.ssh(&user, &["-N", "-R", "8080:localhost:80"]);
    assert!(!ssh.wait(SOON).success());
    assert!(begun.elapsed() < Duration::from_secs(10));
    let told = ssh.stderr();
    assert!(
        told.contains("Received disconnect")
            && told.contains("port 8080 is not yours; yours are 20001"),
        "{told}"
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forward_comes_and_goes_on_a_live_connection() {
    require!("ssh", "ssh-keygen");
    let (gateway, user) = alone(generous()).await;
    let service = echo::service();
    let control = gateway.folder.path().join("control");
    let path = format!("ControlPath={}", control.display());
    let mut master = gateway.ssh(&user, &["-N", "-M", "-v", "-o", &path]);
    master.wait_for_text("Entering interactive session");
    let port = free_port();
    let forward = format!("localhost:{port}:127.0.0.1:{service}");
    let asked = |what: &str| {
        let arguments = ["-o", path.as_str(), "-O", what, "-R", forward.as_str()];
        let mut ssh = gateway.ssh(&user, &arguments);
        let status = ssh.wait(SOON);
        assert!(status.success(), "{what}: {}", ssh.stderr());
    };
    for _ in 0..2 {
        asked("forward");
        answers(port);
        asked("cancel");
        wait::until_within(SOON, "the listener is gone", || {
            let addr = SocketAddr::from(([127, 0, 0, 1], port));
            match ask(addr, "x") {
                Err(_) => Ok(()),
                Ok(text) if text.is_empty() => Ok(()),
                Ok(text) => Err(text),
            }
        });
    }
    assert_eq!(master.exit_status(), None);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_keeps_local_never_reaches_another_machine() {
    require!("ssh", "ssh-keygen");
    let (gateway, user) = alone(Grant {
        reach: Reach::Local,
        ..generous()
    })
    .await;
    let service = echo::service();
    let port = free_port();
    let forward = format!("*:{port}:127.0.0.1:{service}");
    let _ssh = gateway.tunnel(&user, &["-R", &forward]);
    assert_eq!(bound(&gateway, port), ["127.0.0.1", "::1"]);
    answers(port);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_principal_learns_no_more_than_that_a_port_is_in_use() {
    require!("ssh", "ssh-keygen");
    let (alice, bob) = (User::new(1, "alice"), User::new(2, "bob"));
    let gateway = Gateway::new(policy(&[
        (&alice, Kind::User, generous()),
        (&bob, Kind::User, generous()),
    ]))
    .await;
    let service = echo::service();
    let port = free_port();
    let forward = format!("localhost:{port}:127.0.0.1:{service}");
    let _alices = gateway.tunnel(&alice, &["-R", &forward]);
    let mut bobs = gateway.ssh(&bob, &["-N", "-R", &forward]);
    assert!(!bobs.wait(SOON).success());
    let told = bobs.stderr();
    assert!(told.contains(&format!("port {port} is in use")), "{told}");
    assert!(!told.contains("alice"), "{told}");
    answers(port);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at27_the_same_key_takes_its_port_back_from_a_frozen_client() {
    require!("ssh", "ssh-keygen");
    let (gateway, user) = alone(generous()).await;
    let port = free_port();
    let first = echo::named_service();
    let second = echo::named_service();
    let forward = |service: u16| format!("localhost:{port}:127.0.0.1:{service}");
    let frozen = gateway.tunnel(&user, &["-R", &forward(first)]);
    frozen.signal(rustix::process::Signal::STOP);
    let begun = Instant::now();
    let _back: Process = gateway.tunnel(&user, &["-R", &forward(second)]);
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    assert_eq!(ask(addr, "who").unwrap(), format!("who{second}"));
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    frozen.signal(rustix::process::Signal::CONT);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g05_a_revocation_closes_listeners_and_visitors() {
    require!("ssh", "ssh-keygen");
    let (gateway, user) = alone(generous()).await;
    let service = echo::service();
    let port = free_port();
    let forward = format!("localhost:{port}:127.0.0.1:{service}");
    let mut ssh = gateway.tunnel(&user, &["-R", &forward]);
    answers(port);
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    let mut visitor = std::net::TcpStream::connect(addr).unwrap();
    visitor.set_read_timeout(Some(SOON)).unwrap();
    let begun = Instant::now();
    gateway.change(|policy| policy.keys.clear());
    let ended = std::io::Read::read(&mut visitor, &mut [0; 1]);
    assert!(!matches!(ended, Ok(1)), "{ended:?}");
    let _: std::process::ExitStatus = ssh.wait(SOON);
    wait::until_within(
        SOON,
        "the listener is gone",
        || match std::net::TcpStream::connect(addr) {
            Err(_) => Ok(()),
            Ok(_) => Err("connected"),
        },
    );
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unix_socket_is_a_lease_in_the_principals_own_folder() {
    require!("ssh", "ssh-keygen");
    let (gateway, user) = alone(Grant {
        sockets: adit_model::grant::Sockets::Any,
        ..generous()
    })
    .await;
    let service = echo::service();
    let forward = format!("1/db.sock:127.0.0.1:{service}");
    let holder = gateway.tunnel(&user, &["-R", &forward]);
    let told = holder.stderr();
    assert!(told.contains("remote forward success"), "{told}");
    // Another connection of the same principal reaches it by the same name.
    let port = free_port();
    let local = format!("127.0.0.1:{port}:1/db.sock");
    let mut client = gateway.ssh(&user, &["-N", "-v", "-L", &local]);
    client.wait_for_text("Entering interactive session");
    answers(port);
    // No other socket of the machine is one.
    let other = free_port();
    let local = format!("127.0.0.1:{other}:/run/docker.sock");
    let mut client = gateway.ssh(&user, &["-N", "-v", "-L", &local]);
    client.wait_for_text("Entering interactive session");
    assert_eq!(
        ask(SocketAddr::from(([127, 0, 0, 1], other)), "x").unwrap_or_default(),
        ""
    );
    client.wait_for_text("administratively prohibited");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g50_no_path_leads_to_a_socket_that_is_no_lease() {
    require!("ssh", "ssh-keygen");
    let (gateway, user) = alone(Grant {
        sockets: adit_model::grant::Sockets::Any,
        ..generous()
    })
    .await;
    // A socket of the gateway's own user, and links to it where principals have theirs.
    let own = gateway.folder.path().join("control.sock");
    let listener = std::os::unix::net::UnixListener::bind(&own).unwrap();
    listener.set_nonblocking(true).unwrap();
    let folder = gateway.folder.path().join("sockets/1");
    std::fs::create_dir(&folder).unwrap();
    for name in ["link", "linked.sock"] {
        std::os::unix::fs::symlink(&own, folder.join(name)).unwrap();
    }
    let absolute = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let paths = [
        absolute(&own),
        absolute(&folder.join("link")),
        String::from("./link"),
        String::from("1/linked.sock"),
        String::from("../control.sock"),
        String::from("1/../../control.sock"),
        String::from("/run/docker.sock"),
        String::from("/var/run/docker.sock"),
        String::from("/run/dbus/system_bus_socket"),
        String::from("/run/postgresql/.s.PGSQL.5432"),
    ];
    let forwards: Vec<(u16, String)> = (paths.iter())
        .map(|path| {
            let port = free_port();
            (port, format!("127.0.0.1:{port}:{path}"))
        })
        .collect();
    let mut words = vec!["-N", "-v"];
    for (_, forward) in &forwards {
        words.extend(["-L", forward.as_str()]);
    }
    let mut client = gateway.ssh(&user, &words);
    client.wait_for_text("Entering interactive session");
    for (port, forward) in &forwards {
        let answer = ask(SocketAddr::from(([127, 0, 0, 1], *port)), "x");
        assert_eq!(answer.unwrap_or_default(), "", "{forward}");
    }
    wait::until_within(SOON, "a refusal of each", || {
        let told = client.stderr();
        let refused = told.matches("open failed").count();
        (refused >= forwards.len()).then_some(()).ok_or(told)
    });
    let came = listener.accept().map(drop).map_err(|error| error.kind());
    assert_eq!(came, Err(std::io::ErrorKind::WouldBlock));
    // Nor is a link taken for a place to listen at.
    let forward = "1/link:127.0.0.1:9";
    let holder = gateway.tunnel(&user, &["-R", forward]);
    let told = holder.stderr();
    assert!(told.contains("remote forward failure"), "{told}");
    gateway.stop().await;
}

/// A connection that keeps another forward stays, and hears of it: on its page, and outside of any channel.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_told_which_forward_it_has_lost_and_when_it_is_back() {
    require!("ssh", "ssh-keygen");
    let mut grant = generous();
    grant.takeover = Takeover::Newest;
    let (gateway, user) = alone(grant).await;
    let service = echo::service();
    let [kept, lost] = [free_port(), free_port()];
    let forward = |port: u16| format!("{port}:127.0.0.1:{service}");
    let (kept, taken) = (forward(kept), forward(lost));
    let mut silent = gateway.tunnel(&user, &["-R", &kept, "-R", &taken]);
    let newer = gateway.tunnel(&user, &["-R", &taken]);
    let words = format!("localhost:{lost} was taken over by another connection of yours");
    silent.wait_for_text(&format!("Remote: adit: lost: {words}"));
    assert_eq!(silent.stderr().matches(&words).count(), 1);
    drop(newer);
    silent.wait_for_text("Remote: adit: back again: ");
    answers(lost);
    drop(silent);
    let mut page = gateway.ssh(&user, &["-T", "-R", &kept, "-R", &taken]);
    wait::until("both forwards", || {
        let rows = gateway.desk.rows();
        let held = |row: &&LeaseRow| matches!(row.state, RowState::Held { .. });
        let held = rows.iter().filter(held).count();
        (held == 2).then_some(()).ok_or(rows)
    });
    let newer = gateway.tunnel(&user, &["-R", &taken]);
    page.wait_for_text(&format!("lost: {words}"));
    drop(newer);
    page.wait_for_text("back again: ");
    answers(lost);
    gateway.stop().await;
}
