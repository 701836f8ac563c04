//! SOCKS dialogs: what a visitor says leads to the same place in whatever pieces it comes.
#![no_main]

use adit_tunnel::agent::socks::{Dialog, SocksError, Step};
use libfuzzer_sys::fuzz_target;

/// What was answered, and where it led: host, port and the first bytes for there.
type Outcome = (Vec<u8>, Result<Option<(String, u16, Vec<u8>)>, SocksError>);

fn play<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let mut dialog = Dialog::new();
    let mut answered = Vec::new();
    let mut found = None;
    for piece in pieces {
        dialog.hear(piece);
        while found.is_none() {
            match dialog.step() {
                Ok(Some(Step::Answer(answer))) => answered.extend_from_slice(answer),
                Ok(Some(Step::Wanted(wanted))) => found = Some(wanted),
                Ok(None) => break,
                Err(error) => return (answered, Err(error)),
            }
        }
    }
    let rest = dialog.into_rest();
    (
        answered,
        Ok(found.map(|found| (found.host, found.port, rest))),
    )
}

fuzz_target!(|input: &[u8]| {
    let Some((&size, said)) = input.split_first() else {
        return;
    };
    let whole = play(std::iter::once(said));
    assert_eq!(play(said.chunks(usize::from(size.max(1)))), whole);
    if let (_, Ok(Some((host, port, _)))) = &whole {
        assert!((1..=255).contains(&host.len()) && host.bytes().all(|it| it.is_ascii_graphic()));
        assert!(*port > 0);
    }
});
