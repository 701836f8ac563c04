//! The kernel's side of a network: what it lists, and its hints that something has changed.

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use tokio::io::unix::AsyncFd;

use super::Picture;
use super::message::{Listing, Message, messages};

/// A subscription to the kernel's hints.
#[derive(Debug)]
pub(super) struct Kernel {
    socket: AsyncFd<OwnedFd>,
    /// Routes that were told since links or addresses last changed. A router's advertisement makes its
    /// routes anew each time; one that is there already is no change.
    routes: HashSet<u64>,
    datagram: Vec<u8>,
}

/// What the kernel hinted at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    /// Routes have changed.
    Routes,
    /// Links or addresses may have changed: who wants to know has to look.
    Look,
}

/// Groups of rtnetlink(7): links, addresses and routes of IPv4, those of IPv6.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;
/// Longest datagram of a listing (`NLMSG_GOODSIZE` is 8 KiB, the kernel's larger choice 32 KiB). A hint
/// that is longer is cut off and still a hint.
const DATAGRAM: usize = 32_768;
/// Routes that are kept. Where there are more, each message counts once again.
const ROUTES: usize = 4_096;
/// How often a listing is begun again in which something changed.
const LOOKS: u32 = 4;
/// The kernel answers within the call; this is for one that does not.
const ANSWER_DEADLINE: Duration = Duration::from_secs(1);

impl Kernel {
    /// Subscribes. Has to be called within a runtime.
    pub(super) fn subscribe() -> io::Result<Self> {
        let socket = open(SocketFlags::NONBLOCK, GROUPS)?;
        Ok(Self {
            socket: super::pollable(socket)?,
            routes: HashSet::new(),
            datagram: vec![0; DATAGRAM],
        })
    }

    /// Waits for the next hint.
    ///
    /// # Errors
    ///
    /// There will be no more.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(super) async fn hint(&mut self) -> io::Result<Hint> {
        loop {
            let mut ready = self.socket.readable().await?;
            let received = ready.try_io(|socket| receive(socket.get_ref(), &mut self.datagram));
            let length = match received {
                Err(_) => continue,
                // More came than the socket could keep: anything may have changed.
                Ok(Err(error)) if Errno::from_io_error(&error) == Some(Errno::NOBUFS) => {
                    self.routes.clear();
                    return Ok(Hint::Look);
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(received) => received?,
            };
            let datagram = self.datagram.get(..length).unwrap_or_default();
            if let Some(hint) = read_hint(datagram, &mut self.routes) {
                return Ok(hint);
            }
        }
    }

    /// Links or addresses have changed, and routes may have gone with them: the kernel does not tell of
    /// those.
    pub(super) fn forget_routes(&mut self) {
        self.routes.clear();
    }
}

fn read_hint(datagram: &[u8], routes: &mut HashSet<u64>) -> Option<Hint> {
    let mut hint = None;
    for message in messages(datagram) {
        match message {
            Message::Route(route) => {
                if routes.len() >= ROUTES {
                    routes.clear();
                }
                if routes.insert(route) {
                    hint = hint.or(Some(Hint::Routes));
                }
            }
            Message::RouteGone(route) => {
                routes.remove(&route);
                hint = hint.or(Some(Hint::Routes));
            }
            Message::Link(..) | Message::Address(_) | Message::Look => hint = Some(Hint::Look),
            Message::Done | Message::Failed(_) | Message::Torn => {}
        }
    }
    hint
}

/// What links and addresses there are now.
pub(super) fn look() -> io::Result<Picture> {
    let mut looks = LOOKS;
    loop {
        let socket = open(SocketFlags::empty(), 0)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_DEADLINE))?;
        let mut picture = Picture::default();
        let links = list(&socket, Listing::Links, &mut picture)?;
        let addresses = list(&socket, Listing::Addresses, &mut picture)?;
        looks = looks.saturating_sub(1);
        // One that is still torn is followed by a hint.
        if links && addresses || looks == 0 {
            return Ok(picture);
        }
    }
}

/// Reads a listing into a picture. Says whether it is whole.
fn list(socket: &OwnedFd, listing: Listing, picture: &mut Picture) -> io::Result<bool> {
    let request = listing.request();
    rustix::net::send(socket, &request, SendFlags::empty())?;
    let mut is_whole = true;
    let mut datagram = vec![0; DATAGRAM];
    loop {
        let length = match receive(socket, &mut datagram) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            received => received?,
        };
        for message in messages(datagram.get(..length).unwrap_or_default()) {
            match message {
                Message::Link(index, link) => {
                    picture.links.insert(index, link);
                }
                Message::Address(address) => {
                    picture.addresses.insert(address);
                }
                // The rest of that datagram is read anew.
                Message::Torn => is_whole = false,
                Message::Failed(number) => return Err(io::Error::from_raw_os_error(number)),
                Message::Done => return Ok(is_whole),
                Message::Look | Message::Route(_) | Message::RouteGone(_) => {}
            }
        }
    }
}

fn open(flags: SocketFlags, groups: u32) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        flags | SocketFlags::CLOEXEC,
        // Netlink's first protocol, number 0: that of routes.
        None,
    )?;
    rustix::net::bind(&socket, &SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

/// Receives a datagram of the kernel's, which alone has the number 0; another's is as if it were empty.
fn receive(socket: &OwnedFd, datagram: &mut [u8]) -> io::Result<usize> {
    let (length, _, sender) = rustix::net::recvfrom(socket, &mut *datagram, RecvFlags::empty())?;
    let sender = sender.and_then(|sender| SocketAddrNetlink::try_from(sender).ok());
    let is_kernel = sender.is_some_and(|sender| sender.pid() == 0);
    Ok(if is_kernel { length } else { 0 })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    mod lab {
        use adit_testkit::namespace::Namespace;
        use adit_testkit::require;

        use super::*;

        /// Makes many changes that nobody reads.
        fn flood(namespace: &Namespace, network: u8) {
            let script = format!(
                "for i in $(seq 1 60); do ip addr add 10.{network}.0.$i/32 dev lo || exit; done"
            );
            let status = namespace.command("sh").args(["-c", &script]).status();
            assert!(status.unwrap().success());
        }

        #[test]
        fn more_hints_than_are_kept_are_one_as_well() {
            require!(root);
            require!("ip", "nsenter", "sh");
            let namespace = Namespace::new();
            let runtime = namespace.runtime();
            let watching = runtime.spawn(async {
                let kernel = Kernel::subscribe().unwrap();
                // The least that the system gives.
                rustix::net::sockopt::set_socket_recv_buffer_size(&kernel.socket, 0).unwrap();
                kernel
            });
            let mut kernel = runtime.block_on(watching).unwrap();
            flood(&namespace, 1);
            // Until all is read, the kernel does not say again that it lost some.
            let mut overruns = 0;
            loop {
                match receive(kernel.socket.get_ref(), &mut kernel.datagram) {
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => {
                        assert_eq!(Errno::from_io_error(&error), Some(Errno::NOBUFS));
                        overruns += 1;
                    }
                }
            }
            assert_eq!(overruns, 1);
            flood(&namespace, 2);
            kernel.routes.insert(1);
            let hint = runtime.block_on(async { kernel.hint().await.unwrap() });
            assert_eq!(hint, Hint::Look);
            assert!(kernel.routes.is_empty());
        }
    }

    #[test]
    fn the_loopback_is_found() {
        let picture = look().unwrap();
        let (index, _) = picture
            .links
            .iter()
            .find(|(_, link)| link.name == "lo")
            .unwrap();
        let loopback = picture
            .addresses
            .iter()
            .find(|address| address.ip == Ipv4Addr::LOCALHOST);
        assert_eq!(loopback.unwrap().link, *index);
        assert_eq!(look().unwrap(), picture);
    }
}
