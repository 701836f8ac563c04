//! Files of authorized keys: every line counts, is refused at a place that it has, or says nothing.
#![no_main]

use adit_model::grant::{Grant, Reach};
use adit_tunnel::gateway::authorized_keys::{AuthorizedKeys, Defaults};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&first, content)) = input.split_first() else {
        return;
    };
    let reach = match first % 3 {
        0 => Reach::Local,
        1 => Reach::Asked,
        _ => Reach::Public,
    };
    let grant = Grant {
        ports: "10000-20000".parse().unwrap(),
        reach,
        ..Grant::default()
    };
    let zone = jiff::tz::TimeZone::UTC;
    let defaults = Defaults { grant, zone };
    let Ok(keys) = AuthorizedKeys::parse(content, &defaults) else {
        return;
    };
    let lines: Vec<&[u8]> = content.split(|byte| *byte == b'\n').collect();
    for rejected in &keys.rejected {
        let line = lines[rejected.line - 1];
        assert!((1..=line.len() + 1).contains(&rejected.column));
        assert!(!rejected.to_string().chars().any(char::is_control));
    }
    for line in &keys.lines {
        assert!(!line.comment.chars().any(char::is_control));
        // Alone it says the same.
        let alone = AuthorizedKeys::parse(lines[line.number - 1], &defaults).unwrap();
        assert_eq!(alone.lines[0].grant, line.grant);
        assert_eq!(alone.lines[0].fingerprint, line.fingerprint);
        // A grant of the store's: what is written is what is read.
        for asked in ["localhost", "", "192.0.2.1"] {
            for port in [22, 10_000] {
                if let Ok(scope) = line.grant.listen(asked, port) {
                    assert!(line.grant.ports.contains(port));
                    assert!(reach != Reach::Local || !scope.is_public());
                }
            }
        }
    }
});
