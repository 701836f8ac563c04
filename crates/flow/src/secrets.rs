//! Secrets by their values: whatever is printed or reported goes through [`Secrets::mask`] (rule G88).
//!
//! A value is found word for word, and as it looks in JSON and in a URL. Values that share
//! characters in a text are masked together, so that no part of either is left. What is shorter than
//! [`SHORTEST`] is not masked: `dev` in a password would blank half of every message, and gives away
//! nothing that a guess would not.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

/// The fewest characters of a value that is masked (security rule G88).
pub const SHORTEST: usize = 6;

/// What stands in a secret's place.
pub const MASK: &str = "***";

/// Values that nobody is to read. `Debug` says how many there are.
#[derive(Clone, Default)]
pub struct Secrets {
    /// Each in every form, none twice.
    forms: Vec<Zeroizing<String>>,
}

impl Secrets {
    /// None yet.
    pub const fn new() -> Self {
        Self { forms: Vec::new() }
    }

    /// Masks this value from now on. White space around it, such as the line end of the file that it
    /// came from, does not count.
    pub fn insert(&mut self, value: &str) {
        let value = value.trim();
        if value.chars().count() < SHORTEST {
            return;
        }
        self.add(value.to_owned());
        if let Ok(quoted) = serde_json::to_string(value) {
            let inner = quoted.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
            self.add(inner.unwrap_or_default().to_owned());
        }
        self.add(utf8_percent_encode(value, &COMPONENT).to_string());
        self.add(form_urlencoded::byte_serialize(value.as_bytes()).collect());
    }

    fn add(&mut self, form: String) {
        let form = Zeroizing::new(form);
        if !form.is_empty() && !self.forms.contains(&form) {
            self.forms.push(form);
        }
    }

    /// Whether there is nothing to mask.
    pub fn is_empty(&self) -> bool {
        self.forms.is_empty()
    }

    /// The text with [`MASK`] wherever a secret was. Costs one search for each secret.
    pub fn mask<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut found: Vec<(usize, usize)> = Vec::new();
        for form in &self.forms {
            find(text, form, &mut found);
        }
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        found.sort_unstable();
        let mut masked = String::with_capacity(text.len());
        let mut shown = 0;
        let mut hidden = 0;
        for (start, end) in found {
            if start > hidden || hidden == 0 {
                masked.push_str(text.get(shown..start).unwrap_or_default());
                masked.push_str(MASK);
            }
            hidden = hidden.max(end);
            shown = hidden;
        }
        masked.push_str(text.get(shown..).unwrap_or_default());
        Cow::Owned(masked)
    }
}

/// Where `form` is in `text`, also where it overlaps itself.
fn find(text: &str, form: &str, found: &mut Vec<(usize, usize)>) {
    let step = form.chars().next().map_or(1, char::len_utf8);
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find(form)) {
        let start = from + at;
        found.push((start, start + form.len()));
        from = start + step;
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets")
            .field("forms", &self.forms.len())
            .finish()
    }
}

impl<T: AsRef<str>> FromIterator<T> for Secrets {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut secrets = Self::new();
        for value in values {
            secrets.insert(value.as_ref());
        }
        secrets
    }
}

/// What `encodeURIComponent` writes as `%XX`.
const COMPONENT: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_secret_is_masked_wherever_it_stands() {
        let secrets: Secrets = ["hunter22", "s3cr3t&key=", "short", " from-a-file\n"]
            .into_iter()
            .collect();
        for (text, masked) in [
            ("password is hunter22", "password is ***"),
            ("hunter22hunter22", "***"),
            ("hunter22, hunter22", "***, ***"),
            ("?key=s3cr3t%26key%3D&x", "?key=***&x"),
            ("short", "short"),
            ("at from-a-file.", "at ***."),
            ("nothing", "nothing"),
            ("", ""),
        ] {
            assert_eq!(secrets.mask(text), masked);
        }
        assert_eq!(format!("{secrets:?}"), "Secrets { forms: 4 }");
    }

    #[test]
    fn a_text_without_secrets_is_not_copied() {
        let secrets: Secrets = ["hunter22"].into_iter().collect();
        assert!(matches!(secrets.mask("plain"), Cow::Borrowed("plain")));
    }

    #[test]
    fn secrets_that_share_characters_leave_no_part_of_either() {
        let secrets: Secrets = ["abcdef", "defghi", "abcdefxyz", "ababab"]
            .into_iter()
            .collect();
        assert_eq!(secrets.mask("-abcdefghi-"), "-***-");
        assert_eq!(secrets.mask("-abcdefxyz-"), "-***-");
        assert_eq!(secrets.mask("-abababab-"), "-***-");
    }

    #[test]
    fn a_secret_is_masked_in_json_and_in_a_url() {
        let value = "pass \"wörd\"\\";
        let secrets: Secrets = [value].into_iter().collect();
        let json = serde_json::to_string(&format!("x{value}x")).unwrap();
        assert_eq!(secrets.mask(&json), "\"x***x\"");
        let pair = form_urlencoded::Serializer::new(String::new())
            .append_pair("k", value)
            .finish();
        assert_eq!(secrets.mask(&pair), "k=***");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn no_secret_is_left_and_nothing_else_is_lost(
            values in prop::collection::vec("[abcé]{6,9}", 1..4),
            parts in prop::collection::vec("[abcé-]{0,12}", 0..6),
            picks in prop::collection::vec(0_usize..4, 0..6),
        ) {
            let secrets: Secrets = values.iter().collect();
            let mut text = String::new();
            for (at, part) in parts.iter().enumerate() {
                text.push_str(part);
                if let Some(value) = picks.get(at).and_then(|pick| values.get(*pick)) {
                    text.push_str(value);
                }
            }
            let masked = secrets.mask(&text).into_owned();
            for value in &values {
                prop_assert!(!masked.contains(value.as_str()), "{masked} has {value}");
            }
            // What is shown is the text around the masks, in order.
            let mut rest = text.as_str();
            for shown in masked.split(MASK) {
                let at = rest.find(shown);
                prop_assert!(at.is_some(), "{shown:?} is not in {rest:?}");
                rest = rest.split_at(at.unwrap() + shown.len()).1;
            }
            if masked == text {
                prop_assert!(values.iter().all(|value| !text.contains(value.as_str())));
            }
            prop_assert_eq!(secrets.mask(&masked).into_owned(), masked);
        }
    }
}
