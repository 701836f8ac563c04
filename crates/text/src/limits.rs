//! What a configuration file may cost at most. Each limit refuses the file with its own name.

/// The most bytes of one file. The longest compose files in use have some tens of
/// kilobytes; one of this length is read in less than a second, whatever is in it (debug build,
/// 2026-11-22).
pub const FILE_BYTES: usize = 1 << 20;

/// The most mappings and lists inside one another. Readers recurse, so this also bounds their stack.
pub const DEPTH: usize = 64;

/// The most nodes of one file, with every alias replaced by what it stands for. What has an anchor
/// counts once more.
pub const NODES: usize = 100_000;

/// The most bytes of scalars in one file, with every alias replaced by what it stands for and every
/// reference to the environment by its value.
pub const TEXT_BYTES: usize = 4 << 20;

/// The most problems that are kept; further ones are counted.
pub const PROBLEMS: usize = 1_000;

/// The most characters of a file's text that one message quotes.
pub const QUOTED_CHARACTERS: usize = 80;
