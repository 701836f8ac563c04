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
use std::sync::Arc;
use std::time::Duration;

use adit_ssh::Event;
use adit_ssh::algorithm::CipherAlgorithm;
use adit_ssh::channel::{ChannelId, ChannelKind, Endpoint};
use adit_ssh::connection::{KeepAlive, TransportConfig};
use adit_ssh::forward::{Forward, RequestId};
use adit_testkit::seeded::SeededRandom;

use super::support::{End, Pair, seeded};

mod application;
mod outcome;

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
