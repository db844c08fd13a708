//! Changes how the kernel treats what is mounted already: whether it may be changed, and what else mount(8) knows of a
//! filesystem of any kind. Our own options are those of the process that serves it, and stay.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Remounts; `read_only` and `words` (`noexec`, `exec`, `noatime`, `atime`) leave alone what they do not name.
///
/// # Errors
/// EBUSY while something is open for writing that is to be read-only, EPERM for ordinary users.
pub fn remount(mountpoint: &Path, read_only: Option<bool>, words: &[String]) -> io::Result<()> {
    let path = CString::new(mountpoint.as_os_str().as_bytes())?;
    // SAFETY: all zero is a value of this plain struct; a C string and a struct that outlive the call.
    let (answer, found) = unsafe {
        let mut found = std::mem::zeroed::<libc::statvfs>();
        (libc::statvfs(path.as_ptr(), &raw mut found), found)
    };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    let said = |no: &str, yes: &str| {
        words.iter().rev().find_map(|word| (word == no || word == yes).then_some(word == no))
    };
    let mut flags = libc::MS_REMOUNT | libc::MS_NODEV | libc::MS_NOSUID;
    for (wanted, present, flag) in [
        (read_only, libc::ST_RDONLY, libc::MS_RDONLY),
        (said("noexec", "exec"), libc::ST_NOEXEC, libc::MS_NOEXEC),
        (said("noatime", "atime"), libc::ST_NOATIME, libc::MS_NOATIME),
    ] {
        if wanted.unwrap_or(found.f_flag & present != 0) {
            flags |= flag;
        }
    }
    // SAFETY: `path` is a C string that lives through the call; what a remount does not read may be null.
    match unsafe { libc::mount(std::ptr::null(), path.as_ptr(), std::ptr::null(), flags, std::ptr::null()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
