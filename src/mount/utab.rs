//! The table of libmount, by which umount(8) finds out that a mount has a helper of its own.
//!
//! Plain `umount MOUNTPOINT` takes a mount out of the tree and asks nobody what is owed, unless libmount's table
//! (`/run/mount/utab`) says `helper=filescomfs` for it: then it calls `/sbin/umount.filescomfs`, and ends with that
//! one's exit code (umount(8), *EXTERNAL HELPERS*). The table is libmount's own, and is written by its own tools here:
//! mount(8) and umount(8) with `--fake --internal-only` do nothing else. Where they are missing, or refuse a user who is
//! not root, plain `umount` stays what it is.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::mountinfo::{KIND, View, unescaped};

/// Where umount(8) looks for helpers first.
const HELPER: &str = "/sbin/umount.filescomfs";
const TABLE: &str = "/run/mount/utab";
/// What the table says of our mounts.
const OPTION: &str = "helper=filescomfs";

/// Tells libmount that the mount has a helper, where one is installed.
pub fn register(source: &str, mountpoint: &Path) {
    // SAFETY: only reads the process's identity and cannot fail.
    let is_root = unsafe { libc::geteuid() } == 0;
    if !is_root || !Path::new(HELPER).exists() {
        return;
    }
    let mut command = Command::new("mount");
    command.args(["--fake", "--internal-only", "-t"]).arg(OsStr::from_bytes(KIND));
    carry_out(command.args(["-o", OPTION, "--", source]).arg(mountpoint));
}

/// Takes the entry away. Entries of others on the same path stay.
pub fn forget(mountpoint: &Path) {
    if is_registered(&std::fs::read(TABLE).unwrap_or_default(), mountpoint) {
        carry_out(Command::new("umount").args(["--fake", "--internal-only", "--"]).arg(mountpoint));
    }
}

/// The same where no filescomfs is mounted on the path any more.
pub fn forget_unmounted(mountpoint: &Path) {
    let view = View::of(mountpoint);
    if view.is_ok_and(|view| view.top().is_some_and(|top| top.path != mountpoint)) {
        forget(mountpoint);
    }
}

fn carry_out(command: &mut Command) {
    let outcome = command.stdin(Stdio::null()).stdout(Stdio::null()).output();
    match outcome {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            tracing::debug!("libmount's table stays: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Err(error) => tracing::debug!("libmount's table stays: {error}"),
    }
}

/// A line is a list of `NAME=VALUE`, with blanks in values escaped as in mountinfo.
fn is_registered(table: &[u8], mountpoint: &Path) -> bool {
    table.split(|byte| *byte == b'\n').any(|line| {
        let field = |name: &[u8]| {
            let mut fields = line.split(|byte| *byte == b' ');
            fields.find_map(|field| field.strip_prefix(name)).map(unescaped).unwrap_or_default()
        };
        let is_ours = field(b"OPTS=").split(|byte| *byte == b',').any(|option| option == OPTION.as_bytes());
        is_ours && field(b"TARGET=") == mountpoint.as_os_str().as_bytes()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_ours_is_told_from_those_of_others() {
        let table = br"SRC=mysite:/b TARGET=/mnt/my\040backup ROOT=/ OPTS=helper=filescomfs
ID=7 SRC=//host/x TARGET=/mnt/x ROOT=/ ATTRS=user=u OPTS=uhelper=cifs,helper=filescomfs2";
        assert!(is_registered(table, Path::new("/mnt/my backup")));
        assert!(!is_registered(table, Path::new("/mnt/x")) && !is_registered(b"", Path::new("/mnt/x")));
    }
}
