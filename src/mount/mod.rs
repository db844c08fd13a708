//! Puts a mount together, starts it, drains it, stops it.

mod assemble;
pub mod background;
pub mod control;
mod desk;
mod error;
pub mod life;
pub mod mountinfo;
pub mod options;
mod read_ahead;
mod request;
mod run;
pub mod service;
pub mod unmount;

pub use error::MountError;
pub use run::{Ended, run};
