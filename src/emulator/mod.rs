//! Files.com in miniature: the API and its storage, for demos, tests and benchmarks.
//!
//! It speaks HTTP as the service does, down to the quirks that clients trip over, keeps its state in
//! memory or in a folder, and goes wrong when it is told to. It knows nothing of this crate's client and
//! shares no type with it: if the two agree, they agree about the service. What is known of the service,
//! and what is a guess, is told in `docs/emulator.md`.
//!
//! A request goes from `server` to `api` or `storage`, which know about faults, delays and the log;
//! from there, under one lock, to a handler that sees plain values only.

mod account;
mod admin;
mod api;
mod auth;
mod call;
mod clock;
mod connection;
mod downloads;
mod entities;
mod errors;
mod faults;
mod folders;
mod grants;
mod hex;
mod listing;
mod locks;
mod log;
mod migrations;
mod names;
mod object;
mod orders;
mod params;
mod persist;
mod respond;
mod route;
mod server;
mod settings;
mod shared;
mod signing;
mod spoil;
mod state;
mod storage;
mod throttle;
mod tree;
mod uploads;

#[cfg(test)]
mod tests;

pub use faults::{Effect, Fault};
pub use log::LoggedRequest;
pub use orders::OrderError;
pub use server::Emulator;
pub use settings::{Key, NameRule, PermissionSet, Settings, User};
pub use shared::StoredFile;
