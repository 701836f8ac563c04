//! The edge alone in front of an origin, for `cargo xtask bench edge`: `bench_edge ORIGIN CHAIN KEY NAME`, where chain
//! and key are one certificate and its key in DER. Says where it listens, plain and by TLS, and serves until its
//! input ends.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a program of the bench: it says where it listens, and stops where it cannot"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adit_edge::access::Access;
use adit_edge::dial::{Carrier, Dial, DialError, Later};
use adit_edge::http::{HttpServer, Parts, Place, RequestEntry, RequestLog, Settings};
use adit_edge::route::{Balance, Route, Routes, Upstream};
use adit_edge::tls::{Certificates, Certified, Tls, certified};
use adit_edge::visitor::Visitor;
use adit_model::id::PrincipalId;
use adit_model::lease::Holding;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Debug)]
struct To(SocketAddr);

impl Dial for To {
    fn dial<'a>(&'a self, _: &'a Visitor) -> Later<'a, Result<Carrier, DialError>> {
        Box::pin(async {
            let socket = TcpStream::connect(self.0).await;
            socket.map(Carrier::Tcp).map_err(DialError::Unreachable)
        })
    }
}

/// nginx and the others write no log here either.
#[derive(Debug)]
struct Silent;

impl RequestLog for Silent {
    fn answered(&self, _: &RequestEntry<'_>) {}
}

#[derive(Debug)]
struct One(Arc<Certified>);

impl Certificates for One {
    fn find(&self, _: Option<&str>) -> Option<Arc<Certified>> {
        Some(Arc::clone(&self.0))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut words = std::env::args().skip(1);
    let mut word = || words.next().expect("ORIGIN CHAIN KEY NAME");
    let origin: SocketAddr = word().parse().expect("an address");
    let read = |path: String| std::fs::read(path).expect("a file");
    let chain = read(word());
    let key = certified(&[chain], &read(word())).expect("a certificate");
    let route = Route {
        name: word().into(),
        tenant: Some(PrincipalId::new(1)),
        upstream: Upstream {
            members: vec![Holding::Port(1)],
            balance: Balance::Failover,
        },
        access: Access::everyone(),
        any_upgrade: false,
    };
    let (_routes, routes) = watch::channel(Arc::new(Routes::new([route])));
    let parts = Parts {
        routes,
        dial: Arc::new(To(origin)),
        log: Arc::new(Silent),
        tls: Some(Tls::new(Arc::new(One(Arc::new(key)))).expect("TLS")),
    };
    let settings = Settings {
        threads: 2,
        visitors: 40_000,
        ..Settings::default()
    };
    let place = |is_secure| Place {
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        is_secure,
    };
    let server =
        HttpServer::bind(parts, settings, &[place(false), place(true)]).expect("two listeners");
    let addresses: Vec<String> = server.addresses().iter().map(ToString::to_string).collect();
    println!("{}", addresses.join(" "));
    let stop = CancellationToken::new();
    let ends = async {
        let rest = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        tokio::task::spawn_blocking(rest).await.ok();
        stop.cancel();
    };
    let (outcome, ()) = tokio::join!(server.run(&stop, Duration::from_secs(1)), ends);
    outcome.expect("threads that serve");
}
