//! What no line of the log says: the values of secrets, and what a terminal would obey.

use std::borrow::Cow;
use std::io;
use std::sync::{PoisonError, RwLock};

use adit_flow::secrets::Secrets;

use super::{Format, is_json};

/// What no line says.
static HIDDEN: RwLock<Secrets> = RwLock::new(Secrets::new());

/// Keeps the values of secrets out of every line from now on; those that were hidden before are not any more.
pub(crate) fn hide(secrets: Secrets) {
    *HIDDEN.write().unwrap_or_else(PoisonError::into_inner) = secrets;
}

/// A text without the values of secrets, for who is told it in another way.
pub(crate) fn masked(text: &str) -> String {
    let hidden = HIDDEN.read().unwrap_or_else(PoisonError::into_inner);
    hidden.mask(text).into_owned()
}

/// Bytes that are about to be written, without the values of secrets, and without what a terminal would obey: a
/// part may be a stranger's. Escapes stay, which are the colours: the log itself writes others as text. Each line
/// comes in one write.
pub(super) fn shown(bytes: &[u8], format: Format) -> Cow<'_, [u8]> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Cow::Borrowed(bytes);
    };
    let hidden = HIDDEN.read().unwrap_or_else(PoisonError::into_inner);
    let masked = hidden.mask(text);
    // What is JSON has none of it but in its own form.
    if format == Format::Plain {
        let lines = masked.split('\n');
        let lines = lines.map(|line| line.split('\x1b').map(adit_text::escape));
        let lines = lines.map(|parts| parts.collect::<Vec<_>>().join("\x1b"));
        return Cow::Owned(lines.collect::<Vec<_>>().join("\n").into_bytes());
    }
    match masked {
        Cow::Owned(masked) => Cow::Owned(masked.into_bytes()),
        Cow::Borrowed(_) => Cow::Borrowed(bytes),
    }
}

/// Writes to stderr.
pub(super) struct Terminal;

impl io::Write for Terminal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let format = if is_json() {
            Format::Json
        } else {
            Format::Plain
        };
        io::stderr().write_all(&shown(bytes, format))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
