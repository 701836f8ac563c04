//! What works.

use std::net::IpAddr;

use adit_testkit::echo::named_service;
use adit_testkit::namespace::Namespace;
use adit_testkit::require;
use tokio::net::TcpListener;

use super::*;

#[tokio::test]
async fn each_port_reaches_its_own_service_and_is_told_with_its_real_number() {
    require!("sshd", "ssh-keygen");
    for gateway_ports in ["yes", "no", "clientspecified"] {
        let sshd = Sshd::builder()
            .config_line(&format!("GatewayPorts {gateway_ports}"))
            .start();
        let home = home();
        let local = [named_service(), named_service(), named_service()];
        let ports = local.map(|port| format!("'0:{port}'")).join(", ");
        let up = Up::new(home.path(), &file(&sshd, &format!("[{ports}]"), None, ""));
        let mut visits = JoinSet::new();
        for port in local {
            let address = up.public(port).await;
            assert_eq!(address.host, "127.0.0.1");
            let public = address.port.unwrap();
            let line = up.log.line(&format!("-> localhost:{port}"));
            let expected = format!(
                "INFO [Gateway] Remote port forwarding started: 127.0.0.1:{public} -> localhost:{port}"
            );
            assert_eq!(line, expected);
            for number in 0..20 {
                let question = format!("{number} for ").repeat(5_000);
                visits.spawn(async move {
                    let answer = visit(public, question.as_bytes()).await;
                    let expected = format!("{question}{port}");
                    assert!(answer == expected.as_bytes(), "{port} {number}");
                });
            }
        }
        while let Some(visited) = visits.join_next().await {
            visited.unwrap();
        }
        let report = up.board.report();
        assert_eq!(report.tunnels[0].name, "gateway 127.0.0.1");
        assert!(report.is_up(), "{report:?}");
        assert!(up.board.is_ready());
        let addr = sshd.addr();
        assert_eq!(
            up.log.line("Establishing"),
            format!("INFO Establishing SSH tunnel to {addr}")
        );
        // The key is new, and that is said in one line.
        assert!(up.log.line("host was new").contains("WARN"));
        let addresses = up.addresses.clone();
        let log = up.end().await;
        log.line(&format!("INFO Stopping SSH tunnel to {addr}"));
        assert_eq!(
            addresses.state(local[0]),
            Some(State::Down(String::from("its gateway was stopped")))
        );
    }
}

#[tokio::test]
async fn a_stream_that_is_half_closed_by_either_side_delivers_the_rest() {
    require!("sshd", "ssh-keygen");
    let (sshd, home) = (Sshd::builder().start(), home());
    let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = service.local_addr().unwrap().port();
    let up = Up::new(home.path(), &file(&sshd, &format!("'0:{port}'"), None, ""));
    let public = up.public(port).await.port.unwrap();
    let mut visitor = TcpStream::connect(("127.0.0.1", public)).await.unwrap();
    let (mut socket, _) = service.accept().await.unwrap();
    // The service has said all it will, and still hears.
    socket.write_all(b"greeting").await.unwrap();
    socket.shutdown().await.unwrap();
    let mut greeting = Vec::new();
    visitor.read_to_end(&mut greeting).await.unwrap();
    assert_eq!(greeting, b"greeting");
    let question = vec![7; 300_000];
    let mut heard = Vec::new();
    let asking = async {
        visitor.write_all(&question).await.unwrap();
        visitor.shutdown().await.unwrap();
    };
    let (read, ()) = tokio::join!(socket.read_to_end(&mut heard), asking);
    read.unwrap();
    assert!(heard == question);
    up.end().await;
}

#[tokio::test]
async fn a_lost_connection_is_told_and_made_again_with_the_same_port() {
    require!("sshd", "ssh-keygen");
    let (sshd, home) = (Sshd::builder().start(), home());
    let port = named_service();
    let up = Up::new(home.path(), &file(&sshd, &format!("'0:{port}'"), None, ""));
    let before = up.public(port).await;
    let mut changes = up.addresses.changes();
    sshd.kill_connections();
    changes.next().await;
    up.until_logged("Reconnecting in", 1).await;
    let line = up.log.line("Reconnecting in");
    assert!(
        line.starts_with("WARN SSH connection lost: ") && line.ends_with("s... (attempt 1)"),
        "{line}"
    );
    // The first word after the loss may be the next beginning, which is no less a change.
    up.until_logged("Remote port forwarding started", 2).await;
    assert_eq!(up.public(port).await, before);
    let public = before.port.unwrap();
    assert_eq!(visit(public, b"x").await, format!("x{port}").as_bytes());
    up.end().await;
}

#[tokio::test]
async fn a_service_learns_where_its_visitors_really_are() {
    require!("sshd", "ssh-keygen");
    let (sshd, home) = (Sshd::builder().start(), home());
    let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = service.local_addr().unwrap().port();
    let up = Up::new(home.path(), &file(&sshd, &format!("'0:{port}'"), None, ""));
    let public = up.public(port).await.port.unwrap();
    let visitors = up.exposes.visitors_of(port);
    let mut visitor = TcpStream::connect(("127.0.0.1", public)).await.unwrap();
    visitor.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let (mut socket, peer) = service.accept().await.unwrap();
    socket.read_u8().await.unwrap();
    // What sshd reports as the originator is the visitor's own end.
    let real: SocketAddr = visitor.local_addr().unwrap();
    assert_eq!(visitors.visitor(peer), Some(real));
    assert_ne!(peer, real);
    assert_eq!(up.exposes.visitors_of(1).visitor(peer), None);
    let direct = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (_, peer) = service.accept().await.unwrap();
    assert_eq!(visitors.visitor(peer), None);
    drop(direct);
    up.end().await;
}

#[tokio::test]
async fn a_port_that_is_busy_is_had_as_soon_as_it_is_free() {
    require!("sshd", "ssh-keygen");
    let (sshd, home) = (Sshd::builder().start(), home());
    // At every address: a port of which sshd gets a part is granted.
    let holder = TcpListener::bind("[::]:0").await.unwrap();
    let busy = holder.local_addr().unwrap().port();
    let port = named_service();
    let ports = format!("'{busy}:{port}'");
    let up = Up::new(home.path(), &file(&sshd, &ports, None, ""));
    up.until_logged("refuses port", 1).await;
    let line = up.log.line("refuses port");
    assert!(!line.contains("not allowed"), "{line}");
    assert!(
        line.starts_with(&format!(
            "WARN [Gateway] 127.0.0.1 refuses port {busy}: it is taken there"
        )),
        "{line}"
    );
    drop(holder);
    assert_eq!(up.public(port).await.port, Some(busy));
    up.end().await;
}

/// The commonest mistake of all, as the document has it.
#[test]
fn a_port_at_the_loopback_alone_is_not_public_and_the_log_names_gateway_ports() {
    require!(root);
    require!("ip", "nsenter", "sshd", "ssh-keygen");
    let (inside, public) = (Namespace::new(), Namespace::new());
    let addr = IpAddr::from(inside.join(&public).v4(2));
    let sshd = Sshd::builder()
        .config_line("GatewayPorts no")
        .start_in(&public, addr);
    let home = home();
    let test = async {
        let up = Up::new(home.path(), &file(&sshd, "'0:8090'", None, ""));
        let why = up.down(8_090, "GatewayPorts").await;
        let line = up.log.line("GatewayPorts clientspecified");
        assert_eq!(line, format!("WARN [Gateway] {why}"));
        assert_eq!(up.log.count("forwarding started"), 0);
        assert!(!up.board.is_ready());
        up.end().await;
    };
    // All in one thread, of which the log is told.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    inside.enter(|| runtime.enable_all().build().unwrap().block_on(test));
}

/// Where the server does as it is asked, and not more.
#[test]
fn a_port_at_a_server_that_is_reached_by_ipv6_is_public_there() {
    require!(root);
    require!("ip", "nsenter", "sshd", "ssh-keygen");
    let (inside, public) = (Namespace::new(), Namespace::new());
    let addr = inside.join(&public).v6(2);
    let sshd = Sshd::builder()
        .config_line("GatewayPorts clientspecified")
        .start_in(&public, IpAddr::from(addr));
    let home = home();
    let test = async {
        let port = named_service();
        let up = Up::new(home.path(), &file(&sshd, &format!("'0:{port}'"), None, ""));
        let address = up.public(port).await;
        assert_eq!(address.host, addr.to_string());
        let public = SocketAddr::new(IpAddr::from(addr), address.port.unwrap());
        assert_eq!(address.address(), public.to_string());
        assert_eq!(visit_at(public, b"x").await, format!("x{port}").as_bytes());
        assert_eq!(up.log.count("GatewayPorts"), 0, "{}", up.log.text());
        up.end().await;
    };
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    inside.enter(|| runtime.enable_all().build().unwrap().block_on(test));
}

#[tokio::test]
async fn what_cannot_be_looked_at_is_public_and_said_to_be_unchecked() {
    require!("sshd", "ssh-keygen");
    let sshd = Sshd::builder().config_line("PermitOpen none").start();
    let home = home();
    let port = named_service();
    // Nobody can look from outside either: the host is reached over another.
    let hop = Sshd::builder().start();
    let lines = format!(
        "Host 127.0.0.1\n ProxyJump hop\nHost hop\n HostName 127.0.0.1\n Port {}\n User {}\n \
         IdentityFile {}\n UserKnownHostsFile {}\n",
        hop.addr().port(),
        hop.user(),
        hop.user_key().private_path().display(),
        hop.known_hosts_path().display()
    );
    std::fs::write(home.path().join(".ssh/config"), lines).unwrap();
    let up = Up::new(home.path(), &file(&sshd, &format!("'0:{port}'"), None, ""));
    let public = up.public(port).await.port.unwrap();
    up.log.line("Remote port forwarding started");
    let line = up.log.line("nobody can look");
    assert!(line.starts_with("WARN [Gateway]"), "{line}");
    assert_eq!(visit(public, b"x").await, format!("x{port}").as_bytes());
    up.end().await;
}

/// A server whose account has a password, in a file of accounts of its own.
#[tokio::test]
async fn a_password_logs_in_where_the_host_is_known() {
    require!(root);
    require!("sshd", "ssh-keygen", "openssl", "unshare", "mount");
    let folder = tempfile::tempdir().unwrap();
    let hashed = std::process::Command::new("openssl")
        .args(["passwd", "-6", "-salt", "salt", "hunter4711"])
        .output()
        .unwrap();
    let hashed = String::from_utf8(hashed.stdout).unwrap();
    let shadow = std::fs::read_to_string("/etc/shadow").unwrap();
    let others = shadow.lines().filter(|line| !line.starts_with("root:"));
    let lines = others.fold(
        format!("root:{}:19000::::::\n", hashed.trim()),
        |all, line| format!("{all}{line}\n"),
    );
    let accounts = folder.path().join("shadow");
    std::fs::write(&accounts, lines).unwrap();
    let program = folder.path().join("sshd");
    let script = format!(
        "#!/bin/sh\nexec unshare -m sh -c 'mount --bind {} /etc/shadow && exec {} \"$@\"' sh \"$@\"\n",
        accounts.display(),
        adit_testkit::real::find("sshd").unwrap().display()
    );
    std::fs::write(&program, script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, mode).unwrap();
    let sshd = Sshd::builder()
        .program(program)
        .user("root")
        .config_line("PasswordAuthentication yes\nPermitRootLogin yes")
        .start();
    let home = home();
    let known = format!("known_hosts: '{}'", sshd.known_hosts_path().display());
    let port = named_service();
    let login = "type: password, password: 'env:WORD'";
    let text = file(&sshd, &format!("'0:{port}'"), Some(login), &known);
    let up = Up::new(home.path(), &text);
    let public = up.public(port).await.port.unwrap();
    assert_eq!(visit(public, b"x").await, format!("x{port}").as_bytes());
    assert!(!sshd.log().contains("Failed publickey"), "{}", sshd.log());
    assert!(!up.log.text().contains("hunter4711"));
    up.end().await;
}
