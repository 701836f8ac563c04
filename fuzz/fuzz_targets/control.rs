//! Frames of `control@adit`, from either end: a message that is written again says the same, or an error.
#![no_main]

use adit_tunnel::control::{Frames, ToAgent, ToGateway, frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&first, bytes)) = input.split_first() else {
        return;
    };
    let mut frames = Frames::default();
    for piece in bytes.chunks(usize::from(first).max(1)) {
        frames.push(piece);
        let is_over = if first % 2 == 0 {
            read::<ToGateway>(&mut frames)
        } else {
            read::<ToAgent>(&mut frames)
        };
        if is_over {
            return;
        }
    }
});

/// Reads all that is whole. Says whether nothing more can be read.
fn read<M>(frames: &mut Frames) -> bool
where
    M: serde::de::DeserializeOwned + serde::Serialize + PartialEq + std::fmt::Debug,
{
    loop {
        match frames.take::<M>() {
            Ok(Some(message)) => {
                let mut again = Frames::default();
                again.push(&frame(&message).unwrap());
                assert_eq!(again.take::<M>().unwrap(), Some(message));
            }
            Ok(None) => return false,
            Err(_) => return true,
        }
    }
}
