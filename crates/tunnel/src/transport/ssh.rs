//! The SSH transport: a task that drives the sans-io engine over a socket.
//!
//! One task per connection. In each turn it takes what the applications did (commands, answers,
//! streams with news), reads the socket, hands chunks to streams and writes what the engine seals.
//! Reading never waits for a stream to be read nor writing for reading; a stream whose application
//! has stopped holds its own window and nothing else.

mod carrier;
mod clock;
mod congestion;
mod convert;
mod drain;
mod key_pair;
mod login;
mod read;
mod socket;
mod streams;
mod tally;
mod task;

pub use carrier::{Carrier, Held, tune};
pub use congestion::{CongestionControl, CongestionControlError, unpace_on_loopback};
pub use login::{
    Admission, Answer, Answerer, ConnectError, Decision, HostRefusal, accept, connect,
};
pub use read::ReadBuffers;
pub use tally::Tally;
pub use task::{Driver, Memory};
