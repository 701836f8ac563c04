//! What a store promises, over every database that it may be kept in: SQLite in a temporary folder, and real
//! PostgreSQL and MariaDB servers, private to the test. One function of `suite` is one promise; `sqlite` has what
//! only a file can promise.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a promise that is not kept may panic"
)]

mod real;
mod sample;
mod sqlite;
mod suite;
