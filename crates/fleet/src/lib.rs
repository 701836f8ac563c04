//! Names before ports, as text and tables: ranges of hosts, tables of ports, blocks of ssh's configuration, service
//! units. Pure: no file, no socket, no clock.
#![forbid(unsafe_code)]

pub mod host;
pub mod range;
pub mod table;
