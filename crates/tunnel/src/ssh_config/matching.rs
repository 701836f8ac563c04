//! Which blocks apply: the patterns of `Host`, the criteria of `Match`.

use super::error::Problem;
use super::parse::{Word, cut};
use crate::pattern::{matches_exact_list, matches_exact_pattern, matches_list};

/// What criteria are held against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances<'a> {
    /// The host as far as it is known by now, `HostName` looked at.
    pub(super) host: &'a str,
    /// The host as it was asked for.
    pub(super) original: &'a str,
    /// The user there, as far as known by now.
    pub(super) user: &'a str,
    /// The user here.
    pub(super) local_user: &'a str,
    /// Whether the files are read for the second time.
    pub(super) is_final: bool,
}

/// Whether a `Match` block applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// As far as all criteria go that can be answered.
    pub(super) applies: bool,
    /// `final` is among the criteria: the files are read once more.
    pub(super) wants_final: bool,
    /// A criterion that is never answered here, such as `exec`.
    pub(super) unanswered: Option<String>,
}

/// Criteria that OpenSSH has and that cannot be answered here: they run programs, look at network
/// interfaces or at what else ssh(1) was called with.
const UNANSWERABLE: [&str; 6] = [
    "exec",
    "tagged",
    "localnetwork",
    "command",
    "sessiontype",
    "version",
];

/// Whether a `Host` line names the host: one of its patterns matches and none behind a `!` does.
/// Letters count with their case, as in OpenSSH.
pub(super) fn is_host_named(words: &[Word], host: &str) -> Result<bool, Problem> {
    let mut is_named = false;
    for word in words {
        let pattern = word.text.as_str();
        if pattern.is_empty() {
            return Err(Problem::EmptyWord);
        }
        let (is_negated, pattern) = match pattern.strip_prefix('!') {
            Some(pattern) => (true, pattern),
            None => (false, pattern),
        };
        if matches_exact_pattern(host.as_bytes(), pattern.as_bytes()) {
            if is_negated {
                return Ok(false);
            }
            is_named = true;
        }
    }
    Ok(is_named)
}

/// Holds the criteria of a `Match` line against the circumstances. All of them must be met; one that
/// cannot be answered matters only when the others are.
pub(super) fn answer(criteria: &str, at: Circumstances<'_>) -> Result<Answer, Problem> {
    let mut answer = Answer {
        applies: true,
        wants_final: false,
        unanswered: None,
    };
    let mut count = 0_usize;
    let mut rest = criteria;
    loop {
        let (word, after) = cut(rest).ok_or(Problem::OpenQuote)?;
        if word.is_empty() && after.is_empty() || word.starts_with('#') {
            break;
        }
        rest = after;
        let (is_negated, name) = match word.strip_prefix('!') {
            Some(name) => (true, name.to_ascii_lowercase()),
            None => (false, word.to_ascii_lowercase()),
        };
        if name == "all" {
            // After one `canonical` or `final` it may stand, as in OpenSSH.
            if count > 1 || !(rest.is_empty() || rest.starts_with('#')) {
                return Err(Problem::AllNotAlone);
            }
            answer.applies &= !is_negated;
            return Ok(answer);
        }
        count = count.saturating_add(1);
        if name == "canonical" || name == "final" {
            answer.wants_final |= name == "final";
            answer.applies &= at.is_final != is_negated;
            continue;
        }
        let is_known = matches!(
            name.as_str(),
            "host" | "originalhost" | "user" | "localuser"
        );
        if !is_known && !UNANSWERABLE.contains(&name.as_str()) {
            return Err(Problem::UnknownCriterion(name));
        }
        let (patterns, after) = cut(rest).ok_or(Problem::OpenQuote)?;
        rest = after;
        if patterns.is_empty() || patterns.starts_with('#') {
            return Err(Problem::CriterionWithoutValue(name));
        }
        let patterns = patterns.as_bytes();
        let is_met = match name.as_str() {
            "host" => matches_list(at.host.as_bytes(), patterns),
            "originalhost" => matches_list(at.original.as_bytes(), patterns),
            "user" => matches_exact_list(at.user.as_bytes(), patterns),
            "localuser" => matches_exact_list(at.local_user.as_bytes(), patterns),
            _ => {
                answer.unanswered.get_or_insert(name);
                continue;
            }
        };
        answer.applies &= is_met != is_negated;
    }
    if count == 0 {
        return Err(Problem::NoCriterion);
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh_config::parse::words;

    const AT: Circumstances<'_> = Circumstances {
        host: "db.example.org",
        original: "Db",
        user: "Me",
        local_user: "local",
        is_final: false,
    };

    #[test]
    fn host_lines_name_hosts_unless_a_negation_matches() {
        for (patterns, expected) in [
            ("Db", true),
            ("db", false),
            ("*", true),
            ("D?", true),
            ("D? !Db", false),
            ("!Db D?", false),
            ("!x *", true),
            ("!x", false),
            ("Db,x", false),
            ("x Db", true),
        ] {
            let words = words(patterns, 1).unwrap();
            assert_eq!(is_host_named(&words, "Db"), Ok(expected), "{patterns}");
        }
        let empty = words("'' Db", 1).unwrap();
        assert_eq!(is_host_named(&empty, "Db"), Err(Problem::EmptyWord));
    }

    #[test]
    fn all_criteria_must_be_met() {
        for (criteria, applies) in [
            ("all", true),
            ("!all", false),
            ("all # comment", true),
            ("host *.example.org", true),
            ("host *.EXAMPLE.org", true),
            ("host a,*.org,!db.*", false),
            ("!host a", true),
            ("originalhost db", true),
            ("originalhost \"db\" user Me", true),
            ("user me", false),
            ("user=Me", true),
            ("localuser local,root host *", true),
            ("localuser local host x", false),
            ("final host *", false),
            ("!final host *", true),
            ("canonical all", false),
            ("!canonical all", true),
        ] {
            assert_eq!(answer(criteria, AT).unwrap().applies, applies, "{criteria}");
        }
    }

    #[test]
    fn a_criterion_that_cannot_be_answered_is_kept_for_when_it_matters() {
        for (criteria, applies) in [
            ("exec \"test -e x\"", true),
            ("host db.* exec true user Me", true),
            ("exec true user x", false),
            ("!exec true user x", false),
        ] {
            let answer = answer(criteria, AT).unwrap();
            assert_eq!(answer.applies, applies, "{criteria}");
            assert_eq!(answer.unanswered.as_deref(), Some("exec"), "{criteria}");
        }
    }

    #[test]
    fn criteria_that_are_none_are_refused() {
        for (criteria, expected) in [
            ("# nothing", Problem::NoCriterion),
            ("host", Problem::CriterionWithoutValue(String::from("host"))),
            (
                "host # x",
                Problem::CriterionWithoutValue(String::from("host")),
            ),
            ("hosts a", Problem::UnknownCriterion(String::from("hosts"))),
            ("all host a", Problem::AllNotAlone),
            ("host a user b all", Problem::AllNotAlone),
            ("host \"a", Problem::OpenQuote),
        ] {
            assert_eq!(answer(criteria, AT), Err(expected), "{criteria}");
        }
    }
}
