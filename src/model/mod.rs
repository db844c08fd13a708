//! The decisions of the filesystem, as plain values.
//!
//! Nothing here opens a file, a socket or a thread, or asks what time it is: whoever calls brings
//! those facts along. That is why every rule can be tested in every order of events.

pub mod attributes;
pub mod backlog;
pub mod bandwidth;
pub mod blocks;
pub mod brake;
pub mod bucket;
pub mod cause;
pub mod comparison;
pub mod containment;
pub mod content;
pub mod copied;
pub mod debts;
pub mod descriptors;
pub mod digest;
pub mod entry;
pub mod escape;
pub mod expected;
pub mod failure;
pub mod fair;
pub mod growth;
pub mod ino;
pub mod label;
mod ligatures;
pub mod listing;
pub mod manifest;
pub mod md5;
pub mod meter;
pub mod moment;
pub mod name;
#[cfg(test)]
mod naming_tests;
pub mod node;
pub mod pace;
pub mod parts;
pub mod path;
pub mod policy;
pub mod proof;
pub mod queue;
pub mod ranges;
pub mod readahead;
pub mod receipt;
pub mod rename;
pub mod resume;
pub mod room;
pub mod seldom;
pub mod shown;
pub mod siblings;
pub mod temporary;
pub mod tree;
#[cfg(test)]
mod unicode_tests;
pub mod waiting;
pub mod walk;
pub mod xattrs;
