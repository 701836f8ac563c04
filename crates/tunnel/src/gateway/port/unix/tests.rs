use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixStream;

use super::*;

const OWNER: PrincipalId = PrincipalId::new(17);

fn name() -> SocketName {
    "db.sock".parse().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn unix_path_table() {
    let base = Path::new("/run/adit");
    for path in ["db.sock", "./db.sock", "17/db.sock", "/run/adit/17/db.sock"] {
        assert_eq!(read_path(base, OWNER, path), Some(name()), "{path}");
    }
    let long = "a".repeat(65);
    let hostile = [
        "",
        ".",
        "..",
        "/",
        "/db.sock",
        "././db.sock",
        "./../18/db.sock",
        "../db.sock",
        "17",
        "17/",
        "17/..",
        "17/.",
        "17//db.sock",
        "17/../18/db.sock",
        "17/a/b",
        "18/db.sock",
        "017/db.sock",
        "+17/db.sock",
        "/17/db.sock",
        "/run/adit/db.sock",
        "/run/adit/18/db.sock",
        "/run/adit/17/../18/db.sock",
        "/run/adit//17/db.sock",
        "/run/adit17/db.sock",
        "/run/docker.sock",
        "/tmp/x",
        "~/db.sock",
        "db sock",
        "db\0sock",
        "\0abstract",
        "@abstract",
        "db.sock\n",
        "d\u{e4}",
        "17\\db.sock",
        &long,
    ];
    for path in hostile {
        // A number alone is a name like any other.
        if path != "17" {
            assert_eq!(read_path(base, OWNER, path), None, "{path:?}");
        }
    }
}

#[test]
fn unix_mode_never_wider() {
    let base = tempfile::tempdir().unwrap();
    let bound = bind(base.path(), OWNER, &name(), Stale::Foreign).unwrap();
    let folder = base.path().join("17");
    assert_eq!(mode(&folder), 0o750);
    assert_eq!(mode(&folder.join("db.sock")), 0o660);
    assert_eq!(
        fs::read_dir(&folder).unwrap().count(),
        1,
        "nothing else is left"
    );
    UnixStream::connect(folder.join("db.sock")).unwrap();
    drop(bound);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn nothing_that_is_there_is_replaced() {
    let base = tempfile::tempdir().unwrap();
    let folder = base.path().join("17");
    fs::create_dir(&folder).unwrap();
    let target = base.path().join("target");
    fs::write(&target, "precious").unwrap();
    let path = folder.join("db.sock");
    for stale in [Stale::Foreign, Stale::Ours] {
        symlink(&target, &path).unwrap();
        let error = bind(base.path(), OWNER, &name(), stale).unwrap_err();
        assert!(
            error.to_string().contains("naming of socket db.sock"),
            "{error}"
        );
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "a file").unwrap();
        bind(base.path(), OWNER, &name(), stale).unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"a file");
        fs::remove_file(&path).unwrap();
        // Somebody listens there.
        let live = UnixListener::bind(&path).unwrap();
        bind(base.path(), OWNER, &name(), stale).unwrap_err();
        UnixStream::connect(&path).unwrap();
        drop(live);
        fs::remove_file(&path).unwrap();
    }
    assert_eq!(fs::read(&target).unwrap(), b"precious");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn a_socket_that_was_left_behind_makes_way_for_its_own_lease_only() {
    let base = tempfile::tempdir().unwrap();
    let folder = base.path().join("17");
    fs::create_dir(&folder).unwrap();
    let path = folder.join("db.sock");
    drop(UnixListener::bind(&path).unwrap());
    bind(base.path(), OWNER, &name(), Stale::Foreign).unwrap_err();
    let bound = bind(base.path(), OWNER, &name(), Stale::Ours).unwrap();
    UnixStream::connect(&path).unwrap();
    drop(bound);
    assert!(!path.exists());
}

/// unix(7): a connect waits for room in the queue of a listener, which may not come for as long as it hangs.
#[test]
fn one_that_listens_and_accepts_nobody_is_alive_and_not_waited_for() {
    let base = tempfile::tempdir().unwrap();
    let folder = base.path().join("17");
    fs::create_dir(&folder).unwrap();
    let path = folder.join("db.sock");
    let address = socket2::SockAddr::unix(&path).unwrap();
    let socket = || {
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        socket.set_nonblocking(true).unwrap();
        socket
    };
    let live = socket();
    live.bind(&address).unwrap();
    live.listen(0).unwrap();
    let mut queue = Vec::new();
    loop {
        let client = socket();
        match client.connect(&address) {
            Ok(()) => queue.push(client),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                break;
            }
        }
    }
    // For as long as the queue is full, were it waited for.
    bind(base.path(), OWNER, &name(), Stale::Ours).unwrap_err();
    assert!(path.exists());
}

#[test]
fn only_our_own_file_is_removed() {
    let base = tempfile::tempdir().unwrap();
    let bound = bind(base.path(), OWNER, &name(), Stale::Foreign).unwrap();
    let path = base.path().join("17/db.sock");
    let ours = fs::symlink_metadata(&path).unwrap().ino();
    fs::rename(&path, base.path().join("moved")).unwrap();
    fs::write(&path, "another's").unwrap();
    drop(bound);
    assert_eq!(fs::read(&path).unwrap(), b"another's");
    assert_eq!(
        fs::symlink_metadata(base.path().join("moved"))
            .unwrap()
            .ino(),
        ours
    );
}

#[test]
fn a_folder_that_is_a_link_is_no_folder() {
    let (base, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    symlink(elsewhere.path(), base.path().join("17")).unwrap();
    let error = bind(base.path(), OWNER, &name(), Stale::Foreign).unwrap_err();
    assert!(error.to_string().contains("folder"), "{error}");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn a_path_that_is_too_long_is_refused_and_leaves_nothing() {
    let base = tempfile::tempdir().unwrap();
    let deep = base.path().join("a".repeat(100));
    fs::create_dir(&deep).unwrap();
    let error = bind(&deep, OWNER, &name(), Stale::Foreign).unwrap_err();
    assert!(error.to_string().contains("107"), "{error}");
    assert_eq!(fs::read_dir(deep.join("17")).unwrap().count(), 0);
}

#[test]
fn a_base_that_is_not_there_is_made_for_us_alone() {
    let parent = tempfile::tempdir().unwrap();
    let base = parent.path().join("sockets");
    let _bound = bind(&base, OWNER, &name(), Stale::Foreign).unwrap();
    assert_eq!(mode(&base), 0o700);
    UnixStream::connect(base.join("17/db.sock")).unwrap();
    // Nor is it ever a link to elsewhere.
    let link = parent.path().join("link");
    symlink(&base, &link).unwrap();
    bind(&link, OWNER, &name(), Stale::Foreign).unwrap_err();
}

#[test]
fn what_a_killed_process_left_of_a_new_socket_is_removed() {
    let base = tempfile::tempdir().unwrap();
    let left = base.path().join("17/.new-0123456789abcdef");
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("s"), "").unwrap();
    let _bound = bind(base.path(), OWNER, &name(), Stale::Foreign).unwrap();
    assert_eq!(fs::read_dir(base.path().join("17")).unwrap().count(), 1);
}
