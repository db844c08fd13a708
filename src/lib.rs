//! filescomfs mounts a Files.com folder on Linux so that any backup tool can write to it.
//!
//! Calls go down this list, values come back up:
//!
//! * [`cli`] and [`config`]: what was asked on the command line, in fstab or in the configuration.
//! * [`mount`]: assemble, start, drain, stop.
//! * [`fuse`]: the kernel's door: converts, replies, decides nothing.
//! * [`fs`]: the journeys of a name, a write, an upload, a read.
//! * [`local`] and [`remote`]: the disk and the HTTP service; strangers to each other.
//! * [`model`]: the decisions, as plain values without files, sockets or clocks.
//!
//! [`emulator`] is Files.com in miniature. It shares no type with [`remote`]: if it did, the two
//! would share their mistakes.

pub mod cli;
pub mod config;
pub mod emulator;
pub mod fs;
pub mod fuse;
pub mod local;
pub mod model;
pub mod mount;
pub mod remote;
