//! Where files come from: the file system, or a table in tests.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::error::FileProblem;
use crate::pattern::matches_exact_pattern;

/// Largest file, in bytes.
pub(super) const FILE_LENGTH: u64 = 1024 * 1024;
/// Most files that one pattern stands for.
const GLOB_FILES: usize = 1_000;

/// Access to files. Blocks.
pub trait Files {
    /// The paths that a pattern stands for, sorted by their bytes; none where there is no such file.
    fn glob(&self, pattern: &Path) -> Result<Vec<PathBuf>, FileProblem>;

    /// What is in a file of at most 1 MiB.
    fn read(&self, path: &Path, guard: Guard) -> Result<Vec<u8>, FileProblem>;
}

/// Who may be able to write to a file that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// Its owner alone, who is who runs this, or root.
    OwnerAlone,
    /// Anybody: who named the file answers for it (`-F`).
    Nobody,
}

/// The file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileSystem;

impl Files for FileSystem {
    fn glob(&self, pattern: &Path) -> Result<Vec<PathBuf>, FileProblem> {
        let mut found = vec![PathBuf::new()];
        for component in pattern.components() {
            let name = component.as_os_str();
            // A pattern is UTF-8, since its line was.
            let text = name.to_str().unwrap_or_default();
            let mut next = Vec::new();
            for folder in found {
                if is_plain(text) {
                    next.push(folder.join(unescaped(text)));
                } else {
                    next.extend(entries(&folder, text)?);
                }
            }
            if next.len() > GLOB_FILES {
                return Err(FileProblem::System(format!(
                    "the pattern stands for more than {GLOB_FILES} files"
                )));
            }
            found = next;
        }
        found.retain(|path| path.symlink_metadata().is_ok());
        Ok(found)
    }

    fn read(&self, path: &Path, guard: Guard) -> Result<Vec<u8>, FileProblem> {
        // Opened without waiting, since it may be a pipe; what counts is what was opened.
        let flags = rustix::fs::OFlags::RDONLY
            | rustix::fs::OFlags::NONBLOCK
            | rustix::fs::OFlags::NOCTTY
            | rustix::fs::OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, rustix::fs::Mode::empty());
        let file = file.map_err(|error| match error {
            rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR => FileProblem::Missing,
            error => FileProblem::System(std::io::Error::from(error).to_string()),
        })?;
        let file = std::fs::File::from(file);
        let system = |error: std::io::Error| FileProblem::System(error.to_string());
        let metadata = file.metadata().map_err(system)?;
        let is_ours = [0, rustix::process::getuid().as_raw()].contains(&metadata.uid());
        if guard == Guard::OwnerAlone && !(is_ours && metadata.mode() & 0o022 == 0) {
            return Err(FileProblem::WritableByOthers);
        }
        if metadata.is_dir() || (!metadata.is_file() && guard == Guard::OwnerAlone) {
            return Err(FileProblem::NotRegular);
        }
        let mut content = Vec::new();
        let mut limited = file.take(FILE_LENGTH.saturating_add(1));
        limited.read_to_end(&mut content).map_err(system)?;
        if u64::try_from(content.len()).is_ok_and(|length| length > FILE_LENGTH) {
            return Err(FileProblem::TooLarge);
        }
        Ok(content)
    }
}

/// The entries of a folder that a pattern names, sorted; a leading dot must be written out. A folder
/// that cannot be read has none, as for glob(3).
fn entries(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, FileProblem> {
    if pattern.contains(['[', '\\']) {
        return Err(FileProblem::System(format!(
            "only * and ? are patterns, and {pattern:?} has others"
        )));
    }
    let folder_or_here = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let Ok(list) = std::fs::read_dir(folder_or_here) else {
        return Ok(Vec::new());
    };
    let names = list.filter_map(|entry| Some(entry.ok()?.file_name()));
    let mut names: Vec<_> = names
        .filter(|name| {
            let name = name.as_encoded_bytes();
            (pattern.starts_with('.') || !name.starts_with(b"."))
                && matches_exact_pattern(name, pattern.as_bytes())
        })
        .collect();
    names.sort();
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

fn is_plain(text: &str) -> bool {
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            '*' | '?' | '[' => return false,
            _ => {}
        }
    }
    true
}

fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.extend(characters.next()),
            _ => plain.push(character),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_pattern_stands_for_files_in_order_and_not_for_hidden_ones() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.conf", "a.conf", ".c.conf", "d.txt"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        std::fs::create_dir(folder.path().join("e")).unwrap();
        std::fs::write(folder.path().join("e/f.conf"), "").unwrap();
        for (pattern, expected) in [
            ("*.conf", &["a.conf", "b.conf"][..]),
            (".*.conf", &[".c.conf"]),
            ("?/*.conf", &["e/f.conf"]),
            ("a.conf", &["a.conf"]),
            ("a\\.conf", &["a.conf"]),
            ("g.conf", &[]),
            ("g/*", &[]),
        ] {
            let found = FileSystem.glob(&folder.path().join(pattern)).unwrap();
            let expected: Vec<_> = expected.iter().map(|it| folder.path().join(it)).collect();
            assert_eq!(found, expected, "{pattern}");
        }
        assert!(FileSystem.glob(&folder.path().join("[ab]*")).is_err());
    }

    #[test]
    fn a_file_that_others_can_write_is_read_only_for_who_named_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        std::fs::write(&file, "Port 1").unwrap();
        for (mode, is_safe) in [(0o600, true), (0o644, true), (0o664, false), (0o646, false)] {
            std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
            let read = FileSystem.read(&file, Guard::OwnerAlone);
            let expected = if is_safe {
                Ok(b"Port 1".to_vec())
            } else {
                Err(FileProblem::WritableByOthers)
            };
            assert_eq!(read, expected, "{mode:o}");
            assert!(FileSystem.read(&file, Guard::Nobody).is_ok());
        }
    }

    #[test]
    fn what_is_missing_too_large_or_no_file_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let read = |path: &Path| FileSystem.read(path, Guard::OwnerAlone);
        assert_eq!(read(&folder.path().join("x")), Err(FileProblem::Missing));
        assert_eq!(read(folder.path()), Err(FileProblem::NotRegular));
        let large = folder.path().join("large");
        let file = std::fs::File::create(&large).unwrap();
        file.set_len(FILE_LENGTH + 1).unwrap();
        assert_eq!(read(&large), Err(FileProblem::TooLarge));
    }
}
