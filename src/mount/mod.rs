//! Puts a mount together, starts it, drains it, stops it.

pub mod options;
