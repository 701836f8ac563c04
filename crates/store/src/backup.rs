//! The copy of SQLite's file that is made before the schema changes.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};

use crate::error::OpenError;
use crate::folder::make_file;

/// The folder of copies, beside the file.
const FOLDER: &str = "backups";

/// Copies a consistent state of the file, whatever else is going on, and returns where the copy is. The copy is
/// on the disk when this returns, and as private as the file.
pub(crate) async fn copy(
    db: &DatabaseConnection,
    file: &Path,
    now: Timestamp,
) -> Result<PathBuf, OpenError> {
    let folder = file.with_file_name(FOLDER);
    let path = folder.join(format!("adit-{}.db", now.strftime("%Y%m%dT%H%M%S%.6fZ")));
    let failed = |source: crate::error::Source| OpenError::Backup {
        path: path.clone(),
        source,
    };
    prepare(&folder, &path).map_err(|source| failed(Box::new(source)))?;
    let written = async {
        // SQLite refuses to write over a file unless it is empty.
        let to = path.to_string_lossy().into_owned();
        let vacuum =
            Statement::from_sql_and_values(DbBackend::Sqlite, "VACUUM INTO ?", [to.into()]);
        db.execute_raw(vacuum).await?;
        Ok::<_, sea_orm::DbErr>(())
    }
    .await;
    let kept = written
        .map_err(|source| failed(Box::new(source)))
        .and_then(|()| sync(&folder, &path).map_err(|source| failed(Box::new(source))));
    if kept.is_err()
        && let Err(error) = fs::remove_file(&path)
    {
        tracing::debug!(%error, "half a copy of the store is left");
    }
    kept.map(|()| path.clone())
}

fn prepare(folder: &Path, path: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    if path.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    make_file(path)
}

fn sync(folder: &Path, path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::{Change, Kind, NewPrincipal, Place, Store};

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn a_copy_is_a_store_as_private_as_the_file_and_never_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let file = dir.path().join("data/adit.db");
        let store = Store::open(Place::File(file.clone()), now).await.unwrap();
        let new = NewPrincipal {
            name: "red001".parse().unwrap(),
            kind: Kind::User,
            grant: adit_model::grant::Grant::default(),
            note: String::new(),
        };
        let change = Change {
            when: now,
            who: "uid 0",
        };
        store.add_principal(&change, &new).await.unwrap();
        let rows = store.load().await.unwrap();

        let copied = copy(&store.writer(), &file, now).await.unwrap();
        assert_eq!(
            copied,
            dir.path()
                .join("data/backups/adit-20261122T100000.000000Z.db")
        );
        assert_eq!(mode(&copied), 0o600);
        assert_eq!(mode(copied.parent().unwrap()), 0o700);
        let again = copy(&store.writer(), &file, now).await.unwrap_err();
        assert!(matches!(again, OpenError::Backup { .. }), "{again:?}");

        let moved = dir.path().join("other/adit.db");
        fs::create_dir(moved.parent().unwrap()).unwrap();
        fs::copy(&copied, &moved).unwrap();
        let restored = Store::open(Place::File(moved), now).await.unwrap();
        assert_eq!(restored.instance(), store.instance());
        assert_eq!(restored.load().await.unwrap(), rows);
    }
}
