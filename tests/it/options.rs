//! Options of a mount, and limits of what it takes, that no other test is about.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::close::{close, write_and_close};
use crate::stage::{FOLDER, Mount, Stage, noise, run};

/// How the kernel shows a mount.
fn words(mount: &Mount) -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let line = mounts.lines().find(|line| line.split(' ').nth(1) == mount.point.to_str()).unwrap();
    line.split(' ').nth(3).unwrap().split(',').map(str::to_owned).collect()
}

#[test]
fn more_than_five_tebibytes_are_efbig_and_the_file_stays_as_it_was() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let largest: u64 = 5 << 40;
    let file = File::create_new(mount.path("f")).unwrap();
    file.write_all_at(b"small", 0).unwrap();
    let efbig = |outcome: std::io::Result<()>| {
        assert_eq!(outcome.unwrap_err().raw_os_error(), Some(libc::EFBIG));
    };
    efbig(file.set_len(largest + 1));
    efbig(file.write_all_at(b"x", largest));
    assert_eq!(file.metadata().unwrap().len(), 5);
    // As large as may be, and back: nobody waits here until that much has arrived.
    file.set_len(largest).unwrap();
    let len = file.metadata().unwrap().len();
    file.set_len(5).unwrap();
    assert_eq!(len, largest);
    close(file).unwrap();
    assert_eq!(stage.stored("f").unwrap(), b"small");
    mount.umount();
}

#[test]
fn a_read_only_mount_shows_modes_as_they_are_and_refuses_every_change() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    write_and_close(&mount.path("f"), b"bytes").unwrap();
    fs::set_permissions(mount.path("f"), fs::Permissions::from_mode(0o2640)).unwrap();
    fs::create_dir(mount.path("d")).unwrap();
    fs::set_permissions(mount.path("d"), fs::Permissions::from_mode(0o1777)).unwrap();
    symlink("f", mount.path("link")).unwrap();
    mount.umount();
    for words_of_it in [&["--read-only"][..], &["-o", "ro"]] {
        let mount = stage.mount(words_of_it);
        assert!(words(&mount).contains(&"ro".to_owned()), "{:?}", words(&mount));
        let mode = |name: &str| fs::symlink_metadata(mount.path(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("f"), mode("d"), mode("link")), (0o2640, 0o1777, 0o777));
        assert_eq!(fs::read(mount.path("link")).unwrap(), b"bytes");
        stage.site.clear_requests();
        let at = |name: &str| mount.path(name);
        for (what, outcome) in [
            ("overwriting", fs::write(at("f"), "x")),
            ("a new file", fs::write(at("new"), "x")),
            ("a folder", fs::create_dir(at("new"))),
            ("a link", symlink("f", at("new"))),
            ("a hard link", fs::hard_link(at("f"), at("new"))),
            ("a deletion", fs::remove_file(at("f"))),
            ("a removal", fs::remove_dir(at("d"))),
            ("a rename", fs::rename(at("f"), at("g"))),
            ("a mode", fs::set_permissions(at("f"), fs::Permissions::from_mode(0o600))),
            ("an owner", std::os::unix::fs::chown(at("f"), Some(1), Some(1))),
            ("a time", File::open(at("f")).unwrap().set_modified(std::time::UNIX_EPOCH)),
        ] {
            let failed = outcome.expect_err(what);
            assert_eq!(failed.kind(), ErrorKind::ReadOnlyFilesystem, "{what}: {failed}");
        }
        let changing = ["mkdir", "patch", "delete", "move", "begin_upload"];
        assert_eq!(changing.map(|kind| stage.requests(kind)), [0; 5]);
        mount.umount();
    }
}

#[test]
fn noexec_runs_nothing_and_no_mount_honours_set_id_bits_or_devices() {
    let mut stage = Stage::new();
    for (options, runs) in [(&[][..], true), (&["-o", "noexec"], false)] {
        let mount = stage.mount(options);
        let script = mount.path(&format!("script {runs}"));
        write_and_close(&script, b"#!/bin/sh\nexit 7\n").unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let ended = Command::new(&script).status();
        match runs {
            true => assert_eq!(ended.unwrap().code(), Some(7)),
            false => assert_eq!(ended.unwrap_err().kind(), ErrorKind::PermissionDenied),
        }
        let words = words(&mount);
        assert_eq!(words.contains(&"noexec".to_owned()), !runs, "{words:?}");
        for always in ["nosuid", "nodev", "default_permissions"] {
            assert!(words.contains(&always.to_owned()), "{always}: {words:?}");
        }
        mount.umount();
    }
}

#[test]
fn downloads_keep_to_their_limit_and_bring_the_right_bytes() {
    let mut stage = Stage::new();
    let bytes = noise(5, 5 << 19);
    stage.site.put(&format!("{FOLDER}/f"), &bytes);
    let mount = stage.mount(&["--bwlimit-down", "1M"]);
    assert_eq!(mount.status()["bandwidth"], serde_json::json!({ "up": null, "down": 1 << 20 }));
    let start = Instant::now();
    assert!(fs::read(mount.path("f")).unwrap() == bytes);
    // 2.5 MiB, less what a line saves that was idle before.
    assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(mount.status()["retries"], 0, "a download that is held back is no stalled one");
    mount.umount();
}

#[test]
fn names_that_are_called_temporary_are_never_on_the_site() {
    let mut stage = Stage::new();
    for (n, options) in [
        &["--temporary-names", "*.upload:~*", "--temporary-names", "part?"][..],
        &["-o", "temporary-names=*.upload:~*:part?"],
    ]
    .into_iter()
    .enumerate()
    {
        let mount = stage.mount(options);
        stage.site.clear_requests();
        for (m, temporary) in ["a.upload", "~b", "part1"].into_iter().enumerate() {
            write_and_close(&mount.path(temporary), b"bytes").unwrap();
            fs::rename(mount.path(temporary), mount.path(&format!("final {n}{m}"))).unwrap();
            assert_eq!(stage.stored(&format!("final {n}{m}")).unwrap(), b"bytes");
            assert!(!stage.was_named(temporary), "{temporary} was on the site");
        }
        // What does not fit is published by its close.
        write_and_close(&mount.path("part12"), b"published").unwrap();
        assert_eq!(stage.stored("part12").unwrap(), b"published");
        run(Command::new("ls").arg(&mount.point));
        assert_eq!(stage.requests("move"), 0);
        mount.umount();
    }
}
