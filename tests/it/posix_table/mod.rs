//! POSIX, call by call: each case runs in a folder of a local disk and in a mount, and has to end alike. What
//! the local disk does is the specification; what differs on purpose is listed with its reason, and nothing
//! is listed that does not differ.

mod bytes;
mod calls;
mod names;
mod opening;
mod renames;
mod rights;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use crate::stage::Stage;

/// A name, and calls in the working folder that tell how they ended.
type Case = (&'static str, fn() -> Vec<String>);

/// Cases that end otherwise in a mount, and why.
const DIFFERENCES: &[(&str, &str)] = &[
    ("hard links", "a file of Files.com has one name: EPERM (--hard-links copy makes a copy)"),
    ("pipes and sockets", "Files.com stores files and folders, nothing else: EPERM"),
    ("names are exchanged", "Files.com has no such call, and two moves are not atomic: EINVAL"),
    ("a file without a name", "Files.com stores what has a name, and link(2) is refused: EOPNOTSUPP"),
    ("a hole is punched", "what is sent has no holes: EOPNOTSUPP"),
    (
        "the time of access",
        "Files.com keeps none: the time of modification is shown, and setting it is ignored",
    ),
    ("subfolders are links of their folder", "counting them would list every folder: always 2"),
    ("a hole is found", "the bytes here may be a part of the file: all counts as data"),
];

/// How a call ended, in the words of errno(3).
fn told<T>(outcome: io::Result<T>) -> String {
    match outcome {
        Ok(_) => "ok".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// What a system call answered that tells failures by -1.
fn call(answer: impl Into<i64>) -> io::Result<i64> {
    match answer.into() {
        -1 => Err(io::Error::last_os_error()),
        answer => Ok(answer),
    }
}

fn c(path: &str) -> std::ffi::CString {
    std::ffi::CString::new(path).expect("a path without NUL")
}

/// Runs a case with `folder` as its working folder; where we are root, as the ordinary user nobody.
fn run(folder: &Path, ordinary: bool, case: fn() -> Vec<String>) -> Vec<String> {
    let folder = folder.to_owned();
    let work = move || {
        // SAFETY: the working folder, the umask and the identity for files are those of this thread alone
        // from here on; none of these calls touches memory.
        unsafe {
            assert_eq!(libc::unshare(libc::CLONE_FS), 0, "{}", io::Error::last_os_error());
            libc::umask(0o022);
            std::env::set_current_dir(&folder).unwrap();
            if ordinary {
                libc::setfsgid(65_534);
                libc::setfsuid(65_534);
            }
        }
        let outcomes = case();
        // The folder is let go before anybody sees this thread's end.
        std::env::set_current_dir("/").unwrap();
        outcomes
    };
    std::thread::spawn(work).join().unwrap_or_else(|_| vec!["the case panicked".into()])
}

/// A folder of its own for a case, that anybody may write into.
fn folder_for(root: &Path, name: &str) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let folder = root.join(name);
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    folder
}

fn compare(options: &[&str]) {
    let mut stage = Stage::new();
    let local = stage.path("local");
    fs::create_dir(&local).unwrap();
    // SAFETY: reads the identity of the process.
    let is_root = unsafe { libc::geteuid() } == 0;
    // Without it, nobody but who mounted is let in, not even by root's leave.
    let others: &[&str] = if is_root { &["--allow-other"] } else { &[] };
    let mount = stage.mount(&[options, others].concat());
    let reasons: BTreeMap<&str, &str> = DIFFERENCES.iter().copied().collect();
    let (mut wrong, mut count) = (Vec::new(), 0);
    let everybody = [opening::CASES, bytes::CASES, names::CASES, renames::CASES, calls::CASES];
    let ordinary = [rights::CASES];
    let cases =
        everybody.iter().map(|cases| (false, cases)).chain(ordinary.iter().map(|cases| (true, cases)));
    for (ordinary, cases) in cases {
        for (name, case) in cases.iter() {
            let here = run(&folder_for(&local, name), ordinary, *case);
            let there = run(&folder_for(&mount.point, name), ordinary, *case);
            match (here == there, reasons.get(name)) {
                (true, Some(_)) => wrong.push(format!("{name}: is listed as different, and is not")),
                (false, None) => {
                    wrong.push(format!("{name}:\n    local disk {here:?}\n    mount      {there:?}"))
                }
                _ => {}
            }
            count += 1;
        }
    }
    assert!(wrong.is_empty(), "{} of {count} cases:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 60, "only {count} cases");
    mount.umount();
}

#[test]
fn every_call_ends_as_on_a_local_disk() {
    compare(&[]);
}

#[test]
fn every_call_ends_as_on_a_local_disk_when_closes_are_journaled() {
    compare(&["--close", "journaled"]);
}
