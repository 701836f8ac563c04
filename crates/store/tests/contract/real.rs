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
    ($($name:ident,)*) => {
        const PROMISES: &[(&str, Promise)] =
            &[$((stringify!($name), |place| Box::pin(suite::$name(place))),)*];
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
    assert_eq!(PROMISES.len(), 23);
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
    assert_eq!(PROMISES.len(), 23);
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
