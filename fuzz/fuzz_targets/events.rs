//! Events of servers: the first byte says how the rest comes in pieces.
#![no_main]

use adit_flow::http::{EVENT_BYTES, EventParser};
use libfuzzer_sys::fuzz_target;

/// All events of a stream. Inputs are far shorter than the longest event.
fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let mut parser = EventParser::new();
    let mut events = Vec::new();
    for piece in pieces {
        parser.push(piece).expect("no event is too long");
        events.extend(std::iter::from_fn(|| parser.next_event()).map(|event| event.to_vec()));
    }
    events
}

fuzz_target!(|input: &[u8]| {
    let Some((size, stream)) = input.split_first() else {
        return;
    };
    if stream.len() > EVENT_BYTES {
        return;
    }
    let whole = read(std::iter::once(stream));
    let pieces = stream.chunks(usize::from(*size).max(1));
    assert_eq!(read(pieces), whole);
    let bytes: usize = whole.iter().map(Vec::len).sum();
    assert!(bytes <= stream.len());
    assert!(whole.iter().all(|event| !event.contains(&b'\r')));
});
