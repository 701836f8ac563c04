//! What an ssh-agent answers.
#![no_main]

use adit_ssh::algorithm::KeyAlgorithm;
use adit_ssh::ssh_agent;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut frames = ssh_agent::Frames::new();
    for piece in input.chunks(37) {
        if frames.receive(piece).is_err() {
            break;
        }
        while let Ok(Some(message)) = frames.next_message() {
            answers(&message);
        }
    }
    answers(input);
});

fn answers(message: &[u8]) {
    ssh_agent::parse_identities(message).ok();
    ssh_agent::parse_binding(message).ok();
    for algorithm in KeyAlgorithm::ALL {
        ssh_agent::parse_signature(message, *algorithm).ok();
    }
}
