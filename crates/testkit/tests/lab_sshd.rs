//! A listening sshd on port 22 of a namespace, across a bad line.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use adit_testkit::link::{End, Impairment, Link};
use adit_testkit::namespace::Namespace;
use adit_testkit::process::Process;
use adit_testkit::sshd::Sshd;
use adit_testkit::{require, wait};

#[test]
fn a_stock_tunnel_crosses_a_slow_line_to_port_22_and_is_cut_there() {
    require!(root);
    require!("ip", "nsenter", "ssh", "sshd", "ssh-keygen");
    let (inside, public) = (Namespace::new(), Namespace::new());
    let link = Link::new(&inside, &public, 1);
    let delay = Duration::from_millis(10);
    link.set_both(Impairment {
        delay,
        ..Impairment::default()
    });
    let sshd = Sshd::builder().start_in(&public, link.ip(End::Right));
    assert_eq!(sshd.addr().port(), 22);

    let service = inside.enter(|| TcpListener::bind("127.0.0.1:8080").unwrap());
    let ssh = sshd.ssh(&["-N", "-R", "9000:127.0.0.1:8080", "-v"]);
    let mut ssh = Process::spawn(&mut inside.wrap(&ssh));
    ssh.wait_for_text("remote forward success");
    assert_eq!(sshd.connection_count(), 1);

    let mut visitor = public.enter(|| TcpStream::connect("127.0.0.1:9000").unwrap());
    let (mut served, _) = service.accept().unwrap();
    served.write_all(b"hello").unwrap();
    visitor.set_read_timeout(Some(wait::DEADLINE)).unwrap();
    visitor.read_exact(&mut [0; 5]).unwrap();

    sshd.kill_connections();
    assert_eq!(sshd.connection_count(), 0);
    assert_eq!(
        ssh.wait(wait::DEADLINE).code(),
        Some(255),
        "{}",
        ssh.stderr()
    );
    let output = inside.wrap(sshd.ssh(&[]).arg("true")).output().unwrap();
    assert!(output.status.success(), "sshd still listens: {output:?}");
}
