//! The words after an example's name: `--name value`, each name once.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Display;
use std::str::FromStr;

/// What a measurement failed of, for the person who started it.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// Values by their names.
pub(crate) struct Arguments(BTreeMap<String, String>);

impl Arguments {
    /// Reads the command line. Only these names are known.
    pub(crate) fn read(names: &[&str]) -> Result<Self, Failure> {
        let mut values = BTreeMap::new();
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").unwrap_or_default();
            if !names.contains(&name) {
                let known = names.join(" N --");
                return Err(format!("unknown argument {word}; there are: --{known} N").into());
            }
            let value = words.next();
            let value = value.ok_or_else(|| format!("--{name} needs a value"))?;
            values.insert(name.to_owned(), value);
        }
        Ok(Self(values))
    }

    /// The value of that name, if it was given.
    pub(crate) fn find<T>(&self, name: &str) -> Result<Option<T>, Failure>
    where
        T: FromStr,
        T::Err: Display,
    {
        let Some(text) = self.0.get(name) else {
            return Ok(None);
        };
        let value = text.parse();
        value
            .map(Some)
            .map_err(|error| format!("--{name} {text}: {error}").into())
    }

    /// The value of that name, which must have been given.
    pub(crate) fn need<T>(&self, name: &str) -> Result<T, Failure>
    where
        T: FromStr,
        T::Err: Display,
    {
        let value = self.find(name)?;
        value.ok_or_else(|| format!("--{name} is missing").into())
    }
}
