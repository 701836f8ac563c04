//! Enrolment codes as they are typed: one that is read is written in one way, and says the same when it is read again.
#![no_main]

use adit_tunnel::enroll::{Code, CodeId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if let Ok(id) = text.parse::<CodeId>() {
        assert_eq!(id.to_string().parse(), Ok(id));
    }
    let Ok(code) = text.parse::<Code>() else {
        return;
    };
    let written = code.text();
    let again: Code = written.parse().expect("what is written is a code");
    assert_eq!(again.id(), code.id());
    assert_eq!(again.host(), code.host());
    assert_eq!(again.hash(), code.hash());
    assert_eq!(*again.text(), *written);
    // It shows no more than its id, however it is shown.
    assert!(!format!("{code:?}").contains(written.as_str()));
});
