//! What a store promises, over every database that it may be kept in: SQLite in a temporary folder, and real
//! PostgreSQL and MariaDB servers, private to the test. One function of `suite` is one promise; `sqlite` has what
//! only a file can promise.

mod real;
mod sample;
mod sqlite;
mod suite;
