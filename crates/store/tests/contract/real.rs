//! The promises over real servers: one server, and a database of its own for each promise.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use adit_store::{DatabaseUrl, OpenError, Place, Store};
use adit_testkit::mariadb::MariaDb;
use adit_testkit::postgres::Postgres;
use adit_testkit::require;

use crate::sample::{NOW, at, change, principal};
use crate::suite;

type Promise = fn(Place) -> Pin<Box<dyn Future<Output = ()> + Send>>;

macro_rules! as_table {
    ($($module:ident { $($name:ident,)* })*) => {
        const PROMISES: &[(&str, Promise)] = &[$($(
            (stringify!($name), |place| Box::pin(suite::$module::$name(place))),
        )*)*];
    };
}
suite::every_promise!(as_table);

fn place(url: &str) -> Place {
    Place::Url(url.parse::<DatabaseUrl>().unwrap())
}

fn postgres_url(server: &Postgres, database: &str) -> String {
    let folder = server.socket_path();
    let folder = folder.parent().unwrap().display().to_string();
    format!("postgres://postgres@localhost/{database}?host={folder}")
}

fn mariadb_url(server: &MariaDb, database: &str) -> String {
    let socket = server.socket_path().display().to_string();
    format!("mysql://root@localhost/{database}?socket={socket}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_keeps_every_promise() {
    require!(postgres);
    let server = Postgres::builder().start();
    for (number, (name, promise)) in PROMISES.iter().enumerate() {
        println!("{name}");
        server.query(&format!("CREATE DATABASE p{number}"));
        promise(place(&postgres_url(&server, &format!("p{number}")))).await;
    }
    assert_eq!(PROMISES.len(), 33);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_keeps_every_promise() {
    require!("mariadbd", "mariadb-install-db", "mariadb");
    let server = MariaDb::builder().start();
    for (number, (name, promise)) in PROMISES.iter().enumerate() {
        println!("{name}");
        // Latin letters by default: what is kept must not depend on it.
        server.query(&format!("CREATE DATABASE p{number} CHARACTER SET latin1"));
        promise(place(&mariadb_url(&server, &format!("p{number}")))).await;
    }
    assert_eq!(PROMISES.len(), 33);
}

/// The server's socket is gone and all connections are cut; then it is there again.
async fn is_away_and_comes_back(place: Place, socket: std::path::PathBuf, cut: impl Fn()) {
    let store = suite::open(&place).await;
    store
        .add_principal(&change(), &principal("red001"))
        .await
        .unwrap();
    let before = store.load().await.unwrap();
    cut();
    // Connections that were cut are replaced, and nobody notices.
    assert_eq!(store.load().await.unwrap(), before);
    store
        .add_principal(&change(), &principal("red002"))
        .await
        .unwrap();

    let hidden = socket.with_extension("hidden");
    std::fs::rename(&socket, &hidden).unwrap();
    std::fs::rename(&hidden, &socket).unwrap();
    cut();
    std::fs::rename(&socket, &hidden).unwrap();
    let start = tokio::time::Instant::now();
    assert!(store.load().await.unwrap_err().is_unavailable());
    let refused = store.add_principal(&change(), &principal("red003")).await;
    let refused = refused.unwrap_err();
    assert!(refused.is_unavailable(), "{refused:?}");
    let error = Store::open(place.clone(), at(NOW)).await.unwrap_err();
    assert!(matches!(error, OpenError::Unavailable { .. }), "{error:?}");
    assert!(
        start.elapsed() < Duration::from_secs(25),
        "{:?}",
        start.elapsed()
    );

    std::fs::rename(&hidden, &socket).unwrap();
    assert_eq!(store.load().await.unwrap().principals.len(), 2);
    store
        .add_principal(&change(), &principal("red003"))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_that_is_away_for_a_moment_is_an_error_in_time() {
    require!(postgres);
    let server = Postgres::builder().start();
    let url = place(&postgres_url(&server, "postgres"));
    is_away_and_comes_back(url, server.socket_path(), || {
        // psql needs the socket too.
        server.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'adit'",
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_that_is_away_for_a_moment_is_an_error_in_time() {
    require!("mariadbd", "mariadb-install-db", "mariadb");
    let server = MariaDb::builder().start();
    server.query("CREATE DATABASE adit");
    let url = place(&mariadb_url(&server, "adit"));
    is_away_and_comes_back(url, server.socket_path(), || {
        let all = server
            .query("SELECT GROUP_CONCAT(id) FROM information_schema.processlist WHERE db = 'adit'");
        for id in all.split(',').filter(|id| *id != "NULL") {
            server.query(&format!("KILL {id}"));
        }
    })
    .await;
}

/// The password of a server is in no text, whatever goes wrong.
#[tokio::test]
async fn a_wrong_password_is_told_without_the_password() {
    require!("mariadbd", "mariadb-install-db", "mariadb");
    let server = MariaDb::builder().start();
    server.query("CREATE USER adit@localhost IDENTIFIED BY 'another'");
    let socket = server.socket_path();
    let url = format!(
        "mysql://adit:hunter2@localhost/x?socket={}",
        socket.display()
    );
    let error = Store::open(place(&url), at(NOW)).await.unwrap_err();
    assert!(
        !format!("{error} {error:?} {error:#?}").contains("hunter2"),
        "{error:?}"
    );
    assert!(matches!(error, OpenError::Unavailable { .. }), "{error:?}");
}

/// Whoever takes connections and says nothing.
#[tokio::test]
async fn a_place_that_never_answers_is_an_error_in_time() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let refusals = ["postgres", "mysql"].map(|scheme| async move {
        let start = tokio::time::Instant::now();
        let url = place(&format!("{scheme}://adit:hunter2@{addr}/adit"));
        let error = Store::open(url, at(NOW)).await.unwrap_err();
        assert!(matches!(error, OpenError::Unavailable { .. }), "{error:?}");
        assert!(!format!("{error:?}").contains("hunter2"));
        assert!(
            start.elapsed() < Duration::from_secs(9),
            "{:?}",
            start.elapsed()
        );
    });
    let [postgres, mysql] = refusals;
    tokio::join!(postgres, mysql);
}

/// The server's processes that serve us are stopped: they hold their connections and say nothing.
struct Stopped(Vec<String>);

impl Stopped {
    fn all(server: &Postgres) -> Self {
        let pids = server.query("SELECT pid FROM pg_stat_activity WHERE application_name = 'adit'");
        let pids: Vec<String> = pids.lines().map(String::from).collect();
        assert!(pids.len() >= 2, "{pids:?}");
        signal("-STOP", &pids);
        Self(pids)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        signal("-CONT", &self.0);
    }
}

fn signal(name: &str, pids: &[String]) {
    let mut command = std::process::Command::new("kill");
    command.arg(name).args(pids).status().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_falls_silent_is_an_error_in_time_and_is_dialled_anew() {
    require!(postgres);
    let server = Postgres::builder().start();
    let store = suite::open(&place(&postgres_url(&server, "postgres"))).await;
    store
        .add_principal(&change(), &principal("red001"))
        .await
        .unwrap();
    let rows = store.load().await.unwrap();
    // More than one connection for questions, all of which fall silent.
    let (one, two, three) = tokio::join!(store.load(), store.load(), store.keys(None));
    assert!(one.is_ok() && two.is_ok() && three.is_ok());
    let stopped = Stopped::all(&server);
    let start = tokio::time::Instant::now();
    let error = store.add_principal(&change(), &principal("red002")).await;
    let error = error.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    assert!(
        start.elapsed() < Duration::from_secs(12),
        "{:?}",
        start.elapsed()
    );
    // The old connections are still held, and nobody waits for them any more.
    assert_eq!(store.load().await.unwrap(), rows);
    store
        .add_principal(&change(), &principal("red002"))
        .await
        .unwrap();
    drop(stopped);
}
