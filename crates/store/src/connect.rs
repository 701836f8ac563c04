//! Connections to a database: one for changes, some for questions.
//!
//! Changes stand in one line, so one connection is enough for them, and the line is fair. Nothing is dialled
//! before it is needed: a database that is away is an error of whoever asks. Certificates of servers are checked
//! against the system's roots by a feature of `sqlx_core`.

use std::path::Path;
use std::time::Duration;

use sea_orm::{DatabaseConnection, SqlxMySqlConnector, SqlxPostgresConnector, SqlxSqliteConnector};
use sqlx::pool::PoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Database, Executor, MySql, Postgres};

use crate::place::{DatabaseUrl, Place, Server};

/// The connections of a store.
#[derive(Clone)]
pub(crate) struct Link {
    /// Takes changes, one after the other.
    pub(crate) writer: DatabaseConnection,
    /// Answers questions.
    pub(crate) readers: DatabaseConnection,
}

impl Link {
    /// Connections that will be made when they are needed.
    pub(crate) fn to(place: &Place) -> Self {
        match place {
            Place::File(path) => {
                let pool = |size| options(size).connect_lazy_with(sqlite(path));
                Self {
                    writer: SqlxSqliteConnector::from_sqlx_sqlite_pool(pool(1)),
                    readers: SqlxSqliteConnector::from_sqlx_sqlite_pool(pool(READERS)),
                }
            }
            Place::Url(url) => Self {
                writer: server(url, 1),
                readers: server(url, READERS),
            },
        }
    }

    /// Ends them. SQLite then moves all of its log into the file and removes the log.
    pub(crate) async fn close(self) {
        for pool in [self.readers, self.writer] {
            if let Err(error) = pool.close().await {
                tracing::debug!(%error, "a connection to the database did not end in order");
            }
        }
    }
}

fn server(url: &DatabaseUrl, size: u32) -> DatabaseConnection {
    match &url.server {
        Server::Postgres(connect) => {
            let connect = connect.as_ref().clone();
            let connect = connect.application_name("adit").disable_statement_logging();
            let pool = options::<Postgres>(size).after_connect(|connection, _| {
                Box::pin(async move {
                    connection.execute(POSTGRES_LIMITS).await?;
                    Ok(())
                })
            });
            SqlxPostgresConnector::from_sqlx_postgres_pool(pool.connect_lazy_with(connect))
        }
        Server::MySql(connect) => {
            let connect = connect.as_ref().clone().disable_statement_logging();
            let pool = options::<MySql>(size).after_connect(|connection, _| {
                Box::pin(async move {
                    connection.execute(MYSQL_LIMITS).await?;
                    Ok(())
                })
            });
            SqlxMySqlConnector::from_sqlx_mysql_pool(pool.connect_lazy_with(connect))
        }
    }
}

fn options<DB: Database>(size: u32) -> PoolOptions<DB> {
    PoolOptions::new()
        .max_connections(size)
        .acquire_timeout(ACQUIRE_TIMEOUT)
}

/// How the file is used. Each commit is written through to the disk (`synchronous = FULL`): in WAL mode `NORMAL`
/// keeps the file whole but may forget the last commits when the power fails, and a key that was revoked would be
/// good again.
fn sqlite(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("trusted_schema", "OFF")
        .pragma("journal_size_limit", JOURNAL_LIMIT_BYTES)
        .disable_statement_logging()
}

/// Connections that answer questions. Few are asked, and SQLite has a thread for each.
const READERS: u32 = 4;

/// How long a connection is waited for: what an operator at a prompt still takes for an answer.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long another process may hold SQLite's lock: that of a command of ours takes milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// To what size SQLite's log is cut once it is in the file: sixteen times what it grows to by itself.
const JOURNAL_LIMIT_BYTES: &str = "67108864";

/// A statement, a lock and an idle transaction end before their waiters give up; a gateway that died in the
/// middle of a change holds nobody up.
const POSTGRES_LIMITS: &str = "SET statement_timeout = '9s'; SET lock_timeout = '5s'; \
     SET idle_in_transaction_session_timeout = '30s'";

/// The same, and texts that are too long are errors instead of being cut.
const MYSQL_LIMITS: &str = "SET SESSION innodb_lock_wait_timeout = 5, \
     SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')";
