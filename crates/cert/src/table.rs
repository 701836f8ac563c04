//! Which certificate is for which name. Pure.

use std::collections::HashMap;
use std::sync::Arc;

/// Something for each name: exact names first, then a star that stands for one label (RFC 9525 section 6.3).
#[derive(Debug, Clone)]
pub struct Table<T> {
    exact: HashMap<String, Arc<T>>,
    /// By what comes behind `*.`.
    wildcard: HashMap<String, Arc<T>>,
    first: Option<Arc<T>>,
}

impl<T> Table<T> {
    /// A table of these and their names in lower case; of two for one name the first counts.
    pub fn new(entries: impl IntoIterator<Item = (Vec<String>, T)>) -> Self {
        let mut table = Self {
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            first: None,
        };
        for (names, entry) in entries {
            let entry = Arc::new(entry);
            table.first.get_or_insert_with(|| Arc::clone(&entry));
            for name in names {
                let (map, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut table.wildcard, String::from(parent)),
                    None => (&mut table.exact, name),
                };
                map.entry(name).or_insert_with(|| Arc::clone(&entry));
            }
        }
        table
    }

    /// What is there for a name in lower case.
    pub fn find(&self, name: &str) -> Option<&Arc<T>> {
        self.exact.get(name).or_else(|| {
            let (_, parent) = name.split_once('.')?;
            self.wildcard.get(parent)
        })
    }

    /// What is there for whoever says no name: the first of all.
    pub const fn first(&self) -> Option<&Arc<T>> {
        self.first.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_name_counts_before_a_star_and_the_first_of_two() {
        let names = |names: &[&str]| names.iter().copied().map(String::from).collect();
        let table = Table::new([
            (names(&["a.example", "*.example"]), 1),
            (names(&["b.example", "a.example"]), 2),
            (names(&["*.b.example"]), 3),
        ]);
        let find = |name| table.find(name).map(|found| **found);
        assert_eq!(find("a.example"), Some(1));
        assert_eq!(find("b.example"), Some(2));
        assert_eq!(find("c.example"), Some(1));
        assert_eq!(find("c.b.example"), Some(3));
        assert_eq!(
            (find("example"), find("x.y.b.example"), find("")),
            (None, None, None)
        );
        assert_eq!(table.first().map(|first| **first), Some(1));
    }
}
