//! Variables whose values no message may show: those that stand where a secret does, and those that are called
//! what secrets are called (security rule G88).
//!
//! Other than a [private](super::private) variable, one of these may well be a component's: the key of an API in a
//! header, say.

use std::collections::BTreeSet;

use adit_text::{Content, Node, Scalar};

/// Whether a variable is called what secrets are called: the last of its words says so, as in `OPENAI_API_KEY`.
pub fn is_secret_name(name: &str) -> bool {
    let last = name.rsplit('_').next().unwrap_or_default();
    is_word(&WORDS, last) || is_word(&VARIABLE_WORDS, last)
}

/// The variables that stand where a secret does: `password: ${env.LOGIN}`, `X-Api-Key: ${env.LOGIN}`, and those in the
/// `env:NAME` of such a place.
pub(super) fn variables(root: &Node) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    search(root, false, &mut found);
    found
}

/// Recurses at most [`adit_text::limits::DEPTH`] times.
fn search(node: &Node, is_secret: bool, found: &mut BTreeSet<String>) {
    match node.content() {
        Content::Scalar(scalar) if is_secret => found.extend(named(scalar)),
        Content::Scalar(_) => {}
        Content::Sequence(nodes) => nodes.iter().for_each(|node| search(node, is_secret, found)),
        Content::Mapping(mapping) => {
            for entry in mapping.entries() {
                search(&entry.node, is_secret_key(&entry.key), found);
            }
        }
    }
}

/// Whether what stands behind a key is a secret.
fn is_secret_key(key: &str) -> bool {
    match key.rsplit_once(['_', '-', '.', ' ']) {
        None => is_word(&WORDS, key) || is_word(&HEADERS, key),
        Some((_, last)) => {
            is_word(&WORDS, last) || is_word(&HEADERS, last) || last.eq_ignore_ascii_case("key")
        }
    }
}

fn is_word(words: &[&str], word: &str) -> bool {
    words.iter().any(|one| one.eq_ignore_ascii_case(word))
}

/// The variables in a secret. Of the path of a file that it is in, none is one.
fn named(secret: &Scalar) -> Vec<String> {
    let text = secret.text();
    if text.starts_with("file:") {
        return Vec::new();
    }
    let short = text.strip_prefix("env:").filter(|name| !name.is_empty());
    let short = short.filter(|_| !secret.is_from_environment());
    let variables = secret.variables().chain(short);
    variables.map(str::to_owned).collect()
}

/// Last words of what is a secret, wherever it stands.
const WORDS: [&str; 8] = [
    "apikey",
    "token",
    "authtoken",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "bearer",
];

/// Last words of variables alone: a `key` in a file is anything, and `credentials` are mostly a path.
const VARIABLE_WORDS: [&str; 3] = ["key", "credential", "credentials"];

/// Headers that are nothing but a secret, and `auth` where it is one word and no mapping.
const HEADERS: [&str; 3] = ["authorization", "cookie", "auth"];

#[cfg(test)]
mod tests {
    use adit_text::Problems;

    use super::*;
    use crate::file::{Dialect, Environment, Files, Source};

    #[test]
    fn names_of_secrets_are_known_by_their_last_word() {
        for (name, is_secret) in [
            ("OPENAI_API_KEY", true),
            ("TOKEN", true),
            ("db_password", true),
            ("KEY", true),
            ("SSH_KEYFILE", false),
            ("MAX_TOKENS", false),
            ("PASSWORD_FILE", false),
            ("", false),
        ] {
            assert_eq!(is_secret_name(name), is_secret, "{name}");
        }
    }

    #[test]
    fn a_variable_is_secret_where_a_secret_stands() {
        let file = b"
gateway: {auth: {type: '${env.KIND}', username: '${env.USER_NAME}', password: '${env.LOGIN}'}}
listener: {auth: {type: hmac, secret: env:SIGNS, header: '${env.NAMED}'}}
controller: {token: 'file:${env.FOLDER}/token'}
component:
  type: http-client
  headers: {Authorization: 'Bearer ${env.ONE}', X-Api-Key: '${env.TWO}', X-Trace: '${env.THREE}'}
  body: {key: '${env.FOUR}', secret: ['${env.FIVE}'], token: {limit: '${env.SIX}'}}
";
        let mut environment = Environment::default();
        for name in [
            "KIND",
            "USER_NAME",
            "LOGIN",
            "NAMED",
            "FOLDER",
            "ONE",
            "TWO",
            "THREE",
            "FOUR",
            "FIVE",
            "SIX",
        ] {
            environment.say(&format!("{name}=x")).unwrap();
        }
        let source = Source {
            name: "f.yml",
            bytes: file,
            dialect: Dialect::Adit,
        };
        let mut problems = Problems::new();
        let files = Files::parse(&[source], &environment, &mut problems);
        let files = files.unwrap_or_else(|| panic!("{problems}"));
        let found = variables(files.root());
        let found: Vec<&str> = found.iter().map(String::as_str).collect();
        assert_eq!(found, ["FIVE", "LOGIN", "ONE", "SIGNS", "TWO"]);
    }
}
