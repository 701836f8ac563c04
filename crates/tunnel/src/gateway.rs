//! The public end of tunnels: who may log in, what they hold, and the way from a visitor to them.
//!
//! A connection comes in at `accept`, is admitted by the [`policy`] of that moment and asks for forwards. Each
//! becomes a lease of the `desk`, which owns the listeners; connections come and go beneath them. A visitor of
//! a listener is led by the `registry` to whichever connection holds the lease now.

pub mod authorized_keys;
pub mod policy;
pub mod seam;
