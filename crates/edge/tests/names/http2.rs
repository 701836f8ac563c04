//! HTTP/2 frame by frame, so that a visitor can say what no library would.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// RFC 9113 section 6.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const ACK: u8 = 1;

/// Names of reasons (RFC 9113 section 7).
const REASONS: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

/// A reason in words.
pub(crate) fn reason(bytes: &[u8]) -> &'static str {
    let number = u32::from_be_bytes(bytes[..4].try_into().unwrap());
    REASONS[usize::try_from(number).unwrap()]
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            kind,
            flags,
            stream,
            payload: payload.into(),
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).unwrap().to_be_bytes();
        let mut bytes = length[1..].to_vec();
        bytes.extend([self.kind, self.flags]);
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    /// Of an answer's head.
    pub(crate) fn status(&self) -> u16 {
        const INDEXED: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
        let mut block = &self.payload[..];
        // A table that changes its size says so first.
        while block[0] & 0xe0 == 0x20 {
            block = &block[1..];
        }
        match block[0] {
            first @ 0x88..=0x8e => INDEXED[usize::from(first - 0x88)],
            0x08 | 0x18 | 0x48 if block[1] & 0x80 == 0 => {
                std::str::from_utf8(&block[2..5]).unwrap().parse().unwrap()
            }
            0x08 | 0x18 | 0x48 => digits(&block[2..2 + usize::from(block[1] & 0x7f)]),
            other => panic!("no status: {other:x}"),
        }
    }
}

/// Three digits in Huffman's code (RFC 7541 appendix B).
fn digits(bytes: &[u8]) -> u16 {
    let mut bits = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| u16::from(byte >> at & 1)));
    let mut next = |count: usize| bits.by_ref().take(count).fold(0, |all, bit| all << 1 | bit);
    (0..3).fold(0, |number, _| {
        let five = next(5);
        let digit = if five < 3 {
            five
        } else {
            (five << 1 | next(1)) - 0x16
        };
        number * 10 + digit
    })
}

/// Fields as they are, none of them in a table.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        text(&mut block, name.as_bytes());
        text(&mut block, value.as_bytes());
    }
    block
}

fn text(block: &mut Vec<u8>, text: &[u8]) {
    // RFC 7541 section 5.1, a prefix of seven bits.
    if let Ok(length @ 0..0x7f) = u8::try_from(text.len()) {
        block.push(length);
    } else {
        block.push(0x7f);
        let mut left = text.len() - 0x7f;
        while left >= 0x80 {
            block.push(u8::try_from(left % 0x80).unwrap() | 0x80);
            left /= 0x80;
        }
        block.push(u8::try_from(left).unwrap());
    }
    block.extend(text);
}

/// What every request has.
pub(crate) fn request<'a>(
    method: &'a str,
    host: &'a str,
    path: &'a str,
    more: &[(&'a str, &'a str)],
) -> Vec<u8> {
    let mut fields = vec![
        (":method", method),
        (":scheme", "https"),
        (":authority", host),
        (":path", path),
    ];
    fields.extend(more);
    block(&fields)
}

/// One end.
pub(crate) struct Peer<S> {
    pub(crate) socket: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// Begins a connection with these settings (RFC 9113 section 6.5).
    pub(crate) async fn begin(socket: S, settings: &[(u16, u32)]) -> Self {
        let mut peer = Self { socket };
        let mut payload = Vec::new();
        // No table: then each answer can be read by itself.
        for (name, value) in [(1, 0)].iter().chain(settings) {
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(Frame::new(SETTINGS, 0, 0, payload).bytes());
        peer.socket.write_all(&bytes).await.unwrap();
        peer
    }

    /// Says frames; whether they were taken.
    pub(crate) async fn say(&mut self, frames: &[Frame]) -> bool {
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::bytes).collect();
        self.socket.write_all(&bytes).await.is_ok() && self.socket.flush().await.is_ok()
    }

    /// The next frame; nothing at the end. Settings and pings are answered.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.socket.read_exact(&mut head).await.ok()?;
        let length = usize::try_from(u32::from_be_bytes([0, head[0], head[1], head[2]])).unwrap();
        let mut payload = vec![0; length];
        self.socket.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes(head[5..].try_into().unwrap());
        let frame = Frame::new(head[3], head[4], stream, payload);
        if frame.flags & ACK == 0 {
            match frame.kind {
                SETTINGS => {
                    self.say(&[Frame::new(SETTINGS, ACK, 0, [])]).await;
                }
                PING => {
                    self.say(&[Frame::new(PING, ACK, 0, frame.payload.clone())])
                        .await;
                }
                _ => {}
            }
        }
        Some(frame)
    }

    /// Frames until one of that kind, or the end.
    pub(crate) async fn until(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.frame().await?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }
}
