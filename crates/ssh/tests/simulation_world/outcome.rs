//! What holds after every step and in the end.

use std::time::Duration;

use adit_ssh::error::{ConnectionError, Wait};

use super::{Who, World};

impl World {
    /// What holds after every step.
    pub(super) fn check(&self) {
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

    pub(super) fn finish(&mut self) {
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
