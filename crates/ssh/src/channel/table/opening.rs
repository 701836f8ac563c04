//! Channels that begin: asked for by either side, accepted, refused.

use super::Channels;
use crate::channel::open::{self, Confirmation, Open, Wanted};
use crate::channel::{Channel, ChannelId, ChannelKind, OpenFailure, Phase, Sort};
use crate::error::Violation;
use crate::event::{Event, Events};
use crate::flow::{ReceiveWindow, SendWindow};
use crate::limits;

impl Channels {
    /// Asks the peer for a channel. The message is the caller's to queue.
    pub(crate) fn open(
        &mut self,
        kind: &ChannelKind,
        window: u32,
    ) -> Result<(ChannelId, Vec<u8>), OpenFailure> {
        let is_full =
            self.map.len() >= self.caps.channels || self.half_open >= limits::OPENS_PENDING;
        if is_full || !self.fits(window) {
            return Err(OpenFailure::ResourceShortage);
        }
        let sort = if *kind == ChannelKind::Session {
            Sort::OwnSession
        } else {
            Sort::Flow
        };
        let local = self.insert(Channel::new(
            Phase::Opening,
            sort,
            0,
            window,
            SendWindow::new(0, 0),
        ));
        Ok((ChannelId(local), open::open(kind, local, window)))
    }

    /// CHANNEL_OPEN came. Either an event asks the owner, or the answer is a refusal to be queued.
    pub(crate) fn asked(
        &mut self,
        payload: &[u8],
        may: impl FnOnce(&ChannelKind) -> bool,
        events: &mut Events,
    ) -> Result<Option<Vec<u8>>, Violation> {
        let Open {
            remote,
            window,
            packet,
            kind,
        } = Open::parse(payload)?;
        let refuse = |failure, text| Ok(Some(open::failure(remote, failure, text)));
        let kind = match kind {
            Wanted::Known(kind) => kind,
            Wanted::Unknown => return refuse(OpenFailure::UnknownType, "unknown channel type"),
            Wanted::NoAddress => return refuse(OpenFailure::ConnectFailed, "no such address"),
            Wanted::Never => return refuse(OpenFailure::Prohibited, "not allowed here"),
        };
        if !may(&kind) {
            return refuse(OpenFailure::Prohibited, "not allowed here");
        }
        if packet < limits::CHANNEL_PACKET_MIN {
            return refuse(
                OpenFailure::ResourceShortage,
                "maximum packet size is too small",
            );
        }
        let is_session = kind == ChannelKind::Session;
        if is_session && self.refuses_sessions {
            return Err(Violation::protocol("session after no-more-sessions"));
        }
        if is_session && self.sessions >= limits::SESSIONS {
            return refuse(OpenFailure::Prohibited, "too many sessions");
        }
        if self.map.len() >= self.caps.channels || self.half_open >= limits::OPENS_PENDING {
            return refuse(OpenFailure::ResourceShortage, "too many channels");
        }
        let send = SendWindow::new(window, packet);
        let sort = if is_session {
            Sort::PeerSession
        } else {
            Sort::Flow
        };
        let local = self.insert(Channel::new(Phase::Asked, sort, remote, 0, send));
        events.push(Event::ChannelAsked {
            channel: ChannelId(local),
            kind,
        });
        Ok(None)
    }

    /// The owner accepts a channel that the peer asked for.
    pub(crate) fn accept(&mut self, channel: ChannelId, window: u32) -> Option<Vec<u8>> {
        let fits = self.fits(window);
        let asked = self
            .map
            .get_mut(&channel.0)
            .filter(|asked| asked.phase == Phase::Asked)?;
        let remote = asked.remote;
        if !fits {
            self.remove(channel.0);
            return Some(open::failure(
                remote,
                OpenFailure::ResourceShortage,
                "no window is left",
            ));
        }
        asked.phase = Phase::Open;
        asked.receive = ReceiveWindow::new(window);
        self.promised = self.promised.saturating_add(window.into());
        self.half_open = self.half_open.saturating_sub(1);
        self.wake(channel.0);
        self.check();
        Some(open::confirmation(remote, channel.0, window))
    }

    /// The owner refuses a channel that the peer asked for.
    pub(crate) fn refuse(
        &mut self,
        channel: ChannelId,
        failure: OpenFailure,
        text: &str,
    ) -> Option<Vec<u8>> {
        let asked = self
            .map
            .get(&channel.0)
            .filter(|asked| asked.phase == Phase::Asked)?;
        let answer = open::failure(asked.remote, failure, text);
        self.remove(channel.0);
        Some(answer)
    }

    pub(crate) fn confirmed(
        &mut self,
        payload: &[u8],
        events: &mut Events,
    ) -> Result<(), Violation> {
        let Confirmation {
            local,
            remote,
            window,
            packet,
        } = Confirmation::parse(payload)?;
        let channel = self.map.get_mut(&local);
        let channel = channel.ok_or(Violation::protocol(
            "confirmation of a channel that is not opening",
        ))?;
        let was = channel.phase;
        if !matches!(was, Phase::Opening | Phase::Abandoned) {
            return Err(Violation::protocol(
                "confirmation of a channel that is not opening",
            ));
        }
        if packet < limits::CHANNEL_PACKET_MIN {
            return Err(Violation::protocol("maximum packet size is too small"));
        }
        channel.phase = Phase::Open;
        channel.remote = remote;
        channel.send = SendWindow::new(window, packet);
        self.half_open = self.half_open.saturating_sub(1);
        if was == Phase::Abandoned {
            self.reset(ChannelId(local));
        } else {
            events.push(Event::ChannelOpened {
                channel: ChannelId(local),
            });
            self.wake(local);
        }
        Ok(())
    }

    pub(crate) fn failed(&mut self, payload: &[u8], events: &mut Events) -> Result<(), Violation> {
        let (local, failure, text) = open::parse_failure(payload)?;
        match self.map.get(&local).map(|channel| channel.phase) {
            Some(Phase::Opening) => {
                events.push(Event::ChannelRefused {
                    channel: ChannelId(local),
                    failure,
                    text,
                });
            }
            Some(Phase::Abandoned) => {}
            Some(Phase::Asked | Phase::Open) | None => {
                return Err(Violation::protocol(
                    "refusal of a channel that is not opening",
                ));
            }
        }
        self.remove(local);
        Ok(())
    }
}
