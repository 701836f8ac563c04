//! What a TLS client says first: the same in whatever pieces it comes, and a name that is one.
#![no_main]

use adit_edge::sni::{LONGEST, Progress, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let whole = read(input);
    for end in 0..input.len() {
        match read(&input[..end]) {
            Ok(Progress::Partial) => {}
            // What is decided stays so.
            decided => assert_eq!(decided, whole),
        }
    }
    match whole {
        Ok(Progress::Partial) => assert!(input.len() < LONGEST),
        Ok(Progress::Whole(hello)) => {
            if let Some(name) = hello.name {
                assert!(!name.is_empty() && name.len() <= 254);
                assert!(!name.bytes().any(|byte| byte.is_ascii_uppercase()));
                assert!(
                    name.bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
                );
            }
        }
        Err(_) => {}
    }
});
