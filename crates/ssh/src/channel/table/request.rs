//! Requests on channels and their answers, which carry no number and so come in order.

use super::{Channels, parse_channel};
use crate::channel::request::{self, ChannelRequest, Request};
use crate::channel::{ChannelId, Half, Phase};
use crate::error::Violation;
use crate::event::{Event, Events};
use crate::limits;
use crate::message;
use crate::wire::Write;

impl Channels {
    /// CHANNEL_REQUEST came: tells the owner, or gives the answer at once.
    pub(crate) fn requested(
        &mut self,
        payload: &[u8],
        events: &mut Events,
    ) -> Result<Option<Vec<u8>>, Violation> {
        let Request {
            local,
            want_reply,
            what: request,
            is_environment,
        } = Request::parse(payload)?;
        let channel = self
            .map
            .get_mut(&local)
            .filter(|channel| channel.phase == Phase::Open && channel.theirs != Half::Closed);
        let channel =
            channel.ok_or(Violation::protocol("request on a channel that is not open"))?;
        if is_environment {
            channel.requests.environment = channel.requests.environment.saturating_add(1);
            if channel.requests.environment > limits::ENVIRONMENT_REQUESTS {
                return Err(Violation::protocol("too many environment requests"));
            }
        }
        let known = request.filter(|request| channel.takes(request));
        if want_reply
            && !channel
                .requests
                .push(if known.is_some() { None } else { Some(false) })
        {
            return Err(Violation::protocol(
                "too many channel requests wait for an answer",
            ));
        }
        if let Some(request) = known {
            events.push(Event::ChannelRequest {
                channel: ChannelId(local),
                request,
                want_reply,
            });
        }
        Ok(self.next_answer(local))
    }

    /// The owner answers the oldest unanswered request of a channel.
    pub(crate) fn answer_request(&mut self, channel: ChannelId, good: bool) {
        if let Some(channel) = self.map.get_mut(&channel.0) {
            channel.requests.answer(good);
        }
    }

    /// The next reply to a channel request whose turn it is.
    pub(crate) fn next_answer(&mut self, local: u32) -> Option<Vec<u8>> {
        let channel = self
            .map
            .get_mut(&local)
            .filter(|channel| channel.ours != Half::Closed)?;
        let good = channel.requests.next()?;
        let mut answer = vec![if good {
            message::CHANNEL_SUCCESS
        } else {
            message::CHANNEL_FAILURE
        }];
        answer.put_uint32(channel.remote);
        Some(answer)
    }

    /// CHANNEL_SUCCESS or CHANNEL_FAILURE came.
    pub(crate) fn answered(
        &mut self,
        payload: &[u8],
        good: bool,
        events: &mut Events,
    ) -> Result<(), Violation> {
        let local = parse_channel(payload)?;
        let Some(channel) = self
            .map
            .get_mut(&local)
            .filter(|channel| channel.requests.ours > 0)
        else {
            return self.count_stray(local);
        };
        channel.requests.ours = channel.requests.ours.saturating_sub(1);
        events.push(Event::ChannelAnswer {
            channel: ChannelId(local),
            good,
        });
        Ok(())
    }

    /// Our request on a channel.
    pub(crate) fn request(
        &mut self,
        channel: ChannelId,
        request: &ChannelRequest,
        want_reply: bool,
    ) -> Option<Vec<u8>> {
        let channel = self.map.get_mut(&channel.0);
        let channel = channel
            .filter(|channel| channel.phase == Phase::Open && channel.ours != Half::Closed)?;
        if want_reply {
            channel.requests.ours = channel.requests.ours.saturating_add(1);
        }
        Some(request::build(channel.remote, want_reply, request))
    }
}
