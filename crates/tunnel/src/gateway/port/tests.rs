use std::cell::RefCell;

use adit_testkit::port::Port;

use super::*;

/// A host on which some addresses cannot be bound.
fn host(
    broken: &'static [(&'static str, i32)],
) -> (
    impl Fn(SocketAddr) -> io::Result<String>,
    &'static RefCell<Vec<String>>,
) {
    let bound: &'static RefCell<Vec<String>> = Box::leak(Box::default());
    let listen = move |address: SocketAddr| {
        let text = address.ip().to_string();
        if let Some((_, errno)) = broken.iter().find(|(ip, _)| *ip == text) {
            return Err(io::Error::from_raw_os_error(*errno));
        }
        bound.borrow_mut().push(text.clone());
        Ok(text)
    };
    (listen, bound)
}

const AFNOSUPPORT: i32 = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
const ADDRNOTAVAIL: i32 = rustix::io::Errno::ADDRNOTAVAIL.raw_os_error();
const ADDRINUSE: i32 = rustix::io::Errno::ADDRINUSE.raw_os_error();
const ACCESS: i32 = rustix::io::Errno::ACCESS.raw_os_error();

#[test]
fn a_host_without_ipv6_gets_its_ipv4_addresses_and_is_told() {
    for broken in [&[("::", AFNOSUPPORT)], &[("::", ADDRNOTAVAIL)]] {
        let (listen, _) = host(broken);
        let bound = bind_with(Scope::Any, 8080, &listen).unwrap();
        assert_eq!(bound.addresses, ["0.0.0.0:8080".parse().unwrap()]);
        assert_eq!(bound.sockets.len(), 1);
    }
    let (listen, _) = host(&[("::1", ADDRNOTAVAIL)]);
    let bound = bind_with(Scope::Loopback, 8080, &listen).unwrap();
    assert_eq!(bound.addresses, ["127.0.0.1:8080".parse().unwrap()]);
    // One who asks for IPv6 alone is told that there is none.
    let (listen, _) = host(&[("::", AFNOSUPPORT)]);
    bind_with(Scope::AnyV6, 8080, &listen).unwrap_err();
}

#[test]
fn half_a_bind_is_none() {
    for (broken, words) in [
        (
            &[("::1", ADDRINUSE)],
            "[::1]:80 is taken by another program",
        ),
        (&[("127.0.0.1", ADDRINUSE)], "127.0.0.1:80 is taken"),
        (&[("::1", ACCESS)], "CAP_NET_BIND_SERVICE"),
    ] {
        let (listen, _) = host(broken);
        let error = bind_with(Scope::Loopback, 80, &listen).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn at33_a_partial_bind_is_a_failure_and_leaves_nothing_bound() {
    let port = Port::reserve();
    let foreign = TcpListener::bind(("::1", port.number())).unwrap();
    let error = bind(Scope::Loopback, port.number()).unwrap_err();
    assert!(error.is_taken(), "{error}");
    assert!(error.to_string().contains("[::1]"), "{error}");
    // The other half is free again.
    drop(TcpListener::bind(("127.0.0.1", port.number())).unwrap());
    drop(foreign);
    let bound = bind(Scope::Loopback, port.number()).unwrap();
    assert_eq!(bound.sockets.len(), 2);
    for (socket, address) in bound.sockets.iter().zip(&bound.addresses) {
        assert_eq!(socket.local_addr().unwrap(), *address);
    }
    // No port is shared with anybody.
    assert!(bind(Scope::Loopback, port.number()).unwrap_err().is_taken());
    assert!(bind(Scope::Any, port.number()).unwrap_err().is_taken());
}

#[test]
fn an_address_of_another_machine_is_named() {
    let address = "192.0.2.77".parse().unwrap();
    let error = bind(Scope::Address(address), 8080).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("192.0.2.77:8080 is no address of"),
        "{error}"
    );
}
