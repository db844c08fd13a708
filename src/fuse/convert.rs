//! Between the kernel's words and ours.

use std::time::{Duration, SystemTime};

use fuser::{Errno, FileAttr, FileType, INodeNo, TimeOrNow};

use crate::fs::Attr;
use crate::model::attributes::Shape;
use crate::model::failure::Failure;
use crate::model::ino::Ino;
use crate::model::moment::Moment;

/// Preferred size of reads and writes.
const BLOCK: u32 = 1 << 20;

pub(super) fn ino(number: INodeNo) -> Ino {
    Ino(number.0)
}

/// What the caller is told. Of a regular file, programs take EAGAIN for "not yet" and EINTR for "once more": some go
/// on with half of the bytes, and others for ever. Wherever those come from, here something failed.
pub(super) fn errno(failure: &Failure) -> Errno {
    match failure.errno {
        libc::EAGAIN | libc::EINTR => Errno::EIO,
        errno => Errno::from_i32(errno),
    }
}

pub(super) fn kind(shape: Shape) -> FileType {
    match shape {
        Shape::File => FileType::RegularFile,
        Shape::Folder => FileType::Directory,
        Shape::Link => FileType::Symlink,
    }
}

/// What stat(2) shows. Links are not counted: a file has one name, and a folder does not tell how
/// many are in it.
pub(super) fn attr(attr: &Attr) -> FileAttr {
    let attributes = &attr.attributes;
    let mtime = SystemTime::from(attributes.mtime);
    FileAttr {
        ino: INodeNo(attr.ino.0),
        size: attr.size,
        blocks: attr.size.div_ceil(512),
        atime: mtime,
        mtime,
        ctime: SystemTime::from(attributes.ctime),
        crtime: mtime,
        kind: kind(attr.shape),
        perm: attributes.mode,
        nlink: attr.links,
        uid: attributes.uid,
        gid: attributes.gid,
        rdev: 0,
        blksize: BLOCK,
        flags: 0,
    }
}

pub(super) fn moment(time: TimeOrNow) -> Moment {
    match time {
        // fuser 0.18 takes the fraction of a second from a time before 1970, where it belongs on top.
        TimeOrNow::SpecificTime(time) => match SystemTime::UNIX_EPOCH.duration_since(time) {
            Ok(before) if before.subsec_nanos() > 0 => {
                let fraction = Duration::from_nanos(before.subsec_nanos().into());
                Moment::from(time + fraction * 2)
            }
            _ => Moment::from(time),
        },
        TimeOrNow::Now => Moment::from(SystemTime::now()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::remote::KINDS;

    #[test]
    fn nobody_is_told_that_bytes_of_a_file_come_later() {
        for errno_of_old in [libc::EAGAIN, libc::EWOULDBLOCK, libc::EINTR] {
            assert_eq!(errno(&Failure::plain(errno_of_old)).code(), libc::EIO);
        }
        for row in KINDS {
            assert!(![libc::EAGAIN, libc::EINTR].contains(&row.errno), "{:?}", row.kind);
        }
        assert_eq!(errno(&Failure::plain(libc::ETIMEDOUT)).code(), libc::ETIMEDOUT);
    }

    #[test]
    fn times_before_1970_are_what_the_kernel_said() {
        // What fuser makes of 12 seconds before 1970 and half a second after that.
        let time = SystemTime::UNIX_EPOCH - Duration::new(12, 500_000_000);
        let expected = Moment { seconds: -12, nanos: 500_000_000 };
        assert_eq!(moment(TimeOrNow::SpecificTime(time)), expected);
        let whole = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(moment(TimeOrNow::SpecificTime(whole)), Moment::from_seconds(-1));
    }
}
