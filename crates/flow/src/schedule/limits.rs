//! How much of what a schedule does.

use std::time::Duration;

/// The longest pause that backoff grows to where the file sets no `max_delay`: an hour. A `delay`
/// that is longer by itself stays as it is.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Of an exponential pause, one part in so many may be added by chance.
pub const JITTER_PART: u32 = 4;

/// The most items of one batch: of the list of a `for-each`, or `repeat_count`.
pub const ITEMS: usize = 100_000;

/// The most items of one batch that run at once, whatever the file says.
pub const ITEMS_AT_ONCE: usize = 1_024;
