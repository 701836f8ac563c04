//! Patterns as OpenSSH writes them: `*` stands for any text, `?` for one byte, and in a list parted
//! by commas a `!` before a pattern takes away what another gave.

/// Longest pattern that OpenSSH looks at; a longer one ends the match.
const PATTERN_LENGTH: usize = 1_022;

/// Whether a list of patterns names `host`: one of them matches and none behind a `!` does. Letters
/// match in either case.
pub(crate) fn matches_list(host: &[u8], patterns: &[u8]) -> bool {
    is_listed(host, patterns, matches_pattern)
}

/// The same, where letters count with their case.
pub(crate) fn matches_exact_list(text: &[u8], patterns: &[u8]) -> bool {
    is_listed(text, patterns, matches_exact_pattern)
}

fn is_listed(host: &[u8], patterns: &[u8], matches: fn(&[u8], &[u8]) -> bool) -> bool {
    let mut has_match = false;
    for pattern in patterns.split(|byte| *byte == b',') {
        let (is_negated, pattern) = match pattern.strip_prefix(b"!") {
            Some(rest) => (true, rest),
            None => (false, pattern),
        };
        if pattern.len() > PATTERN_LENGTH {
            return false;
        }
        if matches(host, pattern) {
            if is_negated {
                return false;
            }
            has_match = true;
        }
    }
    has_match
}

/// `*` stands for any bytes, `?` for one; letters match in either case. Takes at most
/// host x pattern steps, since a later `*` never needs what an earlier one could still give up.
pub(crate) fn matches_pattern(host: &[u8], pattern: &[u8]) -> bool {
    matches_by(host, pattern, |a, b| a.eq_ignore_ascii_case(&b))
}

/// The same, where letters count with their case.
pub(crate) fn matches_exact_pattern(text: &[u8], pattern: &[u8]) -> bool {
    matches_by(text, pattern, |a, b| a == b)
}

fn matches_by(host: &[u8], pattern: &[u8], is_same: fn(u8, u8) -> bool) -> bool {
    let (mut host, mut pattern) = (host, pattern);
    // Where to go on when the bytes after the last star do not match: one byte further.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), host.split_first()) {
            (Some((b'*', rest)), _) => {
                star = Some((host, rest));
                pattern = rest;
                continue;
            }
            (None, None) => return true,
            (Some((wanted, pattern_rest)), Some((byte, host_rest)))
                if *wanted == b'?' || is_same(*wanted, *byte) =>
            {
                pattern = pattern_rest;
                host = host_rest;
                continue;
            }
            (Some(_), _) | (None, Some(_)) => {}
        }
        let Some(([_, later @ ..], after)) = star else {
            return false;
        };
        star = Some((later, after));
        host = later;
        pattern = after;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_long_pattern_takes_no_long_time() {
        let host = "a".repeat(500);
        let pattern = "a*".repeat(500) + "b";
        assert!(!matches_pattern(host.as_bytes(), pattern.as_bytes()));
    }

    #[test]
    fn the_case_of_letters_counts_where_it_is_asked_for() {
        assert!(matches_list(b"Db", b"x,d*"));
        assert!(!matches_exact_list(b"Db", b"x,d*"));
        assert!(matches_exact_list(b"Db", b"x,D*"));
        assert!(!matches_exact_list(b"Db", b"D*,!?b"));
    }

    proptest! {
        #[test]
        fn a_pattern_matches_as_a_slow_and_plain_matcher_says(
            host in "[ab.]{0,8}", pattern in "[ab.*?]{0,8}",
        ) {
            let fast = matches_pattern(host.as_bytes(), pattern.as_bytes());
            prop_assert_eq!(fast, slow(host.as_bytes(), pattern.as_bytes()));
        }
    }

    fn slow(host: &[u8], pattern: &[u8]) -> bool {
        match (pattern, host) {
            ([], _) => host.is_empty(),
            ([b'*', rest @ ..], _) => (0..=host.len()).any(|skip| slow(&host[skip..], rest)),
            (_, []) => false,
            ([wanted, rest @ ..], [byte, later @ ..]) => {
                (*wanted == b'?' || wanted == byte) && slow(later, rest)
            }
        }
    }
}
