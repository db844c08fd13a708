//! Replies to the kernel: an outcome, or its errno.

use fuser::{Errno, Generation, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyWrite, ReplyXattr};

use super::convert::{attr, errno};
use crate::fs::Attr;
use crate::model::failure::Failure;

/// Numbers of inodes are never used twice.
pub const GENERATION: Generation = Generation(0);

pub fn xattr(reply: ReplyXattr, size: u32, outcome: Result<Vec<u8>, Failure>) {
    match (outcome, size) {
        (Ok(value), 0) => reply.size(value.len() as u32),
        (Ok(value), room) if (room as usize) < value.len() => reply.error(Errno::ERANGE),
        (Ok(value), _) => reply.data(&value),
        (Err(failure), _) => reply.error(errno(&failure)),
    }
}

pub fn entry(reply: ReplyEntry, outcome: Result<Attr, Failure>) {
    match outcome {
        Ok(found) => reply.entry(&found.ttl, &attr(&found), GENERATION),
        Err(failure) => reply.error(errno(&failure)),
    }
}

pub fn empty(reply: ReplyEmpty, outcome: Result<(), Failure>) {
    match outcome {
        Ok(()) => reply.ok(),
        Err(failure) => reply.error(errno(&failure)),
    }
}

pub fn written(reply: ReplyWrite, outcome: Result<u32, Failure>) {
    match outcome {
        Ok(count) => reply.written(count),
        Err(failure) => reply.error(errno(&failure)),
    }
}

pub fn attributes(reply: ReplyAttr, outcome: Result<Attr, Failure>) {
    match outcome {
        Ok(found) => reply.attr(&found.ttl, &attr(&found)),
        Err(failure) => reply.error(errno(&failure)),
    }
}

pub fn data(reply: ReplyData, outcome: Result<Vec<u8>, Failure>) {
    match outcome {
        Ok(bytes) => reply.data(&bytes),
        Err(failure) => reply.error(errno(&failure)),
    }
}
