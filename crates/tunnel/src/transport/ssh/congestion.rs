//! Which congestion control a connection's TCP socket uses, where an operator chooses one.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::str::FromStr;

use tokio::net::TcpStream;

/// The name of one of the kernel's algorithms: `bbr`, `cubic`.
///
/// The default of the system is left alone unless an operator says otherwise: BBR keeps a bad line
/// busy where others take each loss for congestion, and takes more than its share from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CongestionControl(String);

/// A name that no algorithm can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("name of a congestion control has 1 to 15 letters, digits, '-' and '_'")]
pub struct CongestionControlError;

/// Linux keeps a NUL behind the name (`TCP_CA_NAME_MAX` of 16).
const NAME: usize = 15;

impl CongestionControl {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Has the socket use it from now on.
    ///
    /// # Errors
    /// The kernel has no such algorithm, does not allow it to this user
    /// (`net.ipv4.tcp_allowed_congestion_control`), or is none that lets a program choose. The socket
    /// is as it was and works.
    pub fn set_on(&self, socket: &TcpStream) -> io::Result<()> {
        set(socket, self.0.as_bytes())
    }
}

/// Spares a socket between two programs of one machine the system's congestion control: `reno`, which
/// every Linux has and allows to everybody, sends what the window allows at once. There is no queue
/// between the two that could overflow, and an algorithm that paces, as BBR does, only waits: a third
/// of two cores stood idle, and a byte cost a quarter more (loopback, both ends ours, Linux 6.18,
/// measured 2026-11-22; docs/decision/0008). A socket to any other address is left as it is.
///
/// A wish: a system without that algorithm keeps its own.
pub fn unpace_on_loopback(socket: &TcpStream) {
    let is_local = socket.peer_addr().is_ok_and(|peer| is_loopback(peer.ip()));
    if is_local && let Err(error) = set(socket, b"reno") {
        tracing::debug!(%error, "loopback keeps the system's congestion control");
    }
}

/// Also for an IPv4 address in the dress of IPv6, which a socket for both families gives.
const fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

fn set(socket: &TcpStream, name: &[u8]) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    let set = socket2::SockRef::from(socket).set_tcp_congestion(name);
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    let set = {
        let _ = (socket, name);
        Err(io::ErrorKind::Unsupported.into())
    };
    set
}

impl FromStr for CongestionControl {
    type Err = CongestionControlError;

    fn from_str(name: &str) -> Result<Self, CongestionControlError> {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if (1..=NAME).contains(&name.len()) && name.bytes().all(is_letter) {
            Ok(Self(name.to_owned()))
        } else {
            Err(CongestionControlError)
        }
    }
}

impl fmt::Display for CongestionControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn socket() -> (TcpStream, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        (TcpStream::connect(addr).await.unwrap(), listener)
    }

    /// What the kernel says that the socket uses.
    fn used(socket: &TcpStream) -> String {
        let name = socket2::SockRef::from(socket).tcp_congestion().unwrap();
        let name = name.split(|byte| *byte == 0).next().unwrap();
        String::from_utf8(name.to_vec()).unwrap()
    }

    #[test]
    fn a_name_is_one_that_the_kernel_could_have() {
        for name in ["bbr", "cubic", "bbr2", "dctcp", "a_b-c", "fifteen_letters"] {
            let control: CongestionControl = name.parse().unwrap();
            assert_eq!(control.to_string(), name);
        }
        for name in ["", "sixteen_letters_", "b r", "bbr\0", "bbr\n", "bbré"] {
            let parsed: Result<CongestionControl, _> = name.parse();
            assert_eq!(parsed, Err(CongestionControlError), "{name:?}");
        }
    }

    #[tokio::test]
    async fn a_socket_uses_each_algorithm_that_the_system_allows() {
        let allowed = "/proc/sys/net/ipv4/tcp_allowed_congestion_control";
        let allowed = std::fs::read_to_string(allowed).unwrap();
        let mut count = 0;
        for name in allowed.split_whitespace() {
            let (socket, _listener) = socket().await;
            let control: CongestionControl = name.parse().unwrap();
            control.set_on(&socket).unwrap();
            assert_eq!(used(&socket), name);
            count += 1;
        }
        assert!(count > 0, "the system allows none: {allowed:?}");
    }

    #[tokio::test]
    async fn a_socket_to_this_machine_is_not_paced() {
        let (socket, listener) = socket().await;
        unpace_on_loopback(&socket);
        assert_eq!(used(&socket), "reno");
        let (accepted, _) = listener.accept().await.unwrap();
        unpace_on_loopback(&accepted);
        assert_eq!(used(&accepted), "reno");
        for (address, is_local) in [
            ("127.0.0.1", true),
            ("127.8.9.10", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("192.0.2.1", false),
            ("::ffff:192.0.2.1", false),
            ("fe80::1", false),
        ] {
            assert_eq!(is_loopback(address.parse().unwrap()), is_local, "{address}");
        }
    }

    #[tokio::test]
    async fn an_algorithm_that_the_kernel_lacks_is_an_error_and_changes_nothing() {
        let (socket, _listener) = socket().await;
        let before = used(&socket);
        let control: CongestionControl = "no-such-one".parse().unwrap();
        assert!(control.set_on(&socket).is_err());
        assert_eq!(used(&socket), before);
    }
}
