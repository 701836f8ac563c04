//! Where requests of HTTP/1.1 begin and end: the same in whatever pieces their bytes come.
#![no_main]

use adit_edge::http::handed_on;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((piece, bytes)) = input.split_first() else {
        return;
    };
    let whole = handed_on(bytes, bytes.len().max(1));
    assert!(whole.0 <= bytes.len());
    let pieces = handed_on(bytes, usize::from(*piece).max(1));
    assert_eq!(pieces.1, whole.1);
    // What was wrong in a body shows behind what came before it.
    assert!(pieces.0 == whole.0 || (whole.1.is_some() && pieces.0 > whole.0));
});
