//! What surrounds a simulated pair: two applications, a network, and a record of what should be.
#![allow(
    unreachable_pub,
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::struct_excessive_bools,
    clippy::wildcard_enum_match_arm,
    reason = "a part of tests"
)]

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use adit_ssh::Event;
use adit_ssh::algorithm::CipherAlgorithm;
use adit_ssh::channel::{ChannelId, ChannelKind, Endpoint, OpenFailure};
use adit_ssh::connection::{KeepAlive, TransportConfig};
use adit_ssh::error::{ConnectionError, Wait};
use adit_ssh::forward::{Forward, ForwardAnswer, RequestId};
use adit_testkit::seeded::SeededRandom;

use super::support::{End, Pair, seeded};

/// What happens in a world besides bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Opens, stalls, half-closes.
    Calm,
    /// And key exchanges from both sides, at any time.
    Rekeys,
    /// And resets, refusals and opens that are given up.
    Resets,
}

/// What happened in all worlds of a test, so that it can say that it tested something.
#[derive(Debug, Default)]
pub struct Record {
    pub flows: usize,
    pub resets: usize,
    pub rekeys: usize,
    pub bytes: u64,
}

/// Which end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Who {
    Client,
    Server,
}

impl Who {
    fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// One end of a flow.
#[derive(Default)]
struct Half {
    id: Option<ChannelId>,
    is_open: bool,
    written: u64,
    taken: u64,
    has_finished: bool,
    has_reset: bool,
    /// It closed both halves after what it had written.
    has_closed: bool,
    /// The peer's EOF came.
    peer_ended: bool,
    /// The peer's CLOSE came, and whether it cut something off.
    closed: Option<bool>,
    /// Its reader does nothing before that step.
    stalls_until: u32,
}

/// A channel as both applications see it.
struct Flow {
    opener: Who,
    halves: [Half; 2],
    was_refused: bool,
}

pub struct World {
    kind: Kind,
    random: SeededRandom,
    pair: Pair,
    flows: Vec<Flow>,
    by_channel: HashMap<(Who, ChannelId), usize>,
    /// Questions of the peer that are answered later.
    asked: Vec<(Who, ChannelId)>,
    forwards_asked: Vec<RequestId>,
    has_forward: bool,
    allowance: [u64; 2],
    step: u32,
    rekeys: usize,
    /// All that left, from either end.
    transcript: [Vec<u8>; 2],
}

const FORWARD_PORT: u16 = 8_080;

impl World {
    pub fn new(seed: u64, kind: Kind) -> Self {
        let mut random = SeededRandom::new(seed ^ 0x5eed);
        let ciphers: &[CipherAlgorithm] = &[
            CipherAlgorithm::Aes128Gcm,
            CipherAlgorithm::ChaCha20Poly1305,
            CipherAlgorithm::Aes256Ctr,
        ];
        let cipher = ciphers[usize::try_from(random.below(3)).unwrap()];
        let keep_alive = KeepAlive {
            interval: Duration::from_secs(15),
            misses: 3,
        };
        let mut limit = || (kind == Kind::Rekeys).then(|| 65_536 << random.below(2));
        let limits = [limit(), limit()];
        let set = |config: &mut TransportConfig, seed, bytes| {
            config.provider = Arc::new(seeded::provider(seed));
            config.preferences.cipher = vec![cipher];
            config.preferences.kex = vec![
                adit_ssh::algorithm::KexAlgorithm::MlKem768X25519,
                adit_ssh::algorithm::KexAlgorithm::Curve25519,
            ];
            if seed % 4 != 0 {
                // The cheaper one: there are many.
                config.preferences.kex.reverse();
            }
            config.rekey.bytes = bytes;
            config.keep_alive = Some(keep_alive);
        };
        let mut pair = Pair::with_provider(
            &Arc::new(seeded::provider(seed)),
            |config| set(&mut config.transport, seed * 4 + 1, limits[0]),
            |config| set(&mut config.transport, seed * 4 + 2, limits[1]),
        );
        let mut transcript = [Vec::new(), Vec::new()];
        while pair
            .client
            .find(|e| matches!(e, Event::Authenticated))
            .is_none()
        {
            carry(&mut pair, &mut random, &mut transcript, 400);
            assert!(pair.client.error.is_none() && pair.server.error.is_none());
        }
        let allowance = [0; 2].map(|_| 65_536 << random.below(8));
        pair.client.connection.set_allowance(allowance[0]);
        pair.server.connection.set_allowance(allowance[1]);
        Self {
            kind,
            random,
            pair,
            flows: Vec::new(),
            by_channel: HashMap::new(),
            asked: Vec::new(),
            forwards_asked: Vec::new(),
            has_forward: false,
            allowance,
            step: 0,
            rekeys: 0,
            transcript,
        }
    }

    pub fn transcript(self) -> [Vec<u8>; 2] {
        self.transcript
    }

    /// Lives for some steps, then lets everything come to its end. Adds up what happened.
    pub fn live(mut self, steps: u32, record: &mut Record) {
        self.act_for(steps);
        self.finish();
        record.rekeys += self.rekeys;
        for flow in &self.flows {
            let [client, server] = &flow.halves;
            record.flows += 1;
            record.resets += usize::from(client.has_reset || server.has_reset);
            record.bytes += client.taken + server.taken;
        }
    }

    pub fn act_for(&mut self, steps: u32) {
        let forward = Forward::Tcp(Endpoint::new("", FORWARD_PORT));
        self.pair
            .client
            .connection
            .request_forward(forward)
            .unwrap();
        for _ in 0..steps {
            self.act();
            self.carry();
            self.check();
        }
    }

    fn end(&mut self, who: Who) -> &mut End {
        match who {
            Who::Client => &mut self.pair.client,
            Who::Server => &mut self.pair.server,
        }
    }

    fn who(&mut self) -> Who {
        if self.random.chance(1, 2) {
            Who::Client
        } else {
            Who::Server
        }
    }

    fn half(&mut self, flow: usize, who: Who) -> &mut Half {
        &mut self.flows[flow].halves[usize::from(who == Who::Server)]
    }

    fn pick(&mut self) -> Option<usize> {
        let count = u64::try_from(self.flows.len()).unwrap();
        (count > 0).then(|| usize::try_from(self.random.below(count)).unwrap())
    }

    /// Something happens.
    fn act(&mut self) {
        self.step += 1;
        let who = self.who();
        let now = self.pair.now;
        match self.random.below(20) {
            0 | 1 => self.open(who),
            2..=8 => self.write(who),
            9..=12 => {
                if let Some(flow) = self.pick() {
                    self.read(flow, who);
                }
            }
            13 => self.answer_later(),
            14 => {
                if let Some(flow) = self.pick() {
                    let until = self.step + u32::try_from(self.random.below(60)).unwrap();
                    self.half(flow, who).stalls_until = until;
                }
            }
            15 => {
                if let Some(flow) = self.pick() {
                    self.finish_half(flow, who);
                }
            }
            16 if self.kind == Kind::Rekeys => {
                self.end(who).connection.rekey(now).unwrap();
            }
            17 if self.kind == Kind::Resets => {
                if let Some(flow) = self.pick() {
                    if self.random.chance(1, 3) {
                        self.close(flow, who);
                    } else {
                        self.reset(flow, who);
                    }
                }
            }
            18 => self.end(who).connection.ask_alive(now),
            _ => {
                let millis = self.random.below(500);
                self.pair.advance(Duration::from_millis(millis));
            }
        }
    }

    fn open(&mut self, who: Who) {
        if self.flows.len() >= 24 || (who == Who::Server && !self.has_forward) {
            return;
        }
        let number = self.flows.len();
        let origin = Endpoint::new("visitor", u16::try_from(number).unwrap());
        let kind = match who {
            Who::Client => ChannelKind::DirectTcpip {
                target: Endpoint::new("db", 5_432),
                origin,
            },
            Who::Server => ChannelKind::ForwardedTcpip {
                bind: Endpoint::new("", FORWARD_PORT),
                origin,
            },
        };
        let window = 1 << self.random.below(19);
        let Ok(id) = self.end(who).connection.open_channel(&kind, window) else {
            return;
        };
        self.flows.push(Flow {
            opener: who,
            halves: [Half::default(), Half::default()],
            was_refused: false,
        });
        self.half(number, who).id = Some(id);
        self.by_channel.insert((who, id), number);
    }

    fn write(&mut self, who: Who) {
        let Some(flow) = self.pick() else { return };
        let most = if self.random.chance(1, 3) {
            34_000
        } else {
            900
        };
        let size = self.random.size(most);
        let half = self.half(flow, who);
        let (Some(id), from) = (half.id, half.written) else {
            return;
        };
        // What is asked for may be written to before it is open; what the peer asked for may not.
        let is_own = self.flows[flow].opener == who;
        let half = self.half(flow, who);
        if half.has_finished || half.has_reset || half.closed.is_some() || !(half.is_open || is_own)
        {
            return;
        }
        if self.end(who).connection.queued(id) > 300_000 {
            return;
        }
        let bytes = bytes(flow, who, from, size);
        let block = self.pair.block(&bytes);
        self.end(who).connection.write(id, block);
        self.half(flow, who).written += u64::try_from(size).unwrap();
    }

    /// Takes some of what waits, and compares it with what was written.
    fn read(&mut self, flow: usize, who: Who) {
        let (step, now) = (self.step, self.pair.now);
        let half = self.half(flow, who);
        let Some(id) = half.id else { return };
        if half.stalls_until > step {
            return;
        }
        let mut at = half.taken;
        let has_reset = half.has_reset;
        let chunks = self.random.below(4);
        for _ in 0..chunks {
            let Some(chunk) = self.end(who).connection.take_chunk(id) else {
                break;
            };
            assert!(!has_reset, "bytes after our own reset");
            let wanted = bytes(flow, who.other(), at, chunk.len());
            assert!(chunk.as_slice() == wanted, "flow {flow} after {at}");
            at += u64::try_from(chunk.len()).unwrap();
            self.end(who).connection.consumed(id, chunk.len(), now);
        }
        self.half(flow, who).taken = at;
    }

    fn finish_half(&mut self, flow: usize, who: Who) {
        let half = self.half(flow, who);
        if let Some(id) = half.id.filter(|_| half.is_open) {
            half.has_finished = true;
            self.end(who).connection.finish(id);
        }
    }

    fn close(&mut self, flow: usize, who: Who) {
        let half = self.half(flow, who);
        let is_whole = half.is_open && !half.has_reset && half.closed.is_none();
        if let Some(id) = half.id.filter(|_| is_whole) {
            half.has_finished = true;
            half.has_closed = true;
            self.end(who).connection.close_channel(id);
        }
    }

    fn reset(&mut self, flow: usize, who: Who) {
        let half = self.half(flow, who);
        if let Some(id) = half.id.filter(|_| half.closed.is_none()) {
            half.has_reset = true;
            half.has_finished = true;
            self.asked.retain(|asked| *asked != (who, id));
            self.end(who).connection.reset(id);
        }
    }

    /// One of the questions that were put off is answered.
    fn answer_later(&mut self) {
        if let Some(id) = self.forwards_asked.pop() {
            let granted = ForwardAnswer::Granted { port: FORWARD_PORT };
            self.pair.server.connection.answer_forward(id, granted);
            return;
        }
        let Some((who, id)) = self.asked.pop() else {
            return;
        };
        let flow = self.by_channel[&(who, id)];
        let refuses = self.kind == Kind::Resets && self.random.chance(1, 4);
        let window = 1 << self.random.below(19);
        if refuses {
            let connection = &mut self.end(who).connection;
            connection.refuse_channel(id, OpenFailure::ConnectFailed, "nobody there");
            self.flows[flow].was_refused = true;
        } else if self.end(who).connection.accept_channel(id, window) {
            self.half(flow, who).is_open = true;
        } else {
            self.flows[flow].was_refused = true;
        }
    }

    fn carry(&mut self) {
        let most = [1, 40, 1_000, 40_000][usize::try_from(self.random.below(4)).unwrap()];
        carry(&mut self.pair, &mut self.random, &mut self.transcript, most);
        self.take_events();
    }

    fn take_events(&mut self) {
        for who in [Who::Client, Who::Server] {
            while let Some(event) = self.end(who).events.pop_front() {
                self.event(who, event);
            }
        }
    }

    fn event(&mut self, who: Who, event: Event) {
        let flow = |world: &Self, id| world.by_channel[&(who, id)];
        match event {
            Event::ChannelAsked { channel, kind } => {
                let (ChannelKind::DirectTcpip { origin, .. }
                | ChannelKind::ForwardedTcpip { origin, .. }) = kind
                else {
                    panic!("{kind:?}")
                };
                let number = usize::from(origin.port);
                self.by_channel.insert((who, channel), number);
                self.half(number, who).id = Some(channel);
                self.asked.push((who, channel));
            }
            Event::ChannelOpened { channel } => {
                let flow = flow(self, channel);
                self.half(flow, who).is_open = true;
            }
            Event::ChannelRefused { channel, .. } => {
                let flow = flow(self, channel);
                assert!(self.flows[flow].was_refused || self.half(flow, who.other()).has_reset);
                self.flows[flow].was_refused = true;
            }
            Event::Ended { channel } => {
                let flow = flow(self, channel);
                self.half(flow, who).peer_ended = true;
            }
            Event::Closed { channel, was_cut } => {
                let flow = flow(self, channel);
                let other = self.half(flow, who.other());
                assert!(!was_cut || other.has_reset, "flow {flow} was cut by nobody");
                self.half(flow, who).closed = Some(was_cut);
            }
            Event::ForwardAsked { id, .. } => self.forwards_asked.push(id),
            Event::ForwardAnswered { .. } => self.has_forward = true,
            Event::Rekeyed { .. } => self.rekeys += 1,
            Event::Lost { .. } => panic!("lost"),
            _ => {}
        }
    }

    /// What holds after every step.
    fn check(&self) {
        for (end, allowance) in [&self.pair.client, &self.pair.server]
            .into_iter()
            .zip(self.allowance)
        {
            assert_eq!(end.error, None);
            assert!(end.connection.promised() <= allowance);
        }
        for (who, id) in self.by_channel.keys() {
            let end = match who {
                Who::Client => &self.pair.client,
                Who::Server => &self.pair.server,
            };
            if let Some(windows) = end.connection.windows(*id) {
                assert!(
                    windows.may_come + windows.waits <= windows.limit,
                    "{windows:?}"
                );
            }
        }
    }

    /// When nothing is under way, what one end may send is what the other may get.
    fn compare_windows(&mut self) {
        for flow in 0..self.flows.len() {
            let [one, other] = [Who::Client, Who::Server].map(|who| {
                let half = self.half(flow, who);
                let is_whole =
                    half.is_open && !half.has_reset && !half.has_closed && half.closed.is_none();
                let id = half.id.filter(|_| is_whole)?;
                self.end(who).connection.windows(id)
            });
            let (Some(one), Some(other)) = (one, other) else {
                continue;
            };
            assert_eq!(one.may_send, other.may_come, "flow {flow}");
            assert_eq!(other.may_send, one.may_come, "flow {flow}");
        }
    }

    /// Everything that can happen by itself happens.
    fn settle(&mut self) {
        while carry(
            &mut self.pair,
            &mut self.random,
            &mut self.transcript,
            usize::MAX,
        ) {}
        self.take_events();
        self.check();
    }

    fn finish(&mut self) {
        self.settle();
        self.compare_windows();
        while !self.asked.is_empty() || !self.forwards_asked.is_empty() {
            self.answer_later();
            self.settle();
        }
        for flow in 0..self.flows.len() {
            for who in [Who::Client, Who::Server] {
                self.half(flow, who).stalls_until = 0;
                self.finish_half(flow, who);
            }
        }
        // Each round moves at least one window; the smallest is a byte.
        for _ in 0..400_000 {
            self.settle();
            for flow in 0..self.flows.len() {
                self.read(flow, Who::Client);
                self.read(flow, Who::Server);
            }
            let ends = [&self.pair.client, &self.pair.server];
            if ends.iter().all(|end| end.connection.channels() == 0) {
                break;
            }
        }
        self.settle();
        for end in [&self.pair.client, &self.pair.server] {
            assert_eq!(end.connection.channels(), 0);
            assert_eq!(end.connection.promised(), 0);
            assert!(!end.connection.wants_write());
        }
        for (number, flow) in self.flows.iter().enumerate() {
            let [client, server] = &flow.halves;
            let was_reset = client.has_reset || server.has_reset;
            if was_reset || flow.was_refused {
                continue;
            }
            // Who closes does not want what is on its way, and who hears of it sends no more.
            if !server.has_closed {
                assert_eq!(client.written, server.taken, "flow {number} up");
                assert!(server.peer_ended, "flow {number}");
            }
            if !client.has_closed {
                assert_eq!(server.written, client.taken, "flow {number} down");
                assert!(client.peer_ended, "flow {number}");
            }
            for half in [client, server] {
                assert_eq!(half.closed, Some(false), "flow {number}");
            }
        }
    }

    /// The network is cut in both directions: each end finds out by itself.
    pub fn cut(mut self) {
        let heard = self.pair.now;
        for step in 0_u32.. {
            let now = heard + Duration::from_millis(500) * step;
            for who in [Who::Client, Who::Server] {
                let end = self.end(who);
                if end.error.is_some() {
                    continue;
                }
                end.flush(now, 262_144);
                end.wire.clear();
                if end.connection.next_deadline().is_some_and(|due| due <= now) {
                    end.error = end.connection.handle_timeout(now).err();
                }
            }
            let errors = [&self.pair.client.error, &self.pair.server.error];
            if errors.iter().all(|error| error.is_some()) {
                break;
            }
            assert!(step <= 2 * 65, "not gone after 65 s: {errors:?}");
        }
        for end in [&self.pair.client, &self.pair.server] {
            assert!(matches!(
                end.error,
                Some(ConnectionError::TimedOut(Wait::Life | Wait::Rekey))
            ));
        }
    }
}

/// Both ends speak a little, and some of what is under way arrives.
fn carry(
    pair: &mut Pair,
    random: &mut SeededRandom,
    transcript: &mut [Vec<u8>; 2],
    most: usize,
) -> bool {
    let now = pair.now;
    let mut moved = false;
    for (end, record) in [&mut pair.client, &mut pair.server]
        .into_iter()
        .zip(transcript)
    {
        // A socket takes so much and no more.
        if end.wire.len() < 65_536 {
            let before = end.wire.len();
            moved |= end.flush(now, 16_384);
            record.extend(end.wire.iter().skip(before));
        }
    }
    let mut some = |wire: &mut std::collections::VecDeque<u8>| {
        let most = match most {
            usize::MAX => wire.len(),
            most => random.size(most).min(wire.len()),
        };
        wire.drain(..most).collect::<Vec<u8>>()
    };
    let (up, down) = (some(&mut pair.client.wire), some(&mut pair.server.wire));
    moved |= !up.is_empty() || !down.is_empty();
    pair.server.hear(now, up);
    pair.client.hear(now, down);
    let user_key = Arc::clone(&pair.user_key);
    moved |= pair.client.answer(now, &user_key);
    moved | pair.server.answer(now, &user_key)
}

/// What a flow carries from a place on: no two flows or directions carry the same. The pattern has a
/// prime length, so that bytes that are off by any block are wrong.
fn bytes(flow: usize, from: Who, at: u64, size: usize) -> Vec<u8> {
    static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut pattern = vec![0; 2 * PRIME + 40_000];
        SeededRandom::new(42).fill(&mut pattern[..PRIME]);
        pattern.copy_within(..PRIME, PRIME);
        pattern.copy_within(..40_000, 2 * PRIME);
        pattern
    });
    let number = flow * 2 + usize::from(from == Who::Server);
    let start = (usize::try_from(at).unwrap() + number * 1_009) % PRIME;
    PATTERN[start..start + size].to_vec()
}

const PRIME: usize = 65_521;
