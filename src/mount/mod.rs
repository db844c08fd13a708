//! Puts a mount together, starts it, drains it, stops it.

pub mod asking;
mod assemble;
pub mod background;
pub mod beneath;
pub mod control;
mod desk;
mod error;
pub mod fuse_fault;
pub mod identity;
pub mod life;
pub mod mountinfo;
pub mod options;
mod presence;
mod read_ahead;
mod reload;
pub mod remount;
mod request;
pub mod rooms;
mod run;
pub mod service;
pub mod unmount;
pub mod utab;

pub use error::MountError;
pub use run::{Ended, run};
