//! The PROXY protocol at a listener and towards a target.

use adit_edge::access::Access;
use adit_edge::proxy_protocol::Version;
use adit_edge::stream::Settings;
use adit_edge::visitor::Endpoint;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::lab::{Lab, Options, listen};

fn balanced() -> Options {
    Options {
        balancers: Some("127.0.0.0/8"),
        settings: Settings {
            header_time: Duration::from_millis(100),
            ..Settings::within(1_024)
        },
        ..Options::default()
    }
}

const LINE: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n";

#[tokio::test]
async fn a_header_in_any_pieces_is_taken_and_nothing_behind_it() {
    for cut in [1, 5, 6, 20, LINE.len() - 1, LINE.len(), LINE.len() + 1] {
        let service = listen().await;
        let lab = Lab::before(&service, true, &balanced());
        let mut balancer = TcpStream::connect(lab.address).await.unwrap();
        balancer.set_nodelay(true).unwrap();
        let said = [LINE, b"PROXY me"].concat();
        balancer.write_all(&said[..cut]).await.unwrap();
        tokio::task::yield_now().await;
        balancer.write_all(&said[cut..]).await.unwrap();
        balancer.shutdown().await.unwrap();
        let (mut served, _) = service.accept().await.unwrap();
        let mut heard = String::new();
        served.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "PROXY me");
        drop(served);
        let line = lab.log.lines(1).await.remove(0);
        assert_eq!(line.visitor.origin.to_string(), "192.0.2.1:56324");
        assert_eq!(line.visitor.listener.to_string(), "198.51.100.1:443");
        assert_eq!(
            line.visitor.via,
            Some(Endpoint::Tcp(balancer.local_addr().unwrap()))
        );
        assert_eq!((line.from_visitor, &*line.end), (8, "served"));
    }
}

#[tokio::test]
async fn the_access_list_is_asked_about_the_visitor_and_not_the_balancer() {
    let service = listen().await;
    let lab = Lab::before(&service, true, &balanced());
    lab.admit(Access::everyone().without(["192.0.2.0/24".parse().unwrap()]));
    let mut balancer = TcpStream::connect(lab.address).await.unwrap();
    balancer.write_all(LINE).await.unwrap();
    assert!(balancer.read_u8().await.is_err());
    assert_eq!(lab.log.lines(1).await[0].end, "not let in");
}

#[tokio::test]
async fn edge_proxy_header_table() {
    let service = listen().await;
    let long = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 200]].concat();
    let cases: [(&[u8], &str); 6] = [
        (b"GET / HTTP/1.1\r\n\r\n", "no header of the PROXY protocol"),
        (
            b"PROXY TCP4 ::1 ::1 1 1\r\n",
            "a line of the PROXY protocol that is none",
        ),
        (&long, "a header of the PROXY protocol that is too long"),
        (
            b"\r\n\r\n\0\r\nQUIT\n\x21\x12",
            "a header of the PROXY protocol for datagrams",
        ),
        (b"PROXY TCP4 1.1", "no whole header in time"),
        (b"", "no whole header in time"),
    ];
    for (bytes, words) in cases {
        let lab = Lab::before(&service, true, &balanced());
        let mut balancer = TcpStream::connect(lab.address).await.unwrap();
        balancer.write_all(bytes).await.unwrap();
        let error = balancer.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        let end = &lab.log.lines(1).await[0].end;
        assert_eq!(*end, format!("header of the PROXY protocol: {words}"));
    }
}

#[tokio::test]
async fn a_listener_for_balancers_takes_nobody_else() {
    let service = listen().await;
    let options = Options {
        balancers: Some("192.0.2.0/24"),
        ..Options::default()
    };
    let lab = Lab::before(&service, true, &options);
    let mut visitor = TcpStream::connect(lab.address).await.unwrap();
    visitor.write_all(LINE).await.ok();
    assert!(visitor.read_u8().await.is_err());
    assert_eq!(lab.log.lines(1).await[0].end, "not a listed balancer");
}

#[tokio::test]
async fn a_header_at_a_listener_that_is_not_for_them_is_never_believed() {
    let service = listen().await;
    let lab = Lab::before(&service, true, &Options::default());
    let (mut visitor, mut served) = lab.visit(&service).await;
    visitor.write_all(LINE).await.unwrap();
    let mut heard = vec![0; LINE.len()];
    served.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard, LINE);
    drop((visitor, served));
    let line = lab.log.lines(1).await.remove(0);
    assert_eq!(
        (line.visitor.via, line.from_visitor),
        (None, LINE.len() as u64)
    );
}

#[tokio::test]
async fn a_balancer_that_speaks_for_itself_is_the_visitor() {
    let service = listen().await;
    let lab = Lab::before(&service, true, &balanced());
    let mut balancer = TcpStream::connect(lab.address).await.unwrap();
    balancer.write_all(b"PROXY UNKNOWN\r\n").await.unwrap();
    balancer.shutdown().await.unwrap();
    drop(service.accept().await.unwrap());
    let own = Endpoint::Tcp(balancer.local_addr().unwrap());
    let line = lab.log.lines(1).await.remove(0);
    assert_eq!((line.visitor.origin, line.visitor.via), (own, Some(own)));
}

#[tokio::test]
async fn the_target_is_told_who_comes_before_their_first_byte() {
    for (bind, family) in [
        ("127.0.0.1:0", "TCP4"),
        ("0.0.0.0:0", "TCP4"),
        ("[::1]:0", "TCP6"),
    ] {
        let service = listen().await;
        let options = Options {
            announce: Some(Version::V1),
            bind,
            ..Options::default()
        };
        let lab = Lab::before(&service, false, &options);
        let host = if family == "TCP6" { "::1" } else { "127.0.0.1" };
        let mut visitor = TcpStream::connect((host, lab.address.port()))
            .await
            .unwrap();
        let own = visitor.local_addr().unwrap().port();
        visitor.write_all(b"me").await.unwrap();
        visitor.shutdown().await.unwrap();
        let (mut served, _) = service.accept().await.unwrap();
        let mut heard = String::new();
        served.read_to_string(&mut heard).await.unwrap();
        let port = lab.address.port();
        assert_eq!(
            heard,
            format!("PROXY {family} {host} {host} {own} {port}\r\nme")
        );
        drop((visitor, served));
        // What we add is no byte of the visitor's.
        assert_eq!(lab.log.lines(1).await[0].from_visitor, 2);
    }
}
