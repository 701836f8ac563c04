//! A file that is read for what it says, and who else could have written it: that decides what is run.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use adit_text::{Place, Problem, Problems};
use anyhow::Context as _;
use rustix::process::getuid;

/// What is in a file, and a byte more than may be, so that one that is too long is found to be. That others can
/// write to it is a warning, and no error: who shares a folder may want that.
///
/// # Errors
///
/// It cannot be read.
pub(super) fn bytes(file: &Path, problems: &mut Problems) -> anyhow::Result<Vec<u8>> {
    let cannot = || format!("cannot read {}", file.display());
    let opened = File::open(file).with_context(cannot)?;
    // What was opened counts, and not what has the name by now.
    let metadata = opened.metadata().with_context(cannot)?;
    let ours = getuid().as_raw();
    if let Some(words) = doubt(metadata.mode(), metadata.uid(), ours)
        && metadata.is_file()
    {
        let place = Place {
            file: file.display().to_string().into(),
            line: 1,
            column: 1,
        };
        problems.push(Problem::warning(&place, words));
    }
    let most = u64::try_from(adit_text::limits::FILE_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let read = opened.take(most.saturating_add(1)).read_to_end(&mut bytes);
    read.with_context(cannot)?;
    Ok(bytes)
}

/// Why a file of that mode and owner may not say what its reader wants.
///
/// A group that may write is none: many systems give each user one, and a umask that lets it. Nor is an owner to root,
/// who is what programs in containers run as, with files of whoever has started them.
fn doubt(mode: u32, owner: u32, ours: u32) -> Option<String> {
    if mode & 0o002 != 0 {
        return Some(String::from(
            "everybody can write to this file, and so decide what is run as you: chmod o-w",
        ));
    }
    let is_foreign = owner != ours && owner != 0 && ours != 0;
    is_foreign.then(|| {
        format!(
            "this file belongs to user {owner}, who so decides what is run as you (user {ours})"
        )
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn whoever_else_can_write_what_is_run_is_told_of() {
        for (mode, owner, ours, part) in [
            (0o644, 1_000, 1_000, None),
            (0o664, 1_000, 1_000, None),
            (0o644, 0, 1_000, None),
            (0o644, 1_000, 0, None),
            (0o646, 1_000, 1_000, Some("everybody can write")),
            (0o666, 0, 0, Some("everybody can write")),
            (0o600, 1_001, 1_000, Some("belongs to user 1001")),
        ] {
            let words = doubt(mode, owner, ours);
            let is_told = words.as_deref().zip(part);
            assert_eq!(words.is_some(), part.is_some(), "{mode:o} {owner} {ours}");
            assert!(is_told.is_none_or(|(words, part)| words.contains(part)));
        }
    }

    #[test]
    fn a_warning_has_the_files_name_and_what_is_no_file_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("adit.yml");
        fs::write(&file, "a: 1").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
        let mut problems = Problems::new();
        assert_eq!(bytes(&file, &mut problems).unwrap(), b"a: 1");
        assert!(!problems.has_errors());
        let told = problems.to_string();
        assert!(told.contains("adit.yml:1:1: "), "{told}");
        assert!(told.contains("everybody can write to this file"), "{told}");
        let mut problems = Problems::new();
        assert_eq!(bytes(Path::new("/dev/null"), &mut problems).unwrap(), b"");
        assert_eq!(problems.count(), 0);
    }
}
