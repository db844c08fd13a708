//! Few descriptors: the mount gives back those that it only keeps, and a lack of them is never taken for a broken disk.

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

use crate::close::close;
use crate::stage::{Mount, Stage, told};

/// A command whose process may have so many files open: at first, and at most.
fn with_limit(command: &mut Command, soft: u64, hard: u64) {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: setrlimit reads a value that the closure owns, and is allowed between fork and exec.
    unsafe {
        command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_NOFILE, &limit) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
}

fn mount_with_limit(stage: &Stage, options: &[&str], (soft, hard): (u64, u64)) -> Mount {
    let mut command = stage.filescomfs(["mount"]);
    command.args(options);
    with_limit(&mut command, soft, hard);
    stage.mount_by(command, "mnt", "state")
}

fn is_on_the_site(stage: &Stage, mount: &Mount, names: impl Iterator<Item = String>) {
    let done = stage.filescomfs(["sync", "--timeout", "2m"]).arg(&mount.point).output().unwrap();
    assert!(done.status.success(), "{}", told(&done));
    assert_eq!(mount.status()["held"].as_array().map(Vec::len), Some(0));
    for name in names {
        assert_eq!(stage.stored(&name).as_deref(), Some(name.as_bytes()), "{name}");
        assert_eq!(fs::read(mount.path(&name)).unwrap(), name.as_bytes());
    }
}

const MODES: [&[&str]; 2] = [&[], &["--close", "journaled"]];

#[test]
fn four_hundred_small_files_go_through_a_mount_that_may_open_256() {
    for options in MODES {
        let stage = Stage::in_memory(|_| {});
        let mount = mount_with_limit(&stage, options, (256, 256));
        let names = || (0..400).map(|n| format!("file {n}"));
        for name in names() {
            let mut file = fs::File::create(mount.path(&name)).unwrap_or_else(|e| panic!("{name}: {e}"));
            file.write_all(name.as_bytes()).unwrap();
            close(file).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        is_on_the_site(&stage, &mount, names());
        mount.umount();
    }
}

#[test]
fn sixty_four_writers_at_once_share_a_mount_that_may_open_128() {
    for options in MODES {
        let stage = Stage::in_memory(|_| {});
        let mount = mount_with_limit(&stage, options, (128, 128));
        let names = |writer: u32| (0..4).map(move |n| format!("file {n} of {writer}"));
        thread::scope(|scope| {
            for writer in 0..64 {
                let mount = &mount;
                scope.spawn(move || {
                    for name in names(writer) {
                        let mut file = fs::File::create(mount.path(&name)).unwrap();
                        file.write_all(name.as_bytes()).unwrap();
                        close(file).unwrap_or_else(|error| panic!("{name}: {error}"));
                    }
                });
            }
        });
        is_on_the_site(&stage, &mount, (0..64).flat_map(names));
        mount.umount();
    }
}

#[test]
fn a_mount_takes_as_many_descriptors_as_it_may() {
    let stage = Stage::in_memory(|_| {});
    let mount = mount_with_limit(&stage, &[], (64, 4096));
    let limits = fs::read_to_string(format!("/proc/{}/limits", mount.pid)).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(line.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["4096", "4096"]);
    mount.umount();
}
