//! The disk of this machine: what is owed and what is cached. Knows nothing of the network.

pub mod descriptors;
pub mod draft;
pub mod durable;
pub mod failpoint;
pub mod holes;
pub mod journal;
pub mod lock;
pub mod private;
pub mod receipts;
pub mod recovery;
pub mod reserve;
mod spares;
pub mod store;
pub mod trouble;
mod unnamed;
