//! A TUN device: a network interface whose packets a file descriptor reads and writes.
//!
//! The one system call for which no safe wrapper exists in our libraries: `TUNSETIFF` (Linux,
//! Documentation/networking/tuntap.rst). The device lives as long as its descriptor.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::ioctl::{Opcode, Updater, opcode};

/// `struct ifreq` as `TUNSETIFF` reads it: the name, then the flags in a union of at most 24 bytes.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; 16],
    flags: i16,
    rest_of_union: [u8; 22],
}

/// Makes a device of this name, of at most 15 bytes, in the network namespace of this thread.
///
/// Reads and writes of the descriptor never wait; each is one IP packet without a header before it.
pub(super) fn open(name: &str) -> io::Result<OwnedFd> {
    let mut request = InterfaceRequest {
        name: [0; 16],
        flags: IFF_TUN | IFF_NO_PI,
        rest_of_union: [0; 22],
    };
    let (last, places) = request
        .name
        .split_last_mut()
        .ok_or(io::ErrorKind::InvalidInput)?;
    *last = 0;
    let place = places
        .get_mut(..name.len())
        .ok_or(io::ErrorKind::InvalidInput)?;
    place.copy_from_slice(name.as_bytes());
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let device = rustix::fs::open("/dev/net/tun", flags, Mode::empty())?;
    set_interface(&device, request)?;
    Ok(device)
}

#[expect(unsafe_code, reason = "no library of ours wraps TUNSETIFF safely")]
fn set_interface(device: &OwnedFd, mut request: InterfaceRequest) -> io::Result<()> {
    // SAFETY: `TUNSETIFF` takes a pointer to a `struct ifreq`, whose layout `InterfaceRequest` has and whose size it has at
    // least; the kernel reads and writes it only during the call.
    let updater = unsafe { Updater::<'_, TUNSETIFF, InterfaceRequest>::new(&mut request) };
    // SAFETY: the request number and the pointed-to type belong together, as said above.
    unsafe { rustix::ioctl::ioctl(device, updater) }?;
    Ok(())
}

/// `_IOW('T', 202, int)` of `linux/if_tun.h`, whose argument is an `ifreq` all the same.
const TUNSETIFF: Opcode = opcode::write::<i32>(b'T', 202);

/// Packets of IP, not of Ethernet (`linux/if_tun.h`).
const IFF_TUN: i16 = 0x0001;

/// No header before the packet (`linux/if_tun.h`).
const IFF_NO_PI: i16 = 0x1000;
