//! A grant in words, for people.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Text;

/// What an agent may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantSummary {
    /// Ports that it may listen on.
    pub ports: Text,
    /// Whether it may ask for any free one of them.
    pub any_port: bool,
    /// Where they may be.
    pub reach: Text,
    /// How many forwards it may have, where that is limited.
    pub forwards: Option<u32>,
    /// Until when, where that is limited.
    pub until: Option<Text>,
    /// Names. Since version 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<NameSummary>,
}

/// Which names an agent may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NameSummary {
    /// Those of its grant, by name and pattern; as many as there is room for.
    pub patterns: Vec<Text>,
    /// How many there are besides.
    pub more: u32,
    /// Whether one is drawn for it where it asks for none.
    pub any: bool,
    /// Whether it may have domains that it proves to be its own.
    pub own_domains: bool,
}

/// What a grant without ports has for them.
const NO_PORTS: &str = "none";

impl GrantSummary {
    /// The version that has had all of it first.
    pub(super) const fn since(&self) -> u32 {
        if self.names.is_some() { 3 } else { 1 }
    }
}

impl NameSummary {
    /// Most patterns of a message.
    pub const PATTERNS: usize = 32;

    fn is_empty(&self) -> bool {
        self.patterns.is_empty() && !self.any && !self.own_domains
    }

    fn clauses(&self, all: &mut Vec<String>) {
        let mut patterns: Vec<String> = (self.patterns.iter())
            .map(|pattern| pattern.shown().to_string())
            .collect();
        match self.more {
            0 => {}
            1 => patterns.push(String::from("one more")),
            more => patterns.push(format!("{more} more")),
        }
        let last = patterns.pop();
        match (patterns.is_empty(), last) {
            (_, None) => {}
            (true, Some(only)) => all.push(format!("have the name {only}")),
            (false, Some(last)) => {
                let others = patterns.join(", ");
                all.push(format!("have the names {others} and {last}"));
            }
        }
        if self.any {
            all.push(String::from("be given a name where it asks for none"));
        }
        if self.own_domains {
            all.push(String::from("have domains that it proves to be its own"));
        }
    }
}

/// What follows on the name of who may do it.
impl fmt::Display for GrantSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut clauses = Vec::new();
        if let Some(names) = &self.names {
            names.clauses(&mut clauses);
        }
        let ports = self.ports.shown();
        if ports.as_str() != NO_PORTS {
            let any = if self.any_port {
                ", any free one of them for port 0,"
            } else {
                ""
            };
            clauses.push(format!(
                "listen on ports {ports}{any} at {}",
                self.reach.shown()
            ));
        }
        if clauses.is_empty() {
            let has_names = self.names.as_ref().is_some_and(|names| !names.is_empty());
            debug_assert!(!has_names, "names have clauses");
            return f.write_str("may have no name and listen on no port");
        }
        write!(f, "may {}", clauses.join("; "))?;
        if let Some(forwards) = self.forwards {
            write!(f, "; {forwards} forwards at most")?;
        }
        match &self.until {
            Some(until) => write!(f, "; until {}", until.shown()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(ports: &str, names: Option<NameSummary>) -> GrantSummary {
        GrantSummary {
            ports: Text::new(ports),
            any_port: true,
            reach: Text::new("every address"),
            forwards: None,
            until: None,
            names,
        }
    }

    fn names(patterns: &[&str], more: u32, any: bool) -> NameSummary {
        NameSummary {
            patterns: patterns.iter().copied().map(Text::new).collect(),
            more,
            any,
            own_domains: any,
        }
    }

    #[test]
    fn a_grant_is_a_sentence_of_what_it_gives_and_says_nothing_of_the_rest() {
        for (grant, words) in [
            (
                summary("none", None),
                "may have no name and listen on no port",
            ),
            (
                summary("none", Some(names(&[], 0, false))),
                "may have no name and listen on no port",
            ),
            (
                summary("none", Some(names(&["shop"], 0, false))),
                "may have the name shop",
            ),
            (
                summary(
                    "none",
                    Some(names(&["shop", "web-*", "a.example"], 0, false)),
                ),
                "may have the names shop, web-* and a.example",
            ),
            (
                summary("none", Some(names(&["shop"], 7, true))),
                "may have the names shop and 7 more; be given a name where it asks for none; have domains that it \
                 proves to be its own",
            ),
            (
                summary("8080,9000-9010", Some(names(&["shop"], 0, false))),
                "may have the name shop; listen on ports 8080,9000-9010, any free one of them for port 0, at every \
                 address",
            ),
        ] {
            assert_eq!(grant.to_string(), words);
        }
        let mut limited = summary("22", None);
        limited.any_port = false;
        limited.forwards = Some(2);
        limited.until = Some(Text::new("tomorrow\x1b"));
        let words =
            "may listen on ports 22 at every address; 2 forwards at most; until tomorrow\\u{1b}";
        assert_eq!(limited.to_string(), words);
    }

    #[test]
    fn who_knows_no_names_is_told_of_none_in_words_that_it_knows() {
        let old = summary("22", None);
        assert_eq!(old.since(), 1);
        let text = serde_json::to_string(&old).unwrap();
        assert!(!text.contains("names"), "{text}");
        assert_eq!(serde_json::from_str::<GrantSummary>(&text).unwrap(), old);
        assert_eq!(summary("22", Some(names(&[], 0, false))).since(), 3);
    }
}
