//! A gateway: what it is made of, how it begins, and how it ends.

pub(crate) mod directory;
pub(crate) mod settings;
pub(crate) mod trusted;
