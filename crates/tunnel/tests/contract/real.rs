//! An end of ours and a stock program.
//!
//! The far end of a stream is a plain socket: of a service that the program dials, or of a visitor
//! of its listener. A socket knows nothing of the suite's tokens, so each stream begins with its
//! token in two bytes, which the adapters write and read.

mod label;
mod openssh;
mod sshd;
