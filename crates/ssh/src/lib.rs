//! The SSH protocol (RFC 4251-4254 and OpenSSH's extensions), client and server, sans-io.
//!
//! A [`Connection`] takes bytes and time in and gives bytes, events and a next deadline out. It
//! holds no socket, reads no clock, starts no thread and knows no runtime. Whatever needs a person
//! or the outside world (is this host key right? may this login pass? sign this) leaves as an event
//! with an id and is answered later by a method; other traffic goes on meanwhile.
//!
//! Every primitive comes from a [`CryptoProvider`](provider::CryptoProvider) given at construction.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::string_slice,
        clippy::integer_division
    )
)]

pub mod algorithm;
pub mod auth;
pub mod block;
pub mod certificate;
pub mod channel;
pub mod connection;
pub mod error;
pub mod event;
pub mod flow;
pub mod forward;
pub mod kex;
pub mod key;
pub mod key_file;
pub mod limits;
pub mod message;
pub mod negotiate;
pub mod packet;
pub mod printable;
pub mod provider;
mod schedule;
pub mod secret;
pub mod ssh_agent;
pub mod version;
pub mod wire;

pub use connection::Connection;
pub use event::Event;

#[cfg(test)]
mod clock_tests;

#[cfg(test)]
use clock_tests::test_clock;
