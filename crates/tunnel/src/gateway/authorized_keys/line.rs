//! A line: `[options] type base64 [comment]`, parted by blanks and tabs.

use adit_ssh::key::{KeyType, PublicKey};
use adit_ssh::printable::Printable;

use super::option::{self, Options};
use super::{Defaults, Line, Rejected, Why, rule};

/// Reads a line; an empty one and a comment say nothing.
pub(super) fn read(
    number: usize,
    bytes: &[u8],
    defaults: &Defaults,
) -> Result<Option<Line>, Rejected> {
    let rejected = |at: usize, why: Why| Rejected {
        line: number,
        column: at.saturating_add(1),
        why,
    };
    let start = skip_blanks(bytes, 0);
    if matches!(bytes.get(start), None | Some(b'#')) {
        return Ok(None);
    }
    let (options, key_at) = if is_key_type(word(bytes, start)) {
        (Options::default(), start)
    } else {
        let (options, end) = option::read(bytes, start, &defaults.zone)
            .map_err(|(at, error)| rejected(at, error.into()))?;
        (options, skip_blanks(bytes, end))
    };
    let kind = word(bytes, key_at);
    if !is_key_type(kind) {
        return Err(rejected(key_at, Why::NoKey));
    }
    let blob_at = skip_blanks(bytes, key_at.saturating_add(kind.len()));
    let base64 = word(bytes, blob_at);
    let comment_at = skip_blanks(bytes, blob_at.saturating_add(base64.len()));
    let key = key(kind, base64).map_err(|why| rejected(key_at, why))?;
    let fingerprint = key
        .fingerprint()
        .to_string()
        .parse()
        .map_err(|_| rejected(key_at, Why::NoKey))?;
    let rule = rule::of(&options, defaults).map_err(|(at, error)| rejected(at, error.into()))?;
    let comment = bytes.get(comment_at..).unwrap_or_default().trim_ascii_end();
    Ok(Some(Line {
        number,
        blob: key.blob().to_vec(),
        fingerprint,
        comment: Printable::new(comment).to_string(),
        role: rule.role,
        grant: rule.grant,
        sources: options.sources.unwrap_or_default(),
        not_after: options.not_after,
        notes: rule.notes,
    }))
}

fn key(kind: &[u8], base64: &[u8]) -> Result<PublicKey, Why> {
    if kind.ends_with(CERTIFICATE) {
        return Err(Why::Certificate);
    }
    let (kind, base64) = (
        String::from_utf8_lossy(kind),
        String::from_utf8_lossy(base64),
    );
    let key = PublicKey::from_openssh_text(&format!("{kind} {base64}")).map_err(Why::Key)?;
    key.trust().map_err(Why::Key)?;
    Ok(key)
}

/// How the names of certificates' types end.
const CERTIFICATE: &[u8] = b"-cert-v01@openssh.com";

/// Whether a word names a type of key, so that no options stand before it. An option never looks like that.
fn is_key_type(word: &[u8]) -> bool {
    KeyType::from_name(word).is_some() || word.ends_with(CERTIFICATE)
}

fn skip_blanks(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    let blanks = rest.iter().take_while(|byte| option::is_blank(**byte));
    from.saturating_add(blanks.count())
}

fn word(bytes: &[u8], from: usize) -> &[u8] {
    let rest = bytes.get(from..).unwrap_or_default();
    let length = rest
        .iter()
        .position(|byte| option::is_blank(*byte))
        .unwrap_or(rest.len());
    rest.get(..length).unwrap_or_default()
}
