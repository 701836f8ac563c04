//! Where a secret comes from. A file names it and does not hold it.

use std::fmt;
use std::path::PathBuf;

use crate::node::{Node, Scalar, Value};
use crate::problem::{Problem, Problems};

/// Where a secret comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// `file:PATH`: it is in this file. The path is as written.
    File(PathBuf),
    /// `env:NAME`: it is in this environment variable.
    Environment(String),
    /// `${env.NAME}`: this is it, already taken from the environment. Not shown by `Debug`.
    Value(String),
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Environment(name) => f.debug_tuple("Environment").field(name).finish(),
            Self::Value(_) => f.debug_tuple("Value").finish_non_exhaustive(),
        }
    }
}

impl Node {
    /// A secret: `file:PATH`, `env:NAME` or `${env.NAME}`. One that stands in the file itself is
    /// refused, and no message quotes it.
    pub fn secret(&self, problems: &mut Problems) -> Option<SecretSource> {
        let source = self.as_scalar().and_then(source);
        if source.is_none() {
            let message = if self.as_scalar().is_some_and(|scalar| !is_empty(scalar)) {
                "a secret is named here and not written, by file:PATH or env:NAME".to_owned()
            } else {
                format!("wanted file:PATH or env:NAME, found {}", self.describe())
            };
            let problem = Problem::error(self.place(), message);
            problems.push(problem.with_help("for example: file:/etc/adit/password"));
        }
        source
    }
}

fn is_empty(scalar: &Scalar) -> bool {
    scalar.value() == Value::Null || scalar.text().is_empty()
}

fn source(scalar: &Scalar) -> Option<SecretSource> {
    let text = scalar.text();
    if is_empty(scalar) {
        return None;
    }
    // Before anything else: a secret may begin with "file:".
    if scalar.is_from_environment() {
        return Some(SecretSource::Value(text.to_owned()));
    }
    let is_good = |name: &&str| !name.is_empty() && !name.contains('\0');
    let file = text.strip_prefix("file:").filter(is_good);
    let variable = text.strip_prefix("env:").filter(is_good);
    file.map(|path| SecretSource::File(path.into()))
        .or_else(|| variable.map(|name| SecretSource::Environment(name.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Unset, parse};

    fn read(text: &str) -> (Option<SecretSource>, String) {
        let mut document = parse("f.yml", format!("- {text}").as_bytes()).unwrap();
        let mut problems = Problems::new();
        let lookup = |name: &str| (name == "SET").then(|| "file:s3cr3t".to_owned());
        document.resolve_environment(&lookup, Unset::Refuse, &mut problems);
        let node = &document.root().as_sequence().unwrap()[0];
        (node.secret(&mut problems), problems.to_string())
    }

    #[test]
    fn a_secret_is_named_by_the_file_and_not_held() {
        for (text, source) in [
            ("file:/run/x", SecretSource::File("/run/x".into())),
            ("env:PASSWORD", SecretSource::Environment("PASSWORD".into())),
            ("${env.SET}", SecretSource::Value("file:s3cr3t".into())),
        ] {
            assert_eq!(read(text), (Some(source), String::new()), "{text}");
        }
    }

    #[test]
    fn a_secret_in_the_file_is_refused_without_being_shown() {
        let written = "f.yml:1:3: a secret is named here and not written, by file:PATH or env:NAME\n\
            help: for example: file:/etc/adit/password";
        for text in ["s3cr3t", "1234", "true", "'file:'", "'env:'"] {
            assert_eq!(read(text), (None, written.to_owned()), "{text}");
        }
        for (text, found) in [
            ("~", "nothing"),
            ("''", "the text \"\""),
            ("[s3cr3t]", "a list"),
        ] {
            let message = format!(
                "f.yml:1:3: wanted file:PATH or env:NAME, found {found}\n\
                 help: for example: file:/etc/adit/password"
            );
            assert_eq!(read(text), (None, message), "{text}");
        }
    }

    #[test]
    fn debug_does_not_show_a_secret() {
        let shown = format!("{:?}", read("${env.SET}").0);
        assert!(!shown.contains("s3cr3t"), "{shown}");
    }
}
