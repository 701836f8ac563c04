//! The hostile peer's packets, both ways.

use super::Hostile;
use super::payload::global_request;

impl Hostile {
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
}
