//! Puts a mount together, starts it, drains it, stops it.

pub mod background;
pub mod control;
pub mod options;
mod run;
pub mod service;

pub use run::run;
