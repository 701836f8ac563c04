//! Other people's programs around a listener: haproxy as the balancer in front, nginx as the target, curl as the
//! visitor.

use std::process::Command;

use adit_edge::proxy_protocol::Version;
use adit_testkit::port::Port;
use adit_testkit::process::Process;
use adit_testkit::{require, wait};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::lab::{Lab, Line, Options, To};

/// A web server that says what the PROXY protocol told it.
fn nginx(folder: &TempDir, port: &Port) -> Process {
    let server = format!(
        "server {{ listen 127.0.0.1:{} proxy_protocol; return 200 \
         \"$proxy_protocol_addr $proxy_protocol_server_addr:$proxy_protocol_server_port\"; }}",
        port.number()
    );
    adit_testkit::nginx::serve(folder.path(), &server)
}

/// A balancer that passes connections on with that option of a `server` line.
fn haproxy(folder: &TempDir, port: &Port, to: std::net::SocketAddr, option: &str) -> Process {
    let number = port.number();
    let config = format!(
        "global\n maxconn 64\n\
         defaults\n mode tcp\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n\
         listen front\n bind 127.0.0.1:{number}\n server adit {to} {option}\n"
    );
    let file = folder.path().join("haproxy.cfg");
    std::fs::write(&file, config).unwrap();
    let program = adit_testkit::real::find("haproxy").unwrap();
    Process::spawn(Command::new(program).arg("-db").arg("-f").arg(file))
}

async fn listens(port: &Port, process: &Process) {
    wait::until_async("a program that listens", || async {
        match TcpStream::connect(("127.0.0.1", port.number())).await {
            Ok(_) => Ok(()),
            Err(error) => Err((error, process.stderr())),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_visitor_is_known_from_haproxy_through_the_edge_to_nginx() {
    require!("haproxy", "nginx", "curl");
    for (option, announce) in [("send-proxy", Version::V2), ("send-proxy-v2", Version::V1)] {
        let folder = tempfile::tempdir().unwrap();
        let (front, back) = (Port::reserve(), Port::reserve());
        let target = nginx(&folder, &back);
        listens(&back, &target).await;
        let dial = To {
            address: std::net::SocketAddr::from(([127, 0, 0, 1], back.number())),
            is_socket: true,
        };
        let options = Options {
            balancers: Some("127.0.0.0/8"),
            announce: Some(announce),
            ..Options::default()
        };
        let lab = Lab::start(dial, &options);
        let balancer = haproxy(&folder, &front, lab.address, option);
        listens(&front, &balancer).await;
        let url = format!("http://127.0.0.1:{}/", front.number());
        let mut curl = Process::spawn(Command::new("curl").args([
            "--silent",
            "--show-error",
            "--fail",
            "--max-time",
            "20",
            "--interface",
            "127.0.0.9",
            &url,
        ]));
        let status = curl.wait(wait::DEADLINE);
        assert!(
            status.success(),
            "{option}: {} {}",
            curl.stderr(),
            target.stderr()
        );
        let words = format!("127.0.0.9 127.0.0.1:{}", front.number());
        assert_eq!(curl.stdout(), words, "{option} {announce}");
        wait::until_async("the visitor's line", || async {
            let lines = lab.log.so_far();
            let is_there = |line: &Line| line.visitor.origin.to_string().starts_with("127.0.0.9:");
            if lines.iter().any(is_there) {
                Ok(())
            } else {
                Err(lines)
            }
        })
        .await;
    }
}
