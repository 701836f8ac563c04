//! Headers of the PROXY protocol: read the same in whatever pieces they come, and read back as they were written.
#![no_main]

use adit_edge::proxy_protocol::{BLOCK_LENGTH, Header, Progress, Version, read, write};
use adit_edge::visitor::{Endpoint, Visitor};
use adit_model::lease::Holding;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let whole = read(input);
    // What comes piece by piece is undecided until it is decided, and then for good.
    for end in 0..input.len() {
        let part = read(&input[..end]);
        match (part, whole) {
            (Ok(Progress::Partial), _) => {}
            (Ok(Progress::Whole(..)), whole) => assert_eq!(part, whole),
            (Err(_), whole) => assert!(whole.is_err()),
        }
    }
    match whole {
        Ok(Progress::Partial) => assert!(input.len() < BLOCK_LENGTH),
        Ok(Progress::Whole(header, length)) => {
            assert!(length <= input.len() && length <= BLOCK_LENGTH);
            assert_eq!(read(&input[..length]), whole);
            again(header);
        }
        Err(_) => {}
    }
});

/// A header that was read is written and read again.
fn again(header: Header) {
    let Header::Proxied {
        source,
        destination,
    } = header
    else {
        return;
    };
    let visitor = Visitor {
        holding: Holding::Port(1),
        origin: Endpoint::Tcp(source),
        listener: Endpoint::Tcp(destination),
        via: None,
    };
    for version in [Version::V1, Version::V2] {
        let bytes = write(version, &visitor);
        assert_eq!(read(&bytes), Ok(Progress::Whole(header, bytes.len())));
    }
}
