//! Programs that are run: managed servers, commands, scripts, and those of providers.
//!
//! None is a child of this process. Each has a [keeper] between, a small process of our own
//! program, that ends with it everything that it has started, and does so also when this process is
//! killed: the keeper reads from a pipe that only we can write to, and the system closes it with us.
//! The system's own signal for the death of a parent would not do: it follows the *thread* that has
//! started the child, so it strikes when a worker of the runtime goes, and grandchildren do not get it.
//!
//! A [`Program`] says what is run; [`run()`] runs it to its end, [`Lines`] hands on what it says as it
//! says it, [`Scripts`] set a component up and take it down, and a [`Service`] keeps a server. No shell is between: arguments are passed as they are.

mod child;
mod environment;
mod follow;
pub mod keeper;
pub mod limits;
mod line;
mod pause;
mod program;
mod run;
mod scripts;
mod service;

pub use child::{Child, Exit, Keeper};
pub use environment::ChildEnvironment;
pub use line::{Line, Stream};
pub use program::{Program, SpawnError};
pub use run::{Lines, Output, RunError, run};
pub use scripts::{ScriptError, Scripts};
pub use service::{Service, ServiceError, State, Unready};

pub(crate) use follow::{Followed, Tail};
pub(crate) use pause::Pause;
