//! What programs may cost at most, and how long they are waited for.

use std::time::Duration;

/// The most bytes of each of a program's two outputs that are kept when it is run to its end: 8 MiB. What is
/// longer is streamed.
pub const OUTPUT_BYTES: usize = 8 << 20;

/// The longest line in bytes: 64 KiB. In a log the rest of a longer one is left out; to others it comes in
/// pieces of that length.
pub const LINE_BYTES: usize = 64 << 10;

/// How many of a program's last lines are told when it has failed.
pub const LAST_LINES: usize = 20;

/// The most characters of each of them.
pub const LAST_LINE_CHARACTERS: usize = 1_000;

/// How long a server may take to end before it is killed.
pub const STOP_GRACE: Duration = Duration::from_secs(10);

/// How long a program may take to end when nobody waits for it any more: we are gone, or it was dropped, as one is
/// whose stream has no reader left. It goes on for so long after its run at the most.
pub const LOST_GRACE: Duration = Duration::from_secs(2);

/// How long what was killed may take to end. More takes only what hangs in the kernel or is another
/// user's; the keeper leaves that behind and ends.
pub const KILL_GRACE: Duration = Duration::from_secs(5);

/// The first pause before what has ended is started again; each is twice as long as the one before.
pub const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// After how long a program that is up counts as well, so that the next pause is the first again.
pub const WELL_AFTER: Duration = Duration::from_secs(60);
