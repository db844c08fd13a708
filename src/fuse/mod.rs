//! The kernel's door: converts, calls, replies, and decides nothing.
//!
//! What can be answered from memory or the local disk is answered on the spot, by the thread that
//! took the request. What may wait for the network moves with its reply into a task, so that a slow
//! close never holds up another file.

mod convert;
mod door;
mod enter;
mod folders;
mod forget;
mod reply;

pub use door::{Door, MAX_REQUEST};
pub use enter::{Entrance, enter};
pub use forget::{Kernel, tell_kernel};
