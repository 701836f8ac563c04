//! This machine's clock, as far as there is anything to hold it against: SSH carries no time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use adit_tunnel::agent::login::credentials::Validity;

use super::diagnosis::{Check, Diagnosis};

/// How far a file's date may be off: time zones, and packages made in another.
const SLACK: Duration = Duration::from_secs(24 * 60 * 60);
/// How long before its end a certificate is worth a word.
const SOON: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const SET: &str = "set the clock: timedatectl set-ntp true";

/// When this program was made, as far as its file says.
pub(super) fn made() -> Option<SystemTime> {
    let file = std::env::current_exe().ok()?;
    file.metadata().ok()?.modified().ok()
}

/// A clock that stands before the program was made is wrong: a board without a battery begins there.
pub(super) fn clock(now: SystemTime, made: Option<SystemTime>) -> Diagnosis {
    let says = format!("this machine's clock says {}", moment(now));
    let is_wrong = made.is_some_and(|made| now.checked_add(SLACK).is_some_and(|now| now < made));
    match made {
        Some(made) if is_wrong => {
            let seen = format!("{says}, before this program was made ({})", moment(made));
            Diagnosis::fail(Check::Clock, seen, SET)
        }
        Some(_) => Diagnosis::ok(
            Check::Clock,
            format!("{says}, after this program was made; the server's cannot be seen over SSH"),
        ),
        None => Diagnosis::ok(Check::Clock, says),
    }
}

/// Whether a certificate is good now, by this machine's clock.
pub(super) fn certificate(what: &str, validity: Validity, now: SystemTime) -> Diagnosis {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let second = since.as_secs();
    let at = |second: u64| {
        let time = UNIX_EPOCH.checked_add(Duration::from_secs(second));
        time.map_or_else(|| String::from("the end of time"), moment)
    };
    let again = "have it signed again (ssh-keygen -s), unless the clock is wrong";
    if second < validity.after {
        let seen = format!("{what} is not good before {}", at(validity.after));
        Diagnosis::warn(Check::Clock, seen, format!("{SET}, or wait"))
    } else if second >= validity.before {
        let seen = format!("{what} is not good any more since {}", at(validity.before));
        Diagnosis::warn(Check::Clock, seen, again)
    } else if validity.before == u64::MAX {
        Diagnosis::ok(Check::Clock, format!("{what} is good for ever"))
    } else {
        let seen = format!("{what} is good until {}", at(validity.before));
        if second.saturating_add(SOON.as_secs()) >= validity.before {
            Diagnosis::warn(Check::Clock, seen, again)
        } else {
            Diagnosis::ok(Check::Clock, seen)
        }
    }
}

fn moment(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::diagnosis::State;
    use super::*;

    fn at(second: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(second)
    }

    #[test]
    fn a_clock_from_before_the_program_is_wrong() {
        let made = at(1_800_000_000);
        for (now, made, state) in [
            (at(1_800_000_001), Some(made), State::Ok),
            (at(1_799_990_000), Some(made), State::Ok),
            (at(1_799_000_000), Some(made), State::Fail),
            (at(12), Some(made), State::Fail),
            (at(12), None, State::Ok),
        ] {
            let diagnosis = clock(now, made);
            assert_eq!(diagnosis.state, state, "{diagnosis}");
        }
        let diagnosis = clock(at(12), Some(made));
        assert!(
            diagnosis.seen.contains("1970-01-01T00:00:12Z"),
            "{diagnosis}"
        );
    }

    #[test]
    fn certificates_have_their_time() {
        let validity = Validity {
            after: 1_000_000,
            before: 3_000_000,
        };
        for (now, state, part) in [
            (999_999, State::Warn, "not good before"),
            (1_000_000, State::Ok, "good until"),
            (2_900_000, State::Warn, "good until"),
            (3_000_000, State::Warn, "not good any more"),
        ] {
            let diagnosis = certificate("k-cert.pub", validity, at(now));
            assert_eq!(diagnosis.state, state, "{diagnosis}");
            assert!(diagnosis.seen.contains(part), "{diagnosis}");
        }
        let validity = Validity {
            after: 0,
            before: u64::MAX,
        };
        assert_eq!(certificate("c", validity, at(5)).state, State::Ok);
    }
}
