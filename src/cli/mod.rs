//! The command line.
pub mod exit_codes;
