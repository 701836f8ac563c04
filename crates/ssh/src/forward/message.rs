//! What global requests and their replies hold.

use super::Forward;
use crate::channel::Endpoint;
use crate::channel::open::address;
use crate::error::Violation;
use crate::key::PublicKey;
use crate::limits;
use crate::message;
use crate::wire::{Reader, Write};

/// What a reply grants of a forward that was asked for, and its port; 0 for a Unix socket.
pub(super) fn granted(
    forward: Forward,
    mut reader: Reader<'_>,
) -> Result<(Forward, u16), Violation> {
    let granted = match forward {
        Forward::Tcp(bind) => {
            let port = if bind.port == 0 {
                let port = u16::try_from(reader.uint32()?)
                    .ok()
                    .filter(|port| *port != 0);
                port.ok_or(Violation::protocol("allocated port is out of range"))?
            } else {
                // RFC 4254 section 7.1 has nothing here; gliderlabs/ssh and what is built on it
                // say the port in any case.
                if !reader.is_empty() {
                    reader.uint32()?;
                }
                bind.port
            };
            (Forward::Tcp(Endpoint { port, ..bind }), port)
        }
        Forward::Unix(path) => (Forward::Unix(path), 0),
    };
    reader.finish()?;
    Ok(granted)
}

/// The forward in a request; `None` for one that cannot be: a port over 65,535, a bad name.
pub(super) fn parse(name: &[u8], mut reader: Reader<'_>) -> Result<Option<Forward>, Violation> {
    let forward = if name.ends_with(b"streamlocal-forward@openssh.com") {
        address(&mut reader, limits::SOCKET_PATH)?.map(Forward::Unix)
    } else {
        Endpoint::read(&mut reader)?.map(Forward::Tcp)
    };
    reader.finish()?;
    Ok(forward)
}

pub(super) fn build(forward: &Forward, tcp: &str, unix: &str, want_reply: bool) -> Vec<u8> {
    let mut out = vec![message::GLOBAL_REQUEST];
    match forward {
        Forward::Tcp(bind) => {
            out.put_string(tcp.as_bytes());
            out.put_boolean(want_reply);
            out.put_string(bind.host.as_bytes());
            out.put_uint32(bind.port.into());
        }
        Forward::Unix(path) => {
            out.put_string(unix.as_bytes());
            out.put_boolean(want_reply);
            out.put_string(path.as_bytes());
        }
    }
    out
}

/// The blobs of a hostkeys-00 announcement: at most [`limits::HOSTKEYS`] are looked at.
pub(super) fn host_keys(mut body: Reader<'_>) -> Result<Vec<Vec<u8>>, Violation> {
    let mut blobs = Vec::new();
    while !body.is_empty() {
        let blob = body.string_up_to(limits::KEY_BLOB)?.to_vec();
        let is_key = PublicKey::from_blob(&blob).is_ok_and(|key| key.blob() == blob);
        if blobs.len() < limits::HOSTKEYS && is_key && !blobs.contains(&blob) {
            blobs.push(blob);
        }
    }
    Ok(blobs)
}
