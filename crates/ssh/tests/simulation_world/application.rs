//! What the two applications do, and what they write.

use std::sync::LazyLock;
use std::time::Duration;

use adit_ssh::channel::{ChannelKind, Endpoint, OpenFailure};
use adit_ssh::forward::ForwardAnswer;
use adit_testkit::seeded::SeededRandom;

use super::{FORWARD_PORT, Flow, Half, Kind, Who, World};

impl World {
    /// Something happens.
    pub(super) fn act(&mut self) {
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
    pub(super) fn read(&mut self, flow: usize, who: Who) {
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

    pub(super) fn finish_half(&mut self, flow: usize, who: Who) {
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
    pub(super) fn answer_later(&mut self) {
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
