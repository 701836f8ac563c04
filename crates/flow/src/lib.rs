//! Workflows: from files to plans to runs, with jobs that wait for callbacks.
//!
//! What a file means is found out before anything is run; what is run next is decided by pure code.
#![forbid(unsafe_code)]

pub mod body;
pub mod callback;
pub mod controller;
pub mod exec;
pub mod expose;
pub mod expr;
pub mod file;
pub mod http;
pub mod listen;
pub mod model;
pub mod process;
pub mod rate;
pub mod render;
pub mod schedule;
pub mod schema;
pub mod secrets;
pub mod shell;
pub mod stream;
