//! From a peer's new keys through the login to what comes behind it.

use std::time::Instant;

use super::{Auth, Connection, Login, Running, Stage};
use crate::auth::Outbox;
use crate::auth::client::{ClientAuth, ClientEvent};
use crate::auth::server::ServerAuth;
use crate::error::ConnectionError;
use crate::event::Event;
use crate::forward::requests::GlobalRequests;
use crate::negotiate::Role;
use crate::provider::CryptoError;

impl Connection {
    pub(super) fn new_keys(&mut self, payload: &[u8], now: Instant) -> Result<(), ConnectionError> {
        let (opener, sequence, took) = self.kex.new_keys(payload, now)?;
        let used = self.reader.volume.bytes;
        self.reader.change_keys(opener, sequence);
        self.timers.keys_changed(now);
        if !matches!(self.stage, Stage::Kex) {
            // What was dropped in the exchange is not missed.
            self.pings = 0;
            self.coming.receives_anew(used);
            self.events.push(Event::Rekeyed { took });
            return Ok(());
        }
        self.ext_info.first_new_keys();
        let session_id = self.kex.session_id().ok_or(INTERNAL)?;
        let host_key = self.kex.first_host_key().ok_or(INTERNAL)?;
        let auth = match self.login.take().ok_or(INTERNAL)? {
            Login::Client(login) => {
                Auth::Client(Box::new(ClientAuth::new(login, session_id, host_key)))
            }
            Login::Server(login, secret) => {
                let verifier = self.kex.verifier();
                let server = ServerAuth::new(login, session_id, host_key, secret, verifier);
                Auth::Server(Box::new(server.coming_from(self.source)))
            }
        };
        self.stage = Stage::Login(auth);
        if let Stage::Login(Auth::Client(client)) = &mut self.stage {
            let mut out = Outbox::new();
            client.start(&mut out);
            self.after_login_step(out);
        }
        Ok(())
    }

    pub(super) fn ext_info_message(
        &mut self,
        payload: &[u8],
        is_first_place: bool,
    ) -> Result<(), ConnectionError> {
        let in_login = matches!(self.stage, Stage::Login(_));
        let server = self
            .ext_info
            .receive(payload, self.role, is_first_place, in_login)?;
        if let Stage::Login(Auth::Client(client)) = &mut self.stage {
            client.ext_info(server);
        }
        Ok(())
    }

    pub(super) fn login_message(
        &mut self,
        now: Instant,
        payload: &[u8],
    ) -> Result<(), ConnectionError> {
        let mut out = Outbox::new();
        let auth = match &mut self.stage {
            Stage::Login(auth) => auth,
            Stage::Running(running) => &mut running.auth,
            Stage::Ident(_) | Stage::Kex | Stage::Closed(_) => return Ok(()),
        };
        match auth {
            Auth::Client(client) => client.receive(payload, &mut out)?,
            Auth::Server(server) => server.receive(now, payload, &mut out)?,
        }
        self.after_login_step(out);
        Ok(())
    }

    /// Sends what a login has to say, tells its events, and goes on once it has succeeded.
    pub(super) fn after_login_step(&mut self, mut out: Outbox) {
        while let Some(message) = out.pop() {
            self.push_control(message);
        }
        let Stage::Login(auth) = &mut self.stage else {
            return;
        };
        let mut has_succeeded = false;
        match auth {
            Auth::Client(client) => {
                while let Some(event) = client.poll_event() {
                    has_succeeded |= matches!(event, ClientEvent::Succeeded);
                    self.events.push(Event::Login(event));
                }
            }
            Auth::Server(server) => {
                has_succeeded = server.has_succeeded();
                if let Some(question) = server.poll_question() {
                    self.events.push(Event::Admission(question));
                }
            }
        }
        if has_succeeded {
            let channels = self.new_channels();
            let Stage::Login(auth) = std::mem::replace(&mut self.stage, Stage::Kex) else {
                return;
            };
            let may_forward = match &auth {
                Auth::Client(_) => true,
                Auth::Server(server) => server.restrictions().permit_forwarding(),
            };
            let cap = if may_forward { self.forward_cap } else { 0 };
            let requests = GlobalRequests::new(cap);
            self.stage = Stage::Running(Box::new(Running {
                channels,
                requests,
                auth,
            }));
            self.events.push(Event::Authenticated);
            if self.role == Role::Server {
                self.announce_host_keys();
            }
        }
    }
}

const INTERNAL: ConnectionError = ConnectionError::Crypto(CryptoError::Internal);
