//! Names before ports, as text and tables: ranges of hosts, tables of ports, blocks of ssh's configuration, lines of
//! authorized_keys, service units. Pure: no file, no socket, no clock.
#![forbid(unsafe_code)]

pub mod host;
pub mod key_line;
pub mod range;
pub mod ssh_block;
pub mod table;
pub mod unit;
