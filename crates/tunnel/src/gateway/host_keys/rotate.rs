//! A change of host keys: the next ones become the active ones, and others come after them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use adit_ssh::key::PublicKey;

use super::{CERTIFICATE, HostKeysError, KINDS, Standing, beside, files, keep, keep_public, read};

/// A host key as it lies in its folder.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its file.
    pub path: PathBuf,
    /// Its public half.
    pub key: PublicKey,
    /// What it is there for.
    pub standing: Standing,
    /// How long its file has been there; nothing if the clock was set back.
    pub age: Duration,
}

/// The host keys in that folder, best first. Nothing is made.
///
/// # Errors
/// See [`HostKeysError`].
pub fn list(folder: &Path) -> Result<Vec<Listed>, HostKeysError> {
    let now = SystemTime::now();
    let listed = files(folder)?.into_iter().map(|(path, standing)| {
        let signer = read(&path)?;
        let changed = fs::metadata(&path).and_then(|found| found.modified());
        let changed = changed.map_err(|source| failed(&path, source))?;
        Ok(Listed {
            key: signer.public_key().clone(),
            standing,
            age: now.duration_since(changed).unwrap_or_default(),
            path,
        })
    });
    listed.collect()
}

/// Puts the next keys in the places of the active ones, and makes others to come after them. The active ones, with
/// their certificates, are kept as `….old`, which are no host keys any more: clients that follow forget them. Blocks,
/// as [`load_or_make`](super::load_or_make) does.
///
/// Killed in between it leaves an active key of each kind, the old or the new one; what is missing is made when they
/// are read again.
///
/// # Errors
/// See [`HostKeysError`]; before anything is changed where a next key cannot be read.
pub fn rotate(folder: &Path) -> Result<(), HostKeysError> {
    let paths = KINDS.map(|kind| (folder.join(kind.active), folder.join(kind.next), kind.make));
    for (_, next, _) in &paths {
        read(next)?;
    }
    for (active, next, make) in paths {
        let public = read(&next)?.public_key().clone();
        let old = beside(&active, ".old");
        // A second name of the file, so that the first is never without one.
        remove(&old)?;
        fs::hard_link(&active, &old).map_err(|source| failed(&old, source))?;
        shift(&active, &old, CERTIFICATE)?;
        fs::rename(&next, &active).map_err(|source| failed(&active, source))?;
        shift(&next, &active, CERTIFICATE)?;
        keep_public(&active, &public)?;
        keep(&next, &make()?)?;
    }
    Ok(())
}

/// Gives the file beside one key to another key. Where there is none, the other has none after it either.
fn shift(from: &Path, to: &Path, ending: &str) -> Result<(), HostKeysError> {
    let (from, to) = (beside(from, ending), beside(to, ending));
    match fs::rename(&from, &to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => remove(&to),
        renamed => renamed.map_err(|source| failed(&to, source)),
    }
}

fn remove(path: &Path) -> Result<(), HostKeysError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path, error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn failed(path: &Path, source: io::Error) -> HostKeysError {
    HostKeysError::File {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::super::load_or_make;
    use super::*;

    #[test]
    fn the_next_keys_come_into_use_and_others_after_them() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("ssh");
        let before = load_or_make(&folder).unwrap();
        rotate(&folder).unwrap();
        let after = load_or_make(&folder).unwrap();
        assert_eq!(after.public()[..2], before.public()[2..]);
        assert!(!before.public().contains(&after.public()[2]));
        assert!(!before.public().contains(&after.public()[3]));
        for (kind, (old, key)) in KINDS.iter().zip(before.public().iter().zip(after.public())) {
            let active = folder.join(kind.active);
            let kept = read(&beside(&active, ".old")).unwrap();
            assert_eq!(kept.public_key(), old);
            let public = fs::read_to_string(beside(&active, ".pub")).unwrap();
            assert!(public.starts_with(&key.to_openssh_text()), "{public}");
        }
        // And again, over what is kept of the first time.
        rotate(&folder).unwrap();
        let listed = list(&folder).unwrap();
        assert_eq!(listed.len(), 4);
        assert_eq!(listed[0].key, after.public()[2]);
        assert!(listed.iter().all(|it| it.age < Duration::from_secs(600)));
    }

    #[test]
    fn certificates_go_with_their_keys() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("ssh");
        load_or_make(&folder).unwrap();
        let [kind, _] = KINDS;
        let [active, next] = [kind.active, kind.next].map(|name| folder.join(name));
        let text = |path: &Path| fs::read_to_string(beside(path, CERTIFICATE)).unwrap();
        fs::write(beside(&active, CERTIFICATE), "active").unwrap();
        fs::write(beside(&next, CERTIFICATE), "next").unwrap();
        rotate(&folder).unwrap();
        assert_eq!(text(&active), "next");
        assert_eq!(text(&beside(&active, ".old")), "active");
        assert!(!beside(&next, CERTIFICATE).exists());
        rotate(&folder).unwrap();
        assert!(!beside(&active, CERTIFICATE).exists());
        load_or_make(&folder).unwrap();
    }

    #[test]
    fn a_next_key_that_cannot_be_used_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("ssh");
        let before = load_or_make(&folder).unwrap();
        let [_, kind] = KINDS;
        fs::write(folder.join(kind.next), "no key").unwrap();
        let error = rotate(&folder).unwrap_err();
        assert!(matches!(error, HostKeysError::Key { .. }), "{error}");
        let listed = read(&folder.join("ssh_host_ed25519_key")).unwrap();
        assert_eq!(listed.public_key(), &before.public()[0]);
    }
}
