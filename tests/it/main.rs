//! Integration tests: the real binary, a real mount, real tools, and Files.com in miniature behind it.
//!
//! Everything is compared on the far side, in what the emulator holds. A machine without FUSE fails
//! these tests: a skip would hide what they are for.

mod awkward;
mod close;
mod comparison;
mod crash;
mod failures;
mod faults;
mod hostile;
mod journaled;
mod lifecycle;
mod names;
mod offline;
mod posix_table;
mod programs;
mod races;
mod reading;
mod reference;
mod round_trips;
mod semantics;
mod stage;
mod steps;
mod twins;
