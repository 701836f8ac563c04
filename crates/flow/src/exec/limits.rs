//! What runs may cost at most.

use std::time::Duration;

/// The most runs that are not over: more than a machine of the kind that this runs on can hold the
/// inputs of, so that only a mistake or a flood meets it.
pub const RUNS: usize = 20_000;

/// The most runs that are over and can still be asked for.
pub const KEPT: usize = 1_000;

/// How long a run that is over can be asked for: model-compose's hour. A stream that it gave and that nobody has
/// read holds its connection, or the program that writes it, for as long.
pub const KEPT_FOR: Duration = Duration::from_secs(3600);

/// The most bytes of outputs of runs that are over, all together: 64 MiB. The oldest go first.
pub const KEPT_BYTES: usize = 64 << 20;

/// How deep workflows may start one another. The seventeenth is taken for one that starts itself.
pub const WORKFLOW_DEPTH: usize = 16;

/// How long a job waits for its gateway: as long as a start of all waits for the first tunnel
/// (three attempts to connect).
pub const GATEWAY_WAIT: Duration = Duration::from_secs(15);

/// How long a job waits for a server that is being started again.
pub const SERVICE_WAIT: Duration = Duration::from_secs(60);

/// The longest text that a file's regular expression may compile to, in bytes.
pub const PATTERN_BYTES: usize = 1 << 20;
