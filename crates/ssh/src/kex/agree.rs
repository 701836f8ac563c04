//! What both KEXINITs agree on.

use std::sync::Arc;

use super::derive::Exchange;
use super::{FirstPacket, INTERNAL, Kex, Negotiated, NonstrictChacha, Outward, Progress, State};
use crate::algorithm::CipherAlgorithm;
use crate::error::{ConnectionError, Violation};
use crate::message;
use crate::negotiate::{Chosen, KexInit, NothingInCommon, Role};
use crate::wire::Write;

impl Kex {
    /// KEXINIT came and ours has left: what both agree on.
    pub(super) fn kexinit(
        &mut self,
        payload: &[u8],
        ours: Vec<u8>,
        first_packet: FirstPacket,
    ) -> Result<Progress, ConnectionError> {
        let theirs = KexInit::parse(payload)?;
        if self.session_id.is_none() {
            self.strict = theirs.is_strict(self.role);
            self.peer_takes_ext_info = theirs.takes_ext_info(self.role);
            if self.strict && first_packet == FirstPacket::No {
                return Err(Violation::protocol("strict key exchange wants KEXINIT first").into());
            }
        }
        let chosen = theirs.choose(&self.preferences, self.role).map_err(
            |NothingInCommon { what, theirs }| ConnectionError::NoCommonAlgorithm { what, theirs },
        )?;
        self.check_terrapin(chosen)?;
        self.peer_is_held = true;
        self.negotiated = Some(Negotiated {
            kex: chosen.kex,
            host_key: chosen.host_key,
            client_to_server: chosen.client_to_server,
            server_to_client: chosen.server_to_client,
            strict: self.strict,
        });
        let method = Arc::clone(self.provider.kex(chosen.kex).ok_or(INTERNAL)?);
        let exchange = match self.role {
            Role::Client => Exchange {
                chosen,
                method,
                client_kexinit: ours,
                server_kexinit: payload.to_vec(),
            },
            Role::Server => Exchange {
                chosen,
                method,
                client_kexinit: payload.to_vec(),
                server_kexinit: ours,
            },
        };
        self.state = match self.role {
            Role::Server => State::ExpectInit(exchange),
            Role::Client => {
                let active = match self.prepared.take() {
                    Some((kex, active)) if kex == chosen.kex => active,
                    Some(_) | None => exchange.method.start().map_err(ConnectionError::Crypto)?,
                };
                let mut init = vec![message::KEX_INIT];
                init.put_string(active.client_init());
                self.out.push_back(Outward::Message(init));
                State::ExpectReply(exchange, active)
            }
        };
        Ok(Progress::Going)
    }

    /// CVE-2023-48795: without strict key exchange a stranger can cut messages off the start of a
    /// chacha20-poly1305 stream, unseen.
    fn check_terrapin(&self, chosen: Chosen) -> Result<(), Violation> {
        let chacha = [chosen.client_to_server, chosen.server_to_client]
            .iter()
            .any(|suite| suite.cipher == CipherAlgorithm::ChaCha20Poly1305);
        if chacha && !self.strict && self.nonstrict_chacha == NonstrictChacha::Refused {
            return Err(Violation::kex(
                "chacha20-poly1305 needs strict key exchange",
            ));
        }
        Ok(())
    }
}
