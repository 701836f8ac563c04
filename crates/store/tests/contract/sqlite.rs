//! The promises over SQLite, and what a file promises besides.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use adit_model::id::Epoch;
use adit_model::lease::Holding;
use adit_store::{NewPrincipal, OpenError, Place, Store, WriteError};
use adit_testkit::require;
use sea_orm::{ConnectionTrait, Database, DbBackend, Statement};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::sample::{NOW, at, change, fingerprint, key, lease, principal};
use crate::suite;

macro_rules! as_tests {
    ($($module:ident { $($name:ident,)* })*) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let (_dir, place) = place();
                suite::$module::$name(place).await;
            }
        )*)*
    };
}
suite::every_promise!(as_tests);

fn place() -> (TempDir, Place) {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::File(dir.path().join("data/adit.db"));
    (dir, place)
}

fn path(place: &Place) -> &Path {
    match place {
        Place::File(path) => path,
        Place::Url(_) => panic!("not a file"),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn the_folder_and_its_files_are_its_users_alone() {
    let (_dir, place) = place();
    let store = suite::open(&place).await;
    store
        .add_principal(&change(), &principal("red001"))
        .await
        .unwrap();
    let file = path(&place);
    assert_eq!(mode(file.parent().unwrap()), 0o700);
    let entries = fs::read_dir(file.parent().unwrap()).unwrap();
    let files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    // The file, its log and its index.
    assert_eq!(files.len(), 3, "{files:?}");
    assert!(files.iter().all(|file| mode(file) == 0o600));
    store.close().await;
    fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
    suite::open(&place).await;
    assert_eq!(mode(file), 0o600);
}

#[tokio::test]
async fn a_file_of_something_else_is_refused() {
    let (_dir, place) = place();
    fs::create_dir(path(&place).parent().unwrap()).unwrap();
    fs::write(
        path(&place),
        "a thesis, and not a database at all, for many pages",
    )
    .unwrap();
    let error = Store::open(place.clone(), at(NOW)).await.unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    let text = fs::read_to_string(path(&place)).unwrap();
    assert!(text.starts_with("a thesis"));
}

/// An old copy of the file is put back, and the clock stands still or goes back (security rule G17).
#[tokio::test]
async fn old_backup_cannot_lower_epoch() {
    let (dir, place) = place();
    let store = suite::open(&place).await;
    let id = store
        .add_principal(&change(), &principal("red001"))
        .await
        .unwrap()
        .it;
    store.epoch_floor(at("2026-11-22T10:00:00Z")).await.unwrap();
    store.close().await;
    let copy = dir.path().join("copy.db");
    fs::copy(path(&place), &copy).unwrap();

    let store = suite::open(&place).await;
    let floor = store.epoch_floor(at("2026-11-22T11:00:00Z")).await.unwrap();
    let used = Epoch::new(floor.get() + 5_000);
    let held = lease(Holding::Port(443), id, used.get());
    store.keep_leases(&[held]).await.unwrap();
    store.close().await;

    fs::copy(&copy, path(&place)).unwrap();
    let store = suite::open(&place).await;
    let restored = store.epoch_floor(at("2026-11-22T11:00:01Z")).await.unwrap();
    assert!(used < restored, "{used} {restored}");
}

/// Another process that holds the lock is waited for, and then it is an error; readers do not wait.
#[tokio::test]
async fn a_file_that_another_holds_is_an_error_in_time() {
    let (_dir, place) = place();
    let store = suite::open(&place).await;
    let other = Database::connect(format!("sqlite://{}", path(&place).display()));
    let other = other.await.unwrap();
    let held = sea_orm::TransactionTrait::begin(&other).await.unwrap();
    let write = "UPDATE adit_meta SET version = version";
    held.execute_unprepared(write).await.unwrap();
    let start = Instant::now();
    let error = store.add_principal(&change(), &principal("red001")).await;
    let error = error.unwrap_err();
    assert!(matches!(error, WriteError::Unavailable { .. }), "{error:?}");
    assert!(start.elapsed().as_secs() < 12, "{:?}", start.elapsed());
    store.load().await.unwrap();
    held.rollback().await.unwrap();
    store
        .add_principal(&change(), &principal("red001"))
        .await
        .unwrap();
}

/// Twenty times a process that keeps one lease after the other, and says so after each, is killed in the
/// middle: each lease that it said is there.
#[tokio::test]
async fn kill_9_loses_no_lease_that_was_acknowledged() {
    const CHILD: &str = "ADIT_STORE_CHILD";
    if let Some(file) = std::env::var_os(CHILD) {
        let store = suite::open(&Place::File(file.into())).await;
        let id = store.principals().await.unwrap()[0].id;
        let mut epoch = store
            .leases()
            .await
            .unwrap()
            .iter()
            .map(|lease| lease.epoch.get())
            .max();
        loop {
            let next = epoch.unwrap_or(0) + 1;
            let port = u16::try_from(next % 200).unwrap() + 1;
            let held = lease(Holding::Port(port), id, next);
            store.keep_leases(&[held]).await.unwrap();
            println!("kept {next}");
            epoch = Some(next);
        }
    }
    let (_dir, place) = place();
    let store = suite::open(&place).await;
    store
        .add_principal(&change(), &principal("red001"))
        .await
        .unwrap();
    store.close().await;
    let mut total = 0;
    for round in 0..20 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "sqlite::kill_9_loses_no_lease_that_was_acknowledged",
                "--nocapture",
            ])
            .env(CHILD, path(&place))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut last = 0;
        let mut take = |line: &str| {
            if let Some((_, epoch)) = line.split_once("kept ") {
                last = epoch.parse::<u64>().unwrap();
            }
        };
        for line in lines.by_ref().take(5 + round) {
            take(&line.unwrap());
        }
        child.kill().unwrap();
        lines.map_while(Result::ok).for_each(|line| take(&line));
        child.wait().unwrap();
        assert!(last > total, "round {round} kept nothing");
        total = last;
        let store = suite::open(&place).await;
        let leases = store.leases().await.unwrap();
        let highest = leases.iter().map(|lease| lease.epoch.get()).max().unwrap();
        // The one that it was about to say may be there too.
        assert!((last..=last + 1).contains(&highest), "{last} {highest}");
        let expected = usize::try_from(highest.min(200)).unwrap();
        assert_eq!(leases.len(), expected);
        store.close().await;
    }
    println!("{total} leases kept in 20 lives");
}

/// A file system of one megabyte that goes away with the test.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs"]);
        assert!(command.arg(dir.path()).status().unwrap().success());
        Self(dir)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount")
            .args(["-l"])
            .arg(self.0.path())
            .status();
        assert!(unmounted.unwrap().success());
    }
}

mod real {
    use super::*;

    #[tokio::test]
    async fn a_full_disk_is_an_error_and_loses_nothing() {
        require!(root);
        require!("mount", "umount");
        let disk = SmallDisk::mount();
        let place = Place::File(disk.0.path().join("adit.db"));
        let store = suite::open(&place).await;
        let mut grant = crate::sample::grant();
        grant.asked = (0..500)
            .map(|number| adit_model::grant::Asked {
                host: format!("host-{number}"),
                ports: "443".parse().unwrap(),
            })
            .collect();
        let mut added = 0;
        let error = loop {
            let new = NewPrincipal {
                grant: grant.clone(),
                ..principal(&format!("p{added}"))
            };
            match store.add_principal(&change(), &new).await {
                Ok(_) => added += 1,
                Err(error) => break error,
            }
            assert!(added < 1_000, "the disk does not become full");
        };
        assert!(matches!(error, WriteError::Full { .. }), "{error:?}");
        assert!(added > 0);
        assert_eq!(store.load().await.unwrap().principals.len(), added);
        store.close().await;

        let mut remount = Command::new("mount");
        remount.args(["-o", "remount,size=8m"]).arg(disk.0.path());
        assert!(remount.status().unwrap().success());
        let store = suite::open(&place).await;
        assert_eq!(store.load().await.unwrap().principals.len(), added);
        store
            .add_principal(&change(), &principal("after"))
            .await
            .unwrap();
        store.close().await;
    }
}

/// Each column is known to hold nothing secret; one that is added has to be looked at (security rule G122).
#[tokio::test]
async fn dump_has_no_secret() {
    let (_dir, place) = place();
    suite::open(&place).await.close().await;
    let db = Database::connect(format!("sqlite://{}", path(&place).display()));
    let db = db.await.unwrap();
    let question = "SELECT m.name || '.' || c.name AS name FROM sqlite_schema m, pragma_table_info(m.name) c \
                    WHERE m.type = 'table' AND m.name LIKE 'adit%' ORDER BY m.name, c.cid";
    let rows = db.query_all_raw(Statement::from_string(DbBackend::Sqlite, question));
    let columns: Vec<String> = rows
        .await
        .unwrap()
        .iter()
        .map(|row| row.try_get("", "name").unwrap())
        .collect();
    let known = "adit_audit.id adit_audit.at adit_audit.who adit_audit.what adit_audit.details \
        adit_authorities.id adit_authorities.fingerprint adit_authorities.blob adit_authorities.sources \
        adit_authorities.not_after adit_authorities.note adit_authorities.added \
        adit_authority_names.id adit_authority_names.authority adit_authority_names.name \
        adit_authority_names.principal \
        adit_invites.id adit_invites.hash adit_invites.name adit_invites.grant_json adit_invites.note \
        adit_invites.device adit_invites.created adit_invites.expires adit_invites.wrong adit_invites.used \
        adit_invites.used_by \
        adit_keys.id adit_keys.fingerprint adit_keys.principal adit_keys.blob adit_keys.comment adit_keys.sources \
        adit_keys.not_after adit_keys.touch_required adit_keys.verify_required adit_keys.added \
        adit_leases.id adit_leases.holding adit_leases.scope adit_leases.principal adit_leases.epoch \
        adit_leases.since adit_leases.state adit_leases.until adit_leases.drawn_host adit_leases.drawn_label \
        adit_meta.id adit_meta.version adit_meta.epoch_floor adit_meta.instance \
        adit_principals.id adit_principals.name adit_principals.kind adit_principals.disabled \
        adit_principals.grant_json adit_principals.created adit_principals.note \
        adit_reservations.id adit_reservations.ports adit_reservations.name adit_reservations.principal \
        adit_reservations.note \
        adit_revocations.id adit_revocations.kind adit_revocations.fingerprint adit_revocations.serial_from \
        adit_revocations.serial_to adit_revocations.key_id adit_revocations.note adit_revocations.added \
        adit_schema.version adit_schema.at \
        adit_usages.principal adit_usages.month adit_usages.down adit_usages.up";
    assert_eq!(columns, known.split_whitespace().collect::<Vec<_>>());
}

/// Prints how long it takes to read ten thousand principals with a key each.
#[tokio::test]
async fn ten_thousand_principals_are_read_at_once() {
    const COUNT: usize = 10_000;
    let (_dir, place) = place();
    let store = suite::open(&place).await;
    let one = store
        .add_principal(&change(), &principal("p0"))
        .await
        .unwrap()
        .it;
    store.add_key(&change(), &key(one, 0)).await.unwrap();
    let db = Database::connect(format!("sqlite://{}", path(&place).display()));
    let db = db.await.unwrap();
    let numbers = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) ",
        COUNT - 1
    );
    for rest in [
        "INSERT INTO adit_principals (name, kind, disabled, grant_json, created, note) \
         SELECT 'p' || i, kind, disabled, grant_json, created, note FROM n, adit_principals WHERE id = 1",
        "INSERT INTO adit_keys (fingerprint, principal, blob, comment, sources, not_after, touch_required, \
         verify_required, added) SELECT 'SHA256:' || printf('%043d', i), i + 1, blob, comment, sources, not_after, \
         touch_required, verify_required, added FROM n, adit_keys WHERE principal = 1",
    ] {
        let (table, select) = rest.split_once("SELECT").unwrap();
        let sql = format!("{table} {numbers} SELECT {select}");
        db.execute_unprepared(&sql).await.unwrap();
    }
    let start = Instant::now();
    let rows = store.load().await.unwrap();
    println!(
        "{COUNT} principals and keys in {:?}; 1 s is what a revocation may take",
        start.elapsed()
    );
    assert_eq!((rows.principals.len(), rows.keys.len()), (COUNT, COUNT));
    assert_eq!(rows.keys[0].fingerprint, fingerprint(0));
}
