//! The conversation with Files.com over HTTP.
//!
//! [`Client`] has one method for each thing that can be asked. A method returns an answer that was
//! read and checked, or one typed [`Error`]; what is transient was tried again inside, within
//! [`ClientOptions::network_timeout`], and what may have been done already never was.
//!
//! The room knows nothing of mounts, spools or POSIX names. It keeps three promises: no credential
//! and no signed URL appears in a log, an error or debug output; credentials go to the site's own
//! host and nowhere else; an answer that was not understood is an error, never an empty result.

mod body;
mod call;
mod client;
mod counters;
mod credentials;
mod deadline;
mod doubt;
mod downloads;
mod entries;
mod error;
mod error_kind;
mod error_table;
mod line;
mod listing;
mod moves;
mod places;
mod reach;
mod refusal;
mod retry;
mod secret;
mod session;
mod signed;
mod site;
mod slots;
mod storage;
#[cfg(test)]
mod tests;
mod transport;
mod uploads;
mod urgency;
mod urls;
mod wire;

pub use body::Body;
pub use client::{Client, ClientOptions};
pub use counters::Calls;
pub use credentials::Credentials;
pub use deadline::{Deadline, Late, carry};
pub use downloads::Download;
pub use entries::Deleted;
pub use error::Error;
pub use error_kind::{ErrorKind, KINDS, Row};
pub use error_table::{API_TYPES, STORAGE_CODES};
pub use moves::Copying;
pub use reach::is_out_of_reach;
pub use secret::Secret;
pub use site::{ApiKey, Checksums, Session, Site};
pub use slots::{Concurrency, LaneStatus, Slot};
pub use storage::Gauge;
pub use uploads::{Completion, PartSlot, Sought, Upload, UploadRef};
pub use urgency::{no_more_urgent_than, with_urgency};
pub use urls::{SiteNameError, base_url, base_url_allowing_http};
