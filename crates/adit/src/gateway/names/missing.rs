//! Since when proofs of domains have been missing, over restarts: a file in the data directory. Lost, the time begins
//! anew, which takes nothing from anybody.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use adit_model::host::Name;
use adit_model::id::PrincipalId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::gateway::trusted::{TrustedError, read_own};

/// The longest file: some thousands of domains.
const LENGTH: u64 = 1 << 20;

/// Domains whose record is not there, and since when it has not been.
pub(super) type Since = BTreeMap<(PrincipalId, Name), Timestamp>;

/// The file, and what is in it.
#[derive(Debug)]
pub(super) struct Missing {
    path: PathBuf,
    written: Since,
}

/// One domain, as the file has it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    principal: i64,
    domain: String,
    since: Timestamp,
}

impl Missing {
    /// What that file says. One that says nothing that can be used is told of, and nothing is missing yet.
    pub(super) fn open(path: &Path) -> Self {
        let written = read(path).unwrap_or_else(|reason| {
            warn!(path = %path.display(), reason,
                "since when proofs of domains are missing is not known any more; the time begins anew");
            Since::new()
        });
        Self {
            path: path.to_owned(),
            written,
        }
    }

    /// Since when it has been missing. A time to come is none.
    pub(super) fn since(
        &self,
        principal: PrincipalId,
        domain: &Name,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let since = self.written.get(&(principal, domain.clone())).copied();
        since.filter(|since| *since <= now)
    }

    /// Writes what is missing now, if that is something else. What cannot be written is told of, and tried again the
    /// next time.
    pub(super) fn keep(&mut self, missing: Since) {
        if missing == self.written {
            return;
        }
        match self.write(&missing) {
            Ok(()) => self.written = missing,
            Err(error) => warn!(path = %self.path.display(), %error,
                "since when proofs of domains are missing cannot be written; after a restart the time begins anew"),
        }
    }

    /// Writes the file whole, or leaves it as it was.
    fn write(&self, missing: &Since) -> io::Result<()> {
        if missing.is_empty() {
            return remove(&self.path);
        }
        let rows = missing.iter().map(|((principal, domain), since)| Row {
            principal: principal.get(),
            domain: domain.to_string(),
            since: *since,
        });
        let rows: Vec<Row> = rows.collect();
        let half = self.path.with_extension("new");
        remove(&half)?;
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&half)?;
        file.write_all(&serde_json::to_vec(&rows)?)?;
        file.sync_all()?;
        fs::rename(&half, &self.path)
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn read(path: &Path) -> Result<Since, String> {
    let text = match read_own(path, LENGTH) {
        Ok(text) => text,
        Err(TrustedError::Read(error)) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Since::new());
        }
        Err(error) => return Err(error.to_string()),
    };
    let rows: Vec<Row> = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    let rows = rows.into_iter().map(|row| {
        let domain: Name = row
            .domain
            .parse()
            .map_err(|_| format!("{:?} is no domain", row.domain))?;
        Ok(((PrincipalId::new(row.principal), domain), row.since))
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_file_that_cannot_be_used_begins_the_time_anew_and_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing.json");
        let (who, domain): (_, Name) = (PrincipalId::new(1), "a.example".parse().unwrap());
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let row =
            |since: &str| format!(r#"[{{"principal":1,"domain":"a.example","since":"{since}"}}]"#);
        for (text, is_known) in [
            (row("2026-11-22T11:00:00Z"), true),
            (row("2026-11-22T13:00:00Z"), false),
            (row("soon"), false),
            (
                String::from(r#"[{"principal":1,"domain":"a b","since":"2026-11-22T11:00:00Z"}]"#),
                false,
            ),
            (String::from("[{"), false),
        ] {
            fs::write(&path, &text).unwrap();
            let mut missing = Missing::open(&path);
            assert_eq!(
                missing.since(who, &domain, now).is_some(),
                is_known,
                "{text}"
            );
            assert_eq!(missing.since(PrincipalId::new(2), &domain, now), None);
            let since = Since::from([((who, domain.clone()), now)]);
            missing.keep(since);
            assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o600);
            assert_eq!(Missing::open(&path).since(who, &domain, now), Some(now));
            missing.keep(Since::new());
            assert!(!path.exists());
        }
    }
}
