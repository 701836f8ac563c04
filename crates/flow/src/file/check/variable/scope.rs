//! Which sources are known where.

/// Which sources are known in some place.
#[derive(Clone, Copy)]
pub(super) struct Scope {
    pub(super) names: &'static [&'static str],
    /// Whether public addresses are.
    pub(super) has_addresses: bool,
    /// Whether it is inside a job that is done for each item of a list.
    is_per_item: bool,
}

impl Scope {
    const fn of(names: &'static [&'static str]) -> Self {
        Self {
            names,
            has_addresses: false,
            is_per_item: false,
        }
    }

    /// The same place in a job that is done for each item.
    pub(super) fn per_item(self, is_per_item: bool) -> Self {
        Self {
            is_per_item,
            ..self
        }
    }

    pub(super) fn names(self) -> impl Iterator<Item = &'static str> {
        let per_item: &[&str] = if self.is_per_item { PER_ITEM } else { &[] };
        self.names.iter().chain(per_item).copied()
    }
}

/// What a job asks for before it is done.
pub(super) const JOB: Scope = Scope::of(&["input", "jobs", "context"]);
/// What it gives, and what its workflow does.
pub(super) const OUTPUT: Scope = Scope::of(&["input", "jobs", "context", "output"]);
/// What it gives instead, when it has failed.
pub(super) const ON_ERROR: Scope = Scope::of(&["input", "jobs", "context", "error"]);
/// What a person is shown before it and after.
pub(super) const INTERRUPT: Scope = Scope::of(&["input", "jobs", "context", "output", "job"]);
const PER_ITEM: &[&str] = &["item", "index"];
pub(super) const CALLBACK: Scope = Scope::of(&["body", "item", "query"]);
pub(super) const ACTION: Scope = Scope {
    has_addresses: true,
    ..Scope::of(&["input", "context", "response", "result", "output"])
};
/// What is not rendered.
pub(super) const NOWHERE: Scope = Scope::of(&[]);
