//! Set-user-id and set-group-id: what a change of the bytes takes off, and when it shows. A local disk is the judge.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::stage::{Stage, told};

const OWNER: u32 = 1000;
const OTHER: u32 = 65_534;

/// Changes a file in one of several ways, and tells its mode before, right after the call, and after the close.
const CHANGE: &str = r#"
import ctypes, os, sys
how, path = sys.argv[1:]
mode = lambda: print(oct(os.stat(path).st_mode & 0o7777))
mode()
if how == 'truncate':
    os.truncate(path, 3)
elif how == 'lengthen':
    os.truncate(path, 9)
else:
    fd = os.open(path, os.O_WRONLY | (os.O_TRUNC if how == 'open' else 0))
    if how == 'write':
        os.write(fd, b'x')
    elif how == 'ftruncate':
        os.ftruncate(fd, 3)
    elif how == 'fallocate':
        os.posix_fallocate(fd, 0, 99)
    elif how == 'keep':
        libc = ctypes.CDLL(None, use_errno=True)
        off = ctypes.c_int64
        assert libc.fallocate64(fd, 1, off(0), off(99)) == 0, os.strerror(ctypes.get_errno())
    mode()
    os.close(fd)
mode()
"#;

const WAYS: [&str; 8] =
    ["truncate", "lengthen", "write", "open", "ftruncate", "fallocate", "keep", "nothing"];

fn changed(how: &str, file: &Path, mode: u32, user: u32) -> String {
    fs::write(file, "some bytes").unwrap();
    chown(file, Some(OWNER), Some(OWNER)).unwrap();
    fs::set_permissions(file, Permissions::from_mode(mode)).unwrap();
    let output = Command::new("/usr/bin/python3")
        .args(["-c", CHANGE, how])
        .arg(file)
        .uid(user)
        .gid(user)
        .output()
        .unwrap();
    assert!(output.status.success(), "{how} by {user}: {}", told(&output));
    let size = file.metadata().unwrap().len();
    format!("{} {size}", String::from_utf8_lossy(&output.stdout).replace('\n', " "))
}

#[test]
fn a_change_of_bytes_takes_the_special_bits_off_as_a_local_disk_does_and_shows_at_once() {
    let mut stage = Stage::in_memory(|_| {});
    let local = stage.path("local");
    fs::create_dir(&local).unwrap();
    for folder in [local.as_path(), local.parent().unwrap()] {
        fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    }
    let mount = stage.mount(&["--allow-other", "--close", "journaled", "--dir-ttl", "1h"]);
    let mut differences = Vec::new();
    for how in WAYS {
        for mode in [0o6777, 0o4766, 0o2777] {
            for user in [OWNER, OTHER, 0] {
                let name = format!("{how} {mode:o} {user}");
                let expected = changed(how, &local.join(&name), mode, user);
                let here = changed(how, &mount.path(&name), mode, user);
                if here != expected {
                    differences.push(format!("{name}: {here} instead of {expected}"));
                }
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    mount.umount();
}

#[test]
fn bits_that_a_write_took_off_do_not_come_back_with_the_next_mount() {
    let mut stage = Stage::in_memory(|_| {});
    fs::set_permissions(stage.path(""), Permissions::from_mode(0o755)).unwrap();
    let mount = stage.mount(&["--allow-other"]);
    let ways = ["truncate", "write", "open", "ftruncate", "fallocate"];
    for how in ways {
        changed(how, &mount.path(how), 0o6777, OTHER);
    }
    mount.umount();
    let mount = stage.mount(&[]);
    for how in ways {
        assert_eq!(fs::metadata(mount.path(how)).unwrap().permissions().mode() & 0o7777, 0o777, "{how}");
    }
    mount.umount();
}
