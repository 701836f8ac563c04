//! What callbacks may cost at most.

use std::time::Duration;

/// The most deliveries that are parked.
pub const PARKED: usize = 1_024;

/// The most bytes that parked deliveries have in memory, all together: 8 MiB.
pub const PARKED_BYTES: usize = 8 << 20;

/// The most deliveries that are parked for one address.
pub const PARKED_PER_SOURCE: usize = 64;

/// How long a delivery is parked: longer than it takes to answer the request that it belongs to.
pub const PARKED_FOR: Duration = Duration::from_secs(60);

/// The longest id in bytes. Those that were seen are of 10 to 100; a delivery with a longer one is
/// nobody's.
pub const ID_BYTES: usize = 1_024;

/// The most waiters: far more than the runs of one machine, so only a mistake meets it.
pub const WAITERS: usize = 100_000;

/// The most items of one request. More could never be parked, and each costs an evaluation.
pub const ITEMS: usize = 1_024;

/// How far a signature's time may be from ours, before and after, in seconds. Five minutes are
/// what senders of such signatures tell their receivers to allow.
pub const WINDOW_SECONDS: u64 = 300;

/// The most signatures that are remembered: more than a hundred a second. Only who has the secret
/// can make one, so strangers cannot fill this.
pub const REPLAYS: usize = 65_536;

/// The most signatures in one header: those of an old and of a new secret, twice.
pub const SIGNATURES: usize = 4;
