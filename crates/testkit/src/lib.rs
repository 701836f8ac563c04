//! The lab: everything a test needs that is not the product.
//!
//! Real programs are found ([`real`]), run and ended with the test ([`process`]); a private sshd serves
//! one test with keys of its own ([`sshd`]), an ssh-agent plays any key ([`ssh_agent`]); a test waits for a level with a deadline ([`wait`]) and reads what a process
//! costs ([`measure`]). Private databases and a web server are the services that tunnels carry ([`mariadb`], [`postgres`], [`nginx`]). Streams misbehave on demand ([`fault`]) and randomness repeats itself ([`seeded`]).
//!
//! Ports are kept for the programs that will listen there ([`port`]). Hosts are network namespaces ([`namespace`]), which have a docker of their own where a test wants it ([`docker`]), and lines between them are as bad as a test wants ([`link`]).
//!
//! This crate is a development dependency of any other and depends on none of ours. What it builds
//! belongs to a test, so its functions panic when the set-up fails, with what they know about why,
//! instead of returning an error that every test would unwrap. Values that stand for something outside
//! the process (processes, namespaces, files) end it when they are dropped.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test whose set-up fails stops there and says why; real programs live in real time"
)]

mod account;
pub mod docker;
pub mod echo;
pub mod fault;
pub mod key_pair;
pub mod link;
pub mod mariadb;
pub mod measure;
pub mod namespace;
pub mod nginx;
pub mod port;
pub mod postgres;
pub mod process;
pub mod real;
pub mod seeded;
pub mod ssh_agent;
pub mod sshd;
pub mod wait;
