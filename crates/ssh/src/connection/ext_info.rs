//! EXT_INFO (RFC 8308): when it may come, what is taken from it, what we send.

use crate::algorithm::SignatureAlgorithm;
use crate::auth::client::ServerExtensions;
use crate::error::Violation;
use crate::limits;
use crate::message;
use crate::negotiate::Role;
use crate::wire::{Reader, Write};

/// What we announce.
#[derive(Debug)]
pub(super) enum Ours {
    /// A client announces nothing.
    Client,
    /// What users may sign with, hostbound logins and pings.
    Server {
        signature_algorithms: Vec<SignatureAlgorithm>,
    },
}

impl Ours {
    /// The message, to be sent right behind our first NEWKEYS.
    pub(super) fn build(&self) -> Option<Vec<u8>> {
        let Self::Server {
            signature_algorithms,
        } = self
        else {
            return None;
        };
        let mut out = vec![message::EXT_INFO];
        out.put_uint32(3);
        out.put_string(b"server-sig-algs");
        out.put_name_list(
            signature_algorithms
                .iter()
                .map(|algorithm| algorithm.name()),
        );
        out.put_string(b"publickey-hostbound@openssh.com");
        out.put_string(b"0");
        out.put_string(b"ping@openssh.com");
        out.put_string(b"0");
        Some(out)
    }
}

/// Where in the conversation we are.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The peer's next packet is the first after its first NEWKEYS.
    is_first_place: bool,
    in_login: u32,
    /// Whether the server answers pings.
    pub(super) pings: bool,
}

impl State {
    /// The peer's first NEWKEYS came.
    pub(super) const fn first_new_keys(&mut self) {
        self.is_first_place = true;
    }

    /// A packet came; says whether it stands in the first place.
    pub(super) const fn packet(&mut self) -> bool {
        std::mem::replace(&mut self.is_first_place, false)
    }

    /// EXT_INFO came. `in_login` tells whether a login of ours is going on.
    pub(super) fn receive(
        &mut self,
        payload: &[u8],
        role: Role,
        is_first_place: bool,
        in_login: bool,
    ) -> Result<ServerExtensions, Violation> {
        // RFC 8308 section 2.4: the next packet after the first NEWKEYS; from a server also once
        // before it says that the login has succeeded.
        if !is_first_place {
            self.in_login = self.in_login.saturating_add(1);
            if role == Role::Server || !in_login || self.in_login > 1 {
                return Err(Violation::protocol("EXT_INFO at the wrong time"));
            }
        }
        if payload.len() > limits::EXT_INFO_BYTES {
            return Err(Violation::protocol("EXT_INFO is too large"));
        }
        let mut reader = Reader::new(payload);
        reader.byte()?;
        let entries = reader.uint32()?;
        if entries > limits::EXT_INFO_ENTRIES {
            return Err(Violation::protocol("EXT_INFO has too many entries"));
        }
        let mut server = ServerExtensions::default();
        for _ in 0..entries {
            let name = reader.string()?;
            let value = reader.string()?;
            if value.contains(&0) {
                return Err(Violation::protocol("EXT_INFO has a value with a NUL"));
            }
            match name {
                b"server-sig-algs" => {
                    let names = value.split(|byte| *byte == b',');
                    server.signature_algorithms =
                        Some(names.filter_map(SignatureAlgorithm::from_name).collect());
                }
                b"publickey-hostbound@openssh.com" if is_first_place => {
                    server.hostbound = value == b"0";
                }
                b"ping@openssh.com" if is_first_place => self.pings = value == b"0",
                _ => {}
            }
        }
        reader.finish()?;
        Ok(server)
    }
}
