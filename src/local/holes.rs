//! Copies that keep gaps: what takes no room in a file takes none in its copy.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

/// Bytes that are copied at a time.
const AT_ONCE: usize = 1 << 20;

/// Copies all bytes of `from` into `to`, an empty file, and tells how many there are. The file is read and written at
/// offsets of its own: others may use both meanwhile.
pub fn copy(from: &File, to: &File) -> io::Result<u64> {
    let size = from.metadata()?.len();
    // A gap at the end has no bytes that would make it.
    to.set_len(size)?;
    let mut buffer = vec![0; AT_ONCE];
    let mut at = 0;
    while let Some(start) = seek(from, at, libc::SEEK_DATA)? {
        let end = seek(from, start, libc::SEEK_HOLE)?.unwrap_or(size).min(size);
        at = start;
        while at < end {
            let want = buffer.len().min((end - at) as usize);
            match from.read_at(&mut buffer[..want], at)? {
                // Cut off meanwhile.
                0 => return Ok(size),
                count => {
                    to.write_all_at(&buffer[..count], at)?;
                    at += count as u64;
                }
            }
        }
        if end >= size {
            break;
        }
    }
    Ok(size)
}

/// Where the next data or the next gap begins, from `at` on; `None` behind the last data.
fn seek(file: &File, at: u64, what: i32) -> io::Result<Option<u64>> {
    // SAFETY: the descriptor is open as long as `file` lives, and lseek touches no memory.
    let found = unsafe { libc::lseek(file.as_raw_fd(), at as libc::off_t, what) };
    match u64::try_from(found) {
        Ok(found) => Ok(Some(found)),
        Err(_) => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
            error => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn gaps_stay_gaps_wherever_they_are() {
        const MIB: u64 = 1 << 20;
        let written: [&[(u64, &[u8])]; 4] =
            [&[], &[(0, b"front")], &[(40 * MIB, b"end")], &[(3 * MIB, b"one"), (30 * MIB, b"two")]];
        for (pieces, size) in written.into_iter().zip([64 * MIB, 50 * MIB, 40 * MIB + 3, 64 * MIB]) {
            let [from, to] = [(); 2].map(|()| tempfile::tempfile().unwrap());
            from.set_len(size).unwrap();
            for (at, bytes) in pieces {
                from.write_all_at(bytes, *at).unwrap();
            }
            assert_eq!(copy(&from, &to).unwrap(), size);
            let (ours, theirs) = (from.metadata().unwrap(), to.metadata().unwrap());
            assert_eq!(theirs.len(), size);
            assert!(theirs.blocks() <= ours.blocks() + 16, "{} blocks of {}", theirs.blocks(), ours.blocks());
            for (at, bytes) in pieces {
                let mut copied = vec![0; bytes.len()];
                to.read_exact_at(&mut copied, *at).unwrap();
                assert_eq!(&copied, bytes);
            }
        }
    }
}
