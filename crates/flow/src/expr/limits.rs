//! What variables may cost at most. Each limit refuses by its own error.

/// The most variables inside one another's defaults. Two are in use:
/// `${input.key | ${env.KEY | "none"}}`. Evaluation recurses once for each.
pub const TEMPLATE_NESTING: usize = 16;

/// The most accessors of one variable. Evaluation recurses once for each `[*]`.
pub const PATH_STEPS: usize = 64;

/// The most strays of one text that are kept, besides at most [`TEMPLATE_NESTING`] that never end.
pub const STRAYS: usize = 100;

/// The most lists and maps inside one another in JSON from outside.
pub const JSON_DEPTH: usize = 64;

/// The most lists and maps inside one another in a tree and in what is made of it. More than
/// [`JSON_DEPTH`], so that an answer can be wrapped.
pub const VALUE_DEPTH: usize = 128;

/// The most bytes that one evaluation may make: 64 MiB, which is also the longest answer that is
/// held in memory. Texts and bytes count by their length, a value that is converted counts before
/// and after, and each value counts [`VALUE_BYTES`] more.
pub const OUTPUT_BYTES: usize = 64 << 20;

/// What a value counts besides its text, about its size in memory.
pub const VALUE_BYTES: usize = 32;

/// The most bytes of a text that is read as a number: the longest exact decimal of a float has 767
/// significant digits, and nobody writes that.
pub const NUMBER_BYTES: usize = 1024;
