//! A peer that speaks SSH well enough to get anywhere and then does what it should not.
//!
//! It is built from packet ciphers, testkit's X25519 and the wire types alone, so that a mistake of
//! the engine's packet layer or key exchange is not made on both sides. Every byte that it sends is
//! its caller's choice.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adit_ssh::algorithm::{CipherAlgorithm, MacAlgorithm};
use adit_ssh::block::Pool;
use adit_ssh::connection::{ClientConfig, ServerConfig};
use adit_ssh::error::{ConnectionError, Wait};
use adit_ssh::limits;
use adit_ssh::message;
use adit_ssh::negotiate::Role;
use adit_ssh::provider::{CryptoProvider, DirectionKeys, Open, Seal, Signer, aws_lc};
use adit_ssh::wire::{Reader, Write};
use adit_testkit::seeded;
use aws_lc_rs::digest;

use super::{End, Pair};

/// What the peer puts into its KEXINIT.
#[derive(Clone)]
pub struct Offer {
    pub kex: String,
    pub host_key: String,
    pub cipher: String,
    pub mac: String,
    pub compression: String,
    /// Whether it says that a guessed packet follows.
    pub guesses: bool,
}

impl Offer {
    /// Everything right, with strict key exchange and EXT_INFO.
    pub fn new(role: Role) -> Self {
        let side = match role {
            Role::Client => "c",
            Role::Server => "s",
        };
        Self {
            kex: format!("curve25519-sha256,ext-info-{side},kex-strict-{side}-v00@openssh.com"),
            host_key: "ssh-ed25519".to_owned(),
            cipher: "aes128-gcm@openssh.com".to_owned(),
            mac: "hmac-sha2-256-etm@openssh.com".to_owned(),
            compression: "none".to_owned(),
            guesses: false,
        }
    }

    pub fn build(&self) -> Vec<u8> {
        let mut out = vec![message::KEXINIT];
        out.put_bytes(&[7; 16]);
        for list in [
            &self.kex,
            &self.host_key,
            &self.cipher,
            &self.cipher,
            &self.mac,
            &self.mac,
            &self.compression,
            &self.compression,
        ] {
            out.put_string(list.as_bytes());
        }
        out.put_string(b"");
        out.put_string(b"");
        out.put_boolean(self.guesses);
        out.put_uint32(0);
        out
    }
}

/// The peer, and the end of ours that it torments.
pub struct Hostile {
    pub now: Instant,
    pub victim: End,
    pub pool: Pool,
    /// Who the hostile peer is.
    pub role: Role,
    provider: CryptoProvider,
    pub user_key: Arc<dyn Signer>,
    pub host_key: Arc<dyn Signer>,
    pub offer: Offer,
    /// What the victim said unasked right after the login.
    pub announced: Vec<Vec<u8>>,
    /// Keep-alives of the victim that were not answered.
    pub keep_alives: usize,
    /// Whether the victim's owner leaves questions about logging in open.
    pub holds_verdict: bool,
    seal: Option<Box<dyn Seal>>,
    open: Option<Box<dyn Open>>,
    pub send_sequence: u32,
    pub receive_sequence: u32,
    /// Bytes from the victim that were not looked at.
    inbox: VecDeque<u8>,
    /// Bytes to the victim that have not left.
    outbox: Vec<u8>,
    their_ident: Vec<u8>,
    pub ident: Vec<u8>,
    our_kexinit: Vec<u8>,
    their_kexinit: Vec<u8>,
    pub session_id: Option<Vec<u8>>,
    /// Keys for what goes behind our NEWKEYS.
    pending_seal: Option<Box<dyn Seal>>,
    /// Keys for what comes behind the victim's NEWKEYS.
    pending_open: Option<Box<dyn Open>>,
    secret: Option<[u8; 32]>,
    exchanges: u8,
    is_strict: bool,
}

impl Hostile {
    /// A hostile client of our server, which admits everybody.
    pub fn client() -> Self {
        Self::client_with(|_| {})
    }

    pub fn client_with(config: impl FnOnce(&mut ServerConfig)) -> Self {
        let pair = Pair::with(
            |_| {},
            |server| {
                server.login.anonymous = true;
                // So that every cipher can be had.
                server.transport.preferences.cipher = CipherAlgorithm::ALL.to_vec();
                config(server);
            },
        );
        Self::new(
            Role::Client,
            pair.server,
            pair.now,
            pair.pool,
            pair.user_key,
        )
    }

    /// A hostile server of our client, which trusts it.
    pub fn server() -> Self {
        Self::server_with(|_| {})
    }

    pub fn server_with(config: impl FnOnce(&mut ClientConfig)) -> Self {
        let pair = Pair::with(config, |_| {});
        Self::new(
            Role::Server,
            pair.client,
            pair.now,
            pair.pool,
            pair.user_key,
        )
    }

    fn new(role: Role, victim: End, now: Instant, pool: Pool, user_key: Arc<dyn Signer>) -> Self {
        Self {
            now,
            victim,
            pool,
            role,
            provider: aws_lc::provider(),
            user_key,
            host_key: aws_lc::sign::ed25519(&[9; 32]).unwrap(),
            offer: Offer::new(role),
            announced: Vec::new(),
            keep_alives: 0,
            holds_verdict: false,
            seal: None,
            open: None,
            send_sequence: 0,
            receive_sequence: 0,
            inbox: VecDeque::new(),
            outbox: Vec::new(),
            their_ident: Vec::new(),
            ident: b"SSH-2.0-hostile_1.0".to_vec(),
            our_kexinit: Vec::new(),
            their_kexinit: Vec::new(),
            session_id: None,
            pending_seal: None,
            pending_open: None,
            secret: None,
            exchanges: 0,
            is_strict: false,
        }
    }

    /// Exchanges identifications and KEXINITs; nothing of the key exchange itself has been said.
    pub fn met(mut self) -> Self {
        self.say_ident();
        self.pump();
        self.read_ident();
        self.say_kexinit();
        self.pump();
        self.read_kexinit();
        self
    }

    /// New keys are in use both ways.
    pub fn keyed(mut self) -> Self {
        self = self.met();
        self.exchange();
        self
    }

    /// Logged in.
    pub fn logged_in(mut self) -> Self {
        self = self.keyed();
        self.log_in();
        self
    }

    pub fn log_in(&mut self) {
        match self.role {
            Role::Client => {
                let mut service = vec![message::SERVICE_REQUEST];
                service.put_string(b"ssh-userauth");
                self.say(&service);
                self.say(&userauth_none("someone"));
                self.pump();
                self.hear_until(message::USERAUTH_SUCCESS);
                self.announced = self.hear_all();
            }
            Role::Server => {
                self.pump();
                let mut accept = vec![message::SERVICE_ACCEPT];
                accept.put_string(b"ssh-userauth");
                self.say(&accept);
                self.say(&[message::USERAUTH_SUCCESS]);
                self.pump();
                while self.hear().is_some() {}
            }
        }
        assert_eq!(self.victim.error, None);
        self.victim.events.clear();
        self.victim.connection.set_allowance(64 << 20);
    }

    /// From the KEXINITs, which both have been sent, to new keys in both directions.
    pub fn exchange(&mut self) {
        match self.role {
            Role::Client => {
                self.say_kex_init();
                self.pump();
                self.read_kex_reply();
            }
            Role::Server => {
                self.pump();
                self.say_kex_reply(|_| {});
            }
        }
        self.say_new_keys();
        self.pump();
        self.read_new_keys();
    }

    /// A whole key exchange that this peer starts.
    pub fn rekey(&mut self) {
        self.say_kexinit();
        self.pump();
        self.read_kexinit();
        self.exchange();
    }

    pub fn say_ident(&mut self) {
        let line = [&self.ident[..], b"\r\n"].concat();
        self.say_raw(&line);
    }

    pub fn read_ident(&mut self) {
        let end = self.inbox.iter().position(|byte| *byte == b'\n').unwrap();
        let mut line: Vec<u8> = self.inbox.drain(..=end).collect();
        line.truncate(line.len() - 2);
        self.their_ident = line;
    }

    pub fn say_kexinit(&mut self) {
        self.our_kexinit = self.offer.build();
        let kexinit = self.our_kexinit.clone();
        self.say(&kexinit);
    }

    pub fn read_kexinit(&mut self) {
        self.their_kexinit = self.expect_message();
        assert_eq!(self.their_kexinit[0], message::KEXINIT);
        if self.session_id.is_none() {
            let has = |kexinit: &[u8], marker: &[u8]| {
                kexinit.windows(marker.len()).any(|part| part == marker)
            };
            let is_strict = |kexinit: &[u8]| {
                has(kexinit, b"kex-strict-c-v00") || has(kexinit, b"kex-strict-s-v00")
            };
            self.is_strict = is_strict(&self.our_kexinit) && is_strict(&self.their_kexinit);
        }
    }

    /// C_INIT as it should be, to be sent or to be bent.
    pub fn kex_init(&mut self) -> Vec<u8> {
        let secret = self.secret();
        let mut init = vec![message::KEX_INIT];
        init.put_string(&seeded::x25519_public_key(&secret));
        self.secret = Some(secret);
        init
    }

    /// An ephemeral secret, as secret as a test's.
    fn secret(&mut self) -> [u8; 32] {
        self.exchanges += 1;
        [self.exchanges; 32]
    }

    pub fn say_kex_init(&mut self) {
        let init = self.kex_init();
        self.say(&init);
    }

    pub fn read_kex_reply(&mut self) {
        let reply = self.expect_message();
        let mut reader = Reader::new(&reply);
        assert_eq!(reader.byte().unwrap(), message::KEX_REPLY);
        let host_key = reader.string().unwrap();
        let server_reply = reader.string().unwrap();
        let secret = self.secret.take().unwrap();
        let init = seeded::x25519_public_key(&secret);
        let shared = seeded::x25519_agree(&secret, server_reply.try_into().unwrap()).unwrap();
        self.derive(host_key, &init, server_reply, &shared);
    }

    /// S_REPLY, which `bend` may change before it leaves.
    pub fn say_kex_reply(&mut self, bend: impl FnOnce(&mut KexReply)) {
        let init = self.expect_message();
        assert_eq!(init[0], message::KEX_INIT);
        let client_init = Reader::new(&init[1..]).string().unwrap().to_vec();
        let secret = self.secret();
        let server_reply = seeded::x25519_public_key(&secret).to_vec();
        let shared = seeded::x25519_agree(&secret, client_init[..].try_into().unwrap()).unwrap();
        let host_key = self.host_key.public_key().blob().to_vec();
        let hash = self.derive(&host_key, &client_init, &server_reply, &shared);
        let algorithm = self.host_key.algorithms()[0];
        let mut reply = KexReply {
            signature: self.host_key.sign(algorithm, &hash).unwrap(),
            host_key,
            share: server_reply,
        };
        bend(&mut reply);
        let mut out = vec![message::KEX_REPLY];
        out.put_string(&reply.host_key);
        out.put_string(&reply.share);
        out.put_string(&reply.signature);
        self.say(&out);
    }

    fn derive(
        &mut self,
        host_key: &[u8],
        client_init: &[u8],
        server_reply: &[u8],
        shared: &[u8],
    ) -> Vec<u8> {
        // K of a classic method is an integer (RFC 8731 section 3.1).
        let mut secret = Vec::new();
        secret.put_mpint(shared);
        let (client, server) = match self.role {
            Role::Client => (
                [&self.ident, &self.our_kexinit],
                [&self.their_ident, &self.their_kexinit],
            ),
            Role::Server => (
                [&self.their_ident, &self.their_kexinit],
                [&self.ident, &self.our_kexinit],
            ),
        };
        let mut public = Vec::new();
        for part in [client[0], server[0], client[1], server[1]] {
            public.put_string(part);
        }
        public.put_string(host_key);
        public.put_string(client_init);
        public.put_string(server_reply);
        let hash = sha256(&[&public, &secret]);
        let session_id = self.session_id.get_or_insert_with(|| hash.clone()).clone();
        let cipher = CipherAlgorithm::from_name(self.offer.cipher.as_bytes()).unwrap();
        let mac = (!cipher.is_aead())
            .then(|| MacAlgorithm::from_name(self.offer.mac.as_bytes()).unwrap());
        let cipher = Arc::clone(self.provider.cipher(cipher).unwrap());
        let sizes = cipher.key_sizes(mac);
        let expand = |letter: u8, size: usize| {
            let mut bytes = sha256(&[&secret, &hash, &[letter], &session_id]);
            while bytes.len() < size {
                let more = sha256(&[&secret, &hash, &bytes]);
                bytes.extend(more);
            }
            bytes.truncate(size);
            bytes.into()
        };
        let keys = |letters: [u8; 3]| DirectionKeys {
            iv: expand(letters[0], sizes.iv),
            key: expand(letters[1], sizes.key),
            mac: expand(letters[2], sizes.mac),
        };
        let (up, down) = (keys(*b"ACE"), keys(*b"BDF"));
        let (ours, theirs) = match self.role {
            Role::Client => (up, down),
            Role::Server => (down, up),
        };
        self.pending_seal = Some(cipher.sealer(&ours, mac).unwrap());
        self.pending_open = Some(cipher.opener(&theirs, mac).unwrap());
        hash
    }

    /// NEWKEYS, and the keys behind it.
    pub fn say_new_keys(&mut self) {
        self.say(&[message::NEWKEYS]);
        self.seal = self.pending_seal.take();
        if self.is_strict {
            self.send_sequence = 0;
        }
    }

    pub fn read_new_keys(&mut self) {
        while self.expect_message()[0] != message::NEWKEYS {}
        self.open = self.pending_open.take();
        if self.is_strict {
            self.receive_sequence = 0;
        }
    }

    /// A well-formed packet with this payload.
    pub fn say(&mut self, payload: &[u8]) {
        let packet = self.packet(payload);
        self.say_raw(&packet);
    }

    /// The packet as it would leave.
    pub fn packet(&mut self, payload: &[u8]) -> Vec<u8> {
        let (block, counted) = match &self.seal {
            Some(seal) => (seal.layout().block, 1),
            None => (8, 5),
        };
        let mut padding = block - (payload.len() + counted) % block;
        while padding < 4 || payload.len() + padding + 5 < 16 {
            padding += block;
        }
        let length = payload.len() + padding + 1;
        let mut body = vec![u8::try_from(padding).unwrap()];
        body.extend_from_slice(payload);
        body.extend(vec![0; padding]);
        self.sealed(u32::try_from(length).unwrap(), &body)
    }

    /// A packet with any length field and any body, under the right keys.
    pub fn sealed(&mut self, length: u32, body: &[u8]) -> Vec<u8> {
        let mut packet = length.to_be_bytes().to_vec();
        packet.extend_from_slice(body);
        if let Some(seal) = &mut self.seal {
            let mut tag = vec![0; seal.layout().tag];
            seal.seal(self.send_sequence, &mut packet, &mut tag)
                .unwrap();
            packet.extend(tag);
        }
        self.send_sequence = self.send_sequence.wrapping_add(1);
        packet
    }

    pub fn say_raw(&mut self, bytes: &[u8]) {
        self.outbox.extend_from_slice(bytes);
    }

    /// Carries what both have to say, and lets the victim answer what belongs to logging in.
    pub fn pump(&mut self) {
        let user_key = Arc::clone(&self.user_key);
        loop {
            let bytes = std::mem::take(&mut self.outbox);
            let mut moved = !bytes.is_empty();
            self.victim.hear(self.now, bytes);
            if !self.holds_verdict {
                moved |= self.victim.answer(self.now, &user_key);
            }
            moved |= self.victim.flush(self.now, 262_144);
            self.inbox.extend(self.victim.wire.drain(..));
            if !moved {
                break;
            }
        }
    }

    /// The victim's clock goes on, and it does what is due.
    pub fn wait(&mut self, time: Duration) {
        self.now += time;
        let due = self.victim.connection.next_deadline();
        if due.is_some_and(|due| due <= self.now)
            && let Err(error) = self.victim.connection.handle_timeout(self.now)
        {
            self.victim.error.get_or_insert(error);
        }
        self.pump();
    }

    /// The victim's identification, after which a goodbye may be read.
    pub fn read_victims_ident(&mut self) {
        self.pump();
        self.read_ident();
    }

    /// As [`met`](Self::met), for an offer that ends it all: the victim's KEXINIT is read and its
    /// goodbye is not.
    pub fn met_unheard(mut self) -> Self {
        self.say_ident();
        self.pump();
        self.read_ident();
        self.say_kexinit();
        self.pump();
        if self.hear_kexinit() {
            return self;
        }
        panic!("the victim sends a KEXINIT")
    }

    fn hear_kexinit(&mut self) -> bool {
        self.hear()
            .is_some_and(|first| first[0] == message::KEXINIT)
    }

    /// Says the same message again and again while the victim's replies are not taken, as far as it
    /// listens. What it then owes is near its limit and not over it, each reply being `reply` bytes;
    /// when they are not taken for long enough, it ends.
    #[track_caller]
    pub fn floods(&mut self, payload: &[u8], reply: usize) {
        self.pump();
        self.hear_all();
        let mut said = 0_usize;
        while self.victim.connection.wants_read() && self.victim.error.is_none() {
            let packet = self.packet(payload);
            self.victim.hear(self.now, packet);
            said += 1;
            assert!(said <= 400_000, "the victim listens for ever");
        }
        assert_eq!(self.victim.error, None);
        assert!(
            said * reply <= limits::CONTROL_QUEUE_BYTES + 64 * 1_024,
            "{said} replies"
        );
        // More waits in the socket.
        for _ in 0..100 {
            let packet = self.packet(payload);
            self.victim.hear(self.now, packet);
        }
        assert!(!self.victim.connection.wants_read());
        self.now += limits::CONTROL_QUEUE_STALL;
        let due = self.victim.connection.next_deadline().unwrap();
        assert!(due <= self.now);
        let error = self.victim.connection.handle_timeout(self.now).unwrap_err();
        assert_eq!(error, ConnectionError::TimedOut(Wait::Replies));
        self.victim.error = Some(error);
        self.ends_with(11);
    }

    /// The victim's next message, if it has said one. Keep-alives are counted and not shown: when
    /// the victim measures its round trip is no matter of most tests.
    pub fn hear(&mut self) -> Option<Vec<u8>> {
        loop {
            let (payload, _) = self.hear_with_padding()?;
            if payload != global_request("keepalive@openssh.com", true, b"") {
                return Some(payload);
            }
            self.keep_alives += 1;
        }
    }

    /// Answers the keep-alives that have come so far.
    pub fn answer_keep_alives(&mut self) {
        self.hear_all();
        for _ in 0..std::mem::take(&mut self.keep_alives) {
            self.say(&[message::REQUEST_FAILURE]);
        }
        self.pump();
    }

    /// And its padding.
    pub fn hear_with_padding(&mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        let bytes: Vec<u8> = self.inbox.iter().copied().collect();
        let first = *bytes.first_chunk::<4>()?;
        let (length, tag) = match &self.open {
            Some(open) => (
                open.packet_length(self.receive_sequence, first),
                open.layout().tag,
            ),
            None => (u32::from_be_bytes(first), 0),
        };
        let length = usize::try_from(length).unwrap();
        let whole = bytes.get(..4 + length + tag)?;
        let mut plain = vec![0; length];
        match &mut self.open {
            Some(open) => open.open(self.receive_sequence, whole, &mut plain).unwrap(),
            None => plain.copy_from_slice(&whole[4..]),
        }
        self.inbox.drain(..whole.len());
        self.receive_sequence = self.receive_sequence.wrapping_add(1);
        let padding = usize::from(plain[0]);
        Some((
            plain[1..length - padding].to_vec(),
            plain[length - padding..].to_vec(),
        ))
    }

    /// The victim's next message; there must be one.
    pub fn expect_message(&mut self) -> Vec<u8> {
        self.hear().expect("the victim says something")
    }

    /// The victim's messages up to the next of that number, which must come; gives that one.
    #[track_caller]
    pub fn hear_until(&mut self, number: u8) -> Vec<u8> {
        loop {
            let message = self.expect_message();
            if message[0] == number {
                return message;
            }
        }
    }

    /// All messages that the victim has said.
    pub fn hear_all(&mut self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.hear()).collect()
    }

    /// The connection has ended, and the peer was told this code.
    #[track_caller]
    pub fn ends_with(&mut self, code: u32) -> ConnectionError {
        self.ends_after(code).0
    }

    /// And so many messages were said since the last that was heard.
    #[track_caller]
    pub fn ends_after(&mut self, code: u32) -> (ConnectionError, usize) {
        self.pump();
        let error = self.victim.error.clone().expect("the connection ends");
        assert_eq!(self.victim.connection.error(), Some(&error));
        let messages = self.hear_all();
        let last = messages.last().expect("the peer is told");
        assert_eq!(last[0], message::DISCONNECT, "{error}");
        let told = u32::from_be_bytes(*last[1..].first_chunk().unwrap());
        assert_eq!(told, code, "{error}");
        // Nothing follows, whatever comes.
        self.say(&[message::IGNORE, 0, 0, 0, 0]);
        self.pump();
        assert!(self.hear().is_none() && !self.victim.connection.wants_write());
        assert!(self.victim.connection.next_deadline().is_none());
        (error, messages.len())
    }

    /// The connection goes on.
    #[track_caller]
    pub fn goes_on(&mut self) {
        self.pump();
        assert_eq!(self.victim.error, None);
    }
}

/// S_REPLY in its parts.
pub struct KexReply {
    pub host_key: Vec<u8>,
    pub share: Vec<u8>,
    pub signature: Vec<u8>,
}

/// A request for the method `none`.
pub fn userauth_none(user: &str) -> Vec<u8> {
    let mut out = vec![message::USERAUTH_REQUEST];
    out.put_string(user.as_bytes());
    out.put_string(b"ssh-connection");
    out.put_string(b"none");
    out
}

/// A message of a type and numbers.
pub fn numbers(number: u8, numbers: &[u32]) -> Vec<u8> {
    let mut out = vec![number];
    for number in numbers {
        out.put_uint32(*number);
    }
    out
}

/// CHANNEL_DATA.
pub fn data(channel: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = numbers(message::CHANNEL_DATA, &[channel]);
    out.put_string(bytes);
    out
}

/// A global request; `body` follows the name and the wish for a reply.
pub fn global_request(name: &str, want_reply: bool, body: &[u8]) -> Vec<u8> {
    let mut out = vec![message::GLOBAL_REQUEST];
    out.put_string(name.as_bytes());
    out.put_boolean(want_reply);
    out.put_bytes(body);
    out
}

/// CHANNEL_OPEN; `body` follows the fixed part.
pub fn open(kind: &str, number: u32, window: u32, packet: u32, body: &[u8]) -> Vec<u8> {
    let mut out = vec![message::CHANNEL_OPEN];
    out.put_string(kind.as_bytes());
    for number in [number, window, packet] {
        out.put_uint32(number);
    }
    out.put_bytes(body);
    out
}

/// The two endpoints of a direct-tcpip or forwarded-tcpip channel.
pub fn endpoints(host: &str, port: u32) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_string(host.as_bytes());
    out.put_uint32(port);
    out.put_string(b"192.0.2.7");
    out.put_uint32(40_000);
    out
}

fn sha256(parts: &[&[u8]]) -> Vec<u8> {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    context.finish().as_ref().to_vec()
}
