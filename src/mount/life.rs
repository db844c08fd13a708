//! Does anybody stand behind a mount, and is he awake? Asked without waiting for who does not answer.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// How long a mount may take to say whether its daemon lives.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// Was the process stopped by a signal, or by a debugger?
pub fn is_stopped(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // Behind the program's name, which may hold anything.
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with(['T', 't']))
}

/// Has the process behind the mount ended? The kernel passes statfs(2) on whatever it has cached, and answers in its
/// place that nobody is there any more. A mount that does not answer in time lives, and so does one that this user may
/// not ask.
pub fn is_dead(mountpoint: &Path) -> bool {
    let Ok(path) = CString::new(mountpoint.as_os_str().as_bytes()) else { return false };
    let (told, answer) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        // SAFETY: all zero is a value of this plain struct; a C string and a struct that outlive the call.
        let failed = unsafe { libc::statfs(path.as_ptr(), &mut std::mem::zeroed::<libc::statfs>()) } != 0;
        let error = io::Error::last_os_error().raw_os_error();
        let _ = told.send(failed && error == Some(libc::ENOTCONN));
    });
    answer.recv_timeout(SIGN_OF_LIFE).unwrap_or(false)
}
