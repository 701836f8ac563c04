//! Names over HTTP: each request of a visitor is led to whoever serves the name that it is for.
//!
//! What happens to a request, in order: its frame is judged (module `frame`); hyper reads it; its one host is worked out
//! ([`crate::host`]) and finds a route ([`crate::route`]); the access list admits its visitor; its fields are made
//! into those of the upstream ([`crate::header`]); a connection that is kept, or a new one, carries it; a line is
//! written when its answer has left. Whatever goes wrong on the way is a status of [`crate::error_page`].
//!
//! A name whose TLS is passed through has none of that: what its visitors say is not read (module `passage`).

mod body;
mod connection;
mod exchange;
pub(crate) mod frame;
mod guard;
mod habits;
mod line;
mod load;
mod passage;
mod stall;
mod stay;
mod upstream;
mod worker;

pub use self::frame::BadRequest;
#[cfg(fuzzing)]
pub use self::frame::handed_on;
pub use self::stay::{RequestEntry, RequestLog, TracingRequestLog};
pub use self::worker::{Counts, HttpServer, Parts, Place, Settings};
