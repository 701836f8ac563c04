//! A forward is up when bytes have made its round trip, and not before.

use tokio::io::copy_bidirectional;

use super::*;
use crate::transport::{OpenRequest, RefusalCode};

fn lab(port: u16) -> Lab {
    let prober = Prober::new().unwrap();
    Lab::with(vec![forward("", 8080, port)], Vec::new(), Some(prober))
}

async fn opened(peer: &mut Connection) -> OpenRequest {
    match within(peer.requests.recv()).await {
        Some(PeerRequest::Open(request)) => request,
        other => panic!("{other:?} instead of a stream"),
    }
}

/// A probe that asks the way to the listener.
async fn probed(peer: &mut Connection) -> OpenRequest {
    probed_at("127.0.0.1", peer).await
}

/// The same at one of its addresses.
async fn probed_at(host: &str, peer: &mut Connection) -> OpenRequest {
    let request = opened(peer).await;
    let listener = Target::Tcp {
        host: host.to_owned(),
        port: 8080,
    };
    assert_eq!(request.head.kind, StreamKind::Direct(listener));
    request
}

/// A probe at the first of them comes in at our own listener.
async fn leads_round(peer: &mut Connection) {
    let mut there = probed(peer).await.answer.accept();
    let mut back = come_in(peer).await;
    drop(within(copy_bidirectional(&mut there, &mut back)).await);
}

/// What sshd does for who connects to its own listener: opens the forward's channel to us.
async fn come_in(peer: &Connection) -> ByteStream {
    come_in_at("", peer).await
}

/// The same at a listener that was asked for there.
async fn come_in_at(host: &str, peer: &Connection) -> ByteStream {
    let origin = Origin {
        host: String::from("127.0.0.1"),
        port: 5,
    };
    let kind = StreamKind::Forwarded(bind(host, 8080));
    let stream = peer.transport.open(StreamHead { kind, origin });
    within(stream).await.unwrap()
}

#[tokio::test]
async fn a_nonce_that_comes_round_makes_it_up_and_the_service_hears_nothing_of_it() {
    let mut tasks = JoinSet::new();
    let port = service(&mut tasks).await;
    let mut lab = lab(port);
    let mut peer = lab.peer().await;
    asked(&mut peer).await.answer.grant(8080);
    lab.until(&format!("bound *:8080 -> 127.0.0.1:{port}"))
        .await;
    leads_round(&mut peer).await;
    let twin = probed_at("::1", &mut peer).await;
    twin.answer.refuse(RefusalCode::ConnectFailed, "refused");
    lab.until(&format!("up *:8080 -> 127.0.0.1:{port} over IPv4 alone"))
        .await;
    // The service serves one visitor at a time, so a probe that had reached it would stand before.
    let kind = StreamKind::Forwarded(bind("", 8080));
    let visitor = visit(&*peer.transport, kind).await.unwrap();
    assert_eq!(question(visitor).await, b"question");
}

#[tokio::test]
async fn visitors_are_served_whole_while_a_probe_is_out() {
    let mut tasks = JoinSet::new();
    let port = service(&mut tasks).await;
    let mut lab = lab(port);
    let mut peer = lab.peer().await;
    asked(&mut peer).await.answer.grant(8080);
    let request = probed(&mut peer).await;
    let there = request.answer.accept();
    // One from where the probe may come back, who is looked at, and one who cannot be it.
    let near = come_in(&peer).await;
    assert_eq!(question(near).await, b"question");
    let kind = StreamKind::Forwarded(bind("", 8080));
    let far = visit(&*peer.transport, kind).await.unwrap();
    assert_eq!(question(far).await, b"question");
    drop(there);
    let foreign = "unproved *:8080 -> 127.0.0.1";
    let last = format!("{foreign}:{port}: listener is owned by someone else");
    lab.until(&last).await;
}

#[tokio::test(start_paused = true)]
async fn who_else_answers_or_refuses_is_named_and_asked_again() {
    let mut lab = lab(9);
    let mut peer = lab.peer().await;
    asked(&mut peer).await.answer.grant(8080);
    let mut other = probed(&mut peer).await.answer.accept();
    other
        .write_all(b"SSH-2.0-somebody\r\nand more than a nonce is long")
        .await
        .unwrap();
    lab.until("unproved *:8080 -> 127.0.0.1:9: listener is owned by someone else")
        .await;
    let nobody = probed(&mut peer).await;
    nobody.answer.refuse(RefusalCode::ConnectFailed, "refused");
    let twin = probed_at("::1", &mut peer).await;
    twin.answer.refuse(RefusalCode::ConnectFailed, "no address");
    lab.until("unproved *:8080 -> 127.0.0.1:9: nobody answers at the listener: refused")
        .await;
    let silent = probed(&mut peer).await.answer.accept();
    lab.until("unproved *:8080 -> 127.0.0.1:9: nothing came back in time")
        .await;
    drop(silent);
    let closed = probed(&mut peer).await;
    closed.answer.refuse(RefusalCode::Prohibited, "no");
    lab.until("unproved *:8080 -> 127.0.0.1:9: bound, path not checked")
        .await;
}

/// E5 of a stock sshd: it grants what it could bind at one of two addresses.
#[tokio::test(start_paused = true)]
async fn a_port_that_is_half_somebody_elses_is_not_called_up() {
    let mut lab = lab(9);
    let mut peer = lab.peer().await;
    asked(&mut peer).await.answer.grant(8080);
    leads_round(&mut peer).await;
    let mut other = probed_at("::1", &mut peer).await.answer.accept();
    other.write_all(b"220 mail\r\n").await.unwrap();
    other.shutdown().await.unwrap();
    lab.until(
        "unproved *:8080 -> 127.0.0.1:9: up over IPv4 alone: somebody else listens at ::1 there",
    )
    .await;
    // Both are looked at until both are ours, and the first alone from then on.
    for host in ["127.0.0.1", "::1", "127.0.0.1", "127.0.0.1"] {
        let mut there = probed_at(host, &mut peer).await.answer.accept();
        let mut back = come_in(&peer).await;
        drop(within(copy_bidirectional(&mut there, &mut back)).await);
    }
    lab.until("up *:8080 -> 127.0.0.1:9").await;
}

/// Three of its round trips are longer than a probe waits at first.
#[tokio::test(start_paused = true)]
async fn a_path_that_is_slow_is_given_time_and_is_up() {
    let mut lab = Lab::with(
        vec![forward("127.0.0.1", 8080, 9)],
        Vec::new(),
        Some(Prober::new().unwrap()),
    );
    let mut peer = lab.peer().await;
    asked(&mut peer).await.answer.grant(8080);
    let half = Duration::from_secs(1);
    let mut waits = Vec::new();
    let up = loop {
        let request = probed(&mut peer).await;
        let start = Instant::now();
        sleep(2 * half).await;
        let mut there = request.answer.accept();
        let kind = StreamKind::Forwarded(bind("127.0.0.1", 8080));
        let origin = Origin {
            host: String::from("127.0.0.1"),
            port: 5,
        };
        let back = peer.transport.open(StreamHead { kind, origin });
        let mut back = within(back).await.unwrap();
        let mut nonce = [0; 32];
        // Each way takes half a round trip, and the peer's own loopback none.
        let carried = async {
            there.read_exact(&mut nonce).await?;
            sleep(2 * half).await;
            back.write_all(&nonce).await?;
            let mut answer = [0; 32];
            back.read_exact(&mut answer).await?;
            sleep(2 * half).await;
            there.write_all(&answer).await?;
            there.read_u8().await
        };
        drop(within(carried).await);
        let took = start.elapsed();
        waits.push(took.as_secs());
        let last = lab.events().pop().unwrap_or_default();
        if last.starts_with("up ") {
            break took;
        }
        assert!(waits.len() < 5, "{waits:?} {:?}", lab.events());
    };
    assert!(up >= 6 * half, "{waits:?}");
    let silent = "unproved 127.0.0.1:8080 -> 127.0.0.1:9: nothing came back in time";
    assert!(lab.events().iter().any(|event| event == silent));
}

/// Nobody can come for a port at `0.0.0.0` to a name that has IPv6 addresses alone: a refusal there says
/// nothing of those who have another name for the same machine.
#[tokio::test]
async fn a_public_port_that_cannot_be_looked_at_over_its_version_of_ip_is_not_checked() {
    let prober = Prober::new().unwrap();
    let forwards = vec![forward("0.0.0.0", 8080, 9)];
    let mut lab = Lab::at(Some("::1"), forwards, Vec::new(), Some(prober));
    let mut peer = lab.peer().await;
    asked(&mut peer).await.answer.grant(8080);
    let mut there = probed(&mut peer).await.answer.accept();
    let mut back = come_in_at("0.0.0.0", &peer).await;
    drop(within(copy_bidirectional(&mut there, &mut back)).await);
    lab.until(
        "unproved 0.0.0.0:8080 -> 127.0.0.1:9: bound, path not checked: no IPv4 address of the server is \
         reached from here",
    )
    .await;
}

/// A nonce that comes late goes to the target, which may answer it.
#[tokio::test(start_paused = true)]
async fn a_stranger_where_it_was_up_has_to_answer_twice() {
    let prober = Prober::new().unwrap();
    let forwards = vec![forward("127.0.0.1", 8080, 9)];
    let mut lab = Lab::with(forwards, Vec::new(), Some(prober));
    let mut peer = lab.peer().await;
    asked(&mut peer).await.answer.grant(8080);
    let up = "up 127.0.0.1:8080 -> 127.0.0.1:9";
    for strangers in [1, 2] {
        let mut there = probed(&mut peer).await.answer.accept();
        let mut back = come_in_at("127.0.0.1", &peer).await;
        drop(within(copy_bidirectional(&mut there, &mut back)).await);
        lab.until(up).await;
        for _ in 0..strangers {
            let mut other = probed(&mut peer).await.answer.accept();
            other.write_all(&[0; 32]).await.unwrap();
            other.shutdown().await.unwrap();
        }
    }
    lab.until("unproved 127.0.0.1:8080 -> 127.0.0.1:9: listener is owned by someone else")
        .await;
    let told = lab.events();
    let strangers = told.iter().filter(|event| event.contains("someone else"));
    assert_eq!(strangers.count(), 1, "{told:?}");
}

#[tokio::test]
async fn who_has_the_port_of_a_refused_forward_is_found_out() {
    for (code, holder) in [
        (None, "Somebody"),
        (Some(RefusalCode::ConnectFailed), "Nobody"),
        (Some(RefusalCode::Prohibited), "Hidden"),
    ] {
        let mut lab = lab(9);
        let mut peer = lab.peer().await;
        asked(&mut peer).await.answer.refuse();
        let look = probed(&mut peer).await.answer;
        let shown = match code {
            None => Some(look.accept()),
            Some(code) => {
                look.refuse(code, "no");
                None
            }
        };
        lab.until(&format!("held *:8080 by {holder}")).await;
        drop(shown);
        assert_eq!(
            lab.events(),
            [
                "connected",
                "refused *:8080",
                &format!("held *:8080 by {holder}")
            ]
        );
    }
}
