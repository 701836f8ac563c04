//! What is said over the control socket: the first byte says how long a line may be, the second in what pieces the rest
//! comes.
//!
//! The program is no library, so that what meets the bytes first is taken from its sources.
#![no_main]

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use adit_flow::expr::Value;
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncRead, ReadBuf};

use self::input::Input;
use self::lines::Lines;
use self::request::Request;

#[path = "../../crates/adit/src/compose/fingerprint.rs"]
#[expect(dead_code, reason = "none is made of a file here")]
mod fingerprint;
#[path = "../../crates/adit/src/control/hex.rs"]
mod hex;
#[path = "../../crates/adit/src/control/input.rs"]
mod input;
#[path = "../../crates/adit/src/control/lines.rs"]
mod lines;
#[path = "../../crates/adit/src/control/request.rs"]
mod request;

/// As those sources name it.
mod compose {
    pub(crate) use crate::fingerprint::Fingerprint;
}

/// Bytes that come in pieces, between which others have their turn.
struct Pieces<'i> {
    rest: &'i [u8],
    size: usize,
    is_due: bool,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.is_due = !self.is_due;
        if self.is_due {
            return Poll::Pending;
        }
        let length = self.size.min(self.rest.len()).min(into.remaining());
        let (piece, rest) = self.rest.split_at(length);
        into.put_slice(piece);
        self.rest = rest;
        Poll::Ready(Ok(()))
    }
}

/// The lines that come, and whether there was none that is too long. Each future is dropped where it stands.
fn read(stream: &[u8], most: usize, size: usize) -> (Vec<Vec<u8>>, bool) {
    let pieces = Pieces {
        rest: stream,
        size,
        is_due: false,
    };
    let mut lines = Lines::new(pieces, most);
    let mut all = Vec::new();
    loop {
        let next = pin!(lines.next());
        match next.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => {}
            Poll::Ready(Ok(Some(line))) => all.push(line),
            Poll::Ready(Ok(None)) => return (all, true),
            Poll::Ready(Err(_)) => return (all, false),
        }
    }
}

/// What one who listens makes of a line.
fn hear(line: &[u8], input: &mut Input) {
    let Ok(request) = serde_json::from_slice::<Request>(line) else {
        return;
    };
    let said = serde_json::to_vec(&request).expect("a request can be written");
    assert!(!said.contains(&b'\n'));
    let again: Request = serde_json::from_slice(&said).expect("what is written can be read");
    assert_eq!(again, request);
    // A configuration's hash is for whoever has it.
    if let Request::Run { .. } = &request {
        assert!(format!("{request:?}").ends_with("fingerprint: Fingerprint }"));
    }
    match request {
        Request::Input { part } => input.push(&part).expect("it is not as much as may be"),
        Request::Resume { answer, .. } => {
            answer.map(|json| Value::from_json(json.as_bytes()).ok());
        }
        _ => {}
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&[most, size], stream)) = input.split_first_chunk() else {
        return;
    };
    // Short ones, so that some are too long, and any.
    let most = if most == 0 { stream.len() } else { most.into() };
    let (whole, is_good) = read(stream, most, usize::MAX);
    let in_pieces = read(stream, most, usize::from(size).max(1));
    assert_eq!(in_pieces, (whole.clone(), is_good));
    let mut expected = stream.split(|byte| *byte == b'\n');
    for line in &whole {
        assert!(line.len() <= most);
        assert_eq!(Some(line.as_slice()), expected.next());
    }
    // An end of a line at the end begins no other.
    let rest = expected.next().unwrap_or_default();
    assert!(if is_good {
        rest.is_empty()
    } else {
        rest.len() > most
    });
    let mut parts = Input::default();
    for line in &whole {
        hear(line, &mut parts);
        if let Some(bytes) = std::str::from_utf8(line).ok().and_then(hex::read) {
            assert_eq!(hex::written(&bytes).as_bytes(), line.to_ascii_lowercase());
        }
    }
    parts.value().ok();
});
