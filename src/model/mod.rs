//! The decisions of the filesystem, as plain values.
//!
//! Nothing here opens a file, a socket or a thread, or asks what time it is: whoever calls brings
//! those facts along. That is why every rule can be tested in every order of events.

pub mod digest;
pub mod moment;
