//! Private databases serve, and nothing of them is left.

use adit_testkit::mariadb::MariaDb;
use adit_testkit::postgres::Postgres;
use adit_testkit::require;

#[test]
fn a_private_mariadb_keeps_rows_until_it_is_dropped() {
    require!("mariadbd", "mariadb-install-db", "mariadb");
    let server = MariaDb::builder().option("--log-bin").start();
    server.query(
        "CREATE DATABASE lab; CREATE TABLE lab.t (n INT); INSERT INTO lab.t VALUES (7), (8)",
    );
    assert_eq!(server.query("SELECT n FROM lab.t"), "7\n8");
    assert_eq!(server.query("SELECT @@log_bin"), "1");
    assert!(server.status("Connections") >= 3);
    assert_eq!(server.replica_status("Slave_IO_Running"), None);
    let socket = server.socket_path();
    assert!(socket.exists());
    drop(server);
    assert!(!socket.exists());
}

#[test]
fn a_private_postgres_keeps_rows_until_it_is_dropped() {
    require!(postgres);
    let server = Postgres::builder().setting("work_mem=1MB").start();
    server.query("CREATE TABLE t (n INT); INSERT INTO t VALUES (7), (8)");
    assert_eq!(server.query("SELECT n FROM t"), "7\n8");
    assert_eq!(server.query("SHOW work_mem"), "1MB");
    let socket = server.socket_path();
    assert!(socket.exists());
    drop(server);
    assert!(!socket.exists());
}
