//! Exit codes, read from a command's description: `Exit codes: 0 this, 1 that. More of it.`

/// A command's description, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Description {
    /// All before the exit codes.
    pub(super) text: String,
    /// Each code and when it is given.
    pub(super) codes: Vec<(String, String)>,
    /// What is said behind the codes.
    pub(super) more: Option<String>,
}

/// Where the codes begin.
const CODES: &str = "Exit codes: ";

impl Description {
    /// Takes a description apart. Without codes all of it is text.
    pub(super) fn read(about: &str) -> Self {
        let Some((text, codes)) = about.split_once(CODES) else {
            return Self {
                text: about.to_owned(),
                codes: Vec::new(),
                more: None,
            };
        };
        let (codes, more) = codes.split_once(". ").unwrap_or((codes, ""));
        let mut read: Vec<(String, String)> = Vec::new();
        for part in codes.trim_end_matches('.').split(", ") {
            match part.split_once(' ') {
                Some((code, when)) if code.parse::<u8>().is_ok() => {
                    read.push((code.to_owned(), when.to_owned()));
                }
                // A comma within a code's words.
                _ => {
                    if let Some((_, when)) = read.last_mut() {
                        when.push_str(", ");
                        when.push_str(part);
                    }
                }
            }
        }
        Self {
            text: text.trim_end().to_owned(),
            codes: read,
            more: Some(more.trim())
                .filter(|more| !more.is_empty())
                .map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_numbers_with_words_and_the_rest_is_more() {
        let read = Description::read("It runs. Exit codes: 0 good, or not, 2 bad. With -W: 1.");
        assert_eq!(read.text, "It runs.");
        let codes: Vec<_> = read
            .codes
            .iter()
            .map(|(c, w)| (c.as_str(), w.as_str()))
            .collect();
        assert_eq!(codes, [("0", "good, or not"), ("2", "bad")]);
        assert_eq!(read.more.as_deref(), Some("With -W: 1."));
    }

    #[test]
    fn a_description_without_codes_is_all_text() {
        let read = Description::read("It runs.");
        assert_eq!(read.text, "It runs.");
        assert!(read.codes.is_empty() && read.more.is_none(), "{read:?}");
    }
}
