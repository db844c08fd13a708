//! The conversation with Files.com over HTTP.

mod credentials;

pub use credentials::{Credentials, Secret};
