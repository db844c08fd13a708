//! Names: what POSIX asks for, what Files.com would confuse, and who may do what.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use crate::stage::{FOLDER, Stage, noise, sh, wait_until};

fn errno<T>(outcome: io::Result<T>) -> i32 {
    match outcome {
        Ok(_) => 0,
        Err(error) => error.raw_os_error().unwrap_or(-1),
    }
}

#[test]
fn with_names_refuse_nothing_is_stored_under_another_text() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/README"), b"upper");
    let mount = stage.mount(&["--names", "refuse"]);
    assert_eq!(errno(fs::write(mount.path("readme"), "lower")), libc::EEXIST);
    assert_eq!(errno(fs::write(mount.path("RÉADME"), "accent")), libc::EEXIST);
    assert_eq!(errno(fs::create_dir(mount.path("Readme"))), libc::EEXIST);
    fs::write(mount.path("x.tmp"), "x").unwrap();
    assert_eq!(errno(fs::rename(mount.path("x.tmp"), mount.path("readme"))), libc::EEXIST);
    assert_eq!(stage.stored("README").unwrap(), b"upper");
    assert_eq!(stage.stored_names(), ["README"]);
    for (name, expected) in
        [("tail ", libc::EINVAL), ("back\\slash", libc::EINVAL), ("bell\u{7}", libc::EINVAL)]
    {
        assert_eq!(errno(fs::write(mount.path(name), "x")), expected, "{name:?}");
    }
    let not_text = Path::new(std::ffi::OsStr::from_bytes(b"\xff\xfe"));
    assert_eq!(errno(fs::write(mount.point.join(not_text), "x")), libc::EINVAL);
    assert_eq!(errno(fs::write(mount.path(&"n".repeat(256)), "x")), libc::ENAMETOOLONG);
    mount.umount();
}

#[test]
fn folders_are_made_moved_and_removed() {
    let mut stage = Stage::with(|site| {
        (site.folder_delete_delay_ms, site.migration_delay_ms) = (300, 200);
    });
    let mount = stage.mount(&[]);
    fs::create_dir_all(mount.path("a/b/c")).unwrap();
    fs::write(mount.path("a/b/c/f"), "deep").unwrap();
    assert_eq!(errno(fs::create_dir(mount.path("a"))), libc::EEXIST);
    assert_eq!(errno(fs::remove_dir(mount.path("a"))), libc::ENOTEMPTY);
    fs::rename(mount.path("a/b"), mount.path("moved")).unwrap();
    assert_eq!(stage.stored("moved/c/f").unwrap(), b"deep");
    assert_eq!(fs::read(mount.path("moved/c/f")).unwrap(), b"deep");
    fs::remove_dir(mount.path("a")).unwrap();
    fs::create_dir(mount.path("a")).unwrap();
    assert_eq!(errno(fs::rename(mount.path("a"), mount.path("moved"))), libc::ENOTEMPTY);
    fs::rename(mount.path("moved"), mount.path("a")).unwrap();
    assert_eq!(stage.stored_names(), ["a/c/f"]);
    assert_eq!(errno(fs::rename(mount.path("a"), mount.path("a/c/inside"))), libc::EINVAL);
    fs::write(mount.path("file"), "x").unwrap();
    assert_eq!(errno(fs::rename(mount.path("file"), mount.path("a"))), libc::EISDIR);
    assert_eq!(errno(fs::rename(mount.path("a"), mount.path("file"))), libc::ENOTDIR);
    fs::remove_dir_all(mount.path("a")).unwrap();
    assert_eq!(stage.stored_names(), ["file"]);
    mount.umount();
}

#[test]
fn files_are_renamed_over_files() {
    let mut stage = Stage::with(|site| site.migration_delay_ms = 100);
    let mount = stage.mount(&[]);
    fs::write(mount.path("a"), "a").unwrap();
    fs::write(mount.path("b"), "b").unwrap();
    let held = fs::File::open(mount.path("b")).unwrap();
    fs::rename(mount.path("a"), mount.path("b")).unwrap();
    assert_eq!(stage.stored_names(), ["b"]);
    assert_eq!(stage.stored("b").unwrap(), b"a");
    assert_eq!(fs::read(mount.path("b")).unwrap(), b"a");
    assert_eq!(io::read_to_string(held).unwrap(), "b", "whoever has it open keeps what was there");
    fs::write(mount.path("c"), "c").unwrap();
    let (from, to) = (mount.path("c"), mount.path("b"));
    let refused = sh(&format!("mv -n {} {} 2>&1 || true", from.display(), to.display()));
    drop(refused);
    assert_eq!(stage.stored("b").unwrap(), b"a", "mv -n replaces nothing");
    mount.umount();
}

#[test]
fn two_writers_do_not_both_take_a_lock_folder() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let take = |n: u32| {
        let mine = mount.path(&format!("lock.exclusive.{n}.tmp"));
        fs::create_dir(&mine).unwrap();
        fs::write(mine.join(format!("host.{n}")), "").unwrap();
        fs::rename(&mine, mount.path("lock.exclusive"))
    };
    take(1).unwrap();
    assert_eq!(errno(take(2)), libc::ENOTEMPTY);
    assert_eq!(stage.stored_names(), ["lock.exclusive/host.1"]);
    assert_eq!(stage.requests("move"), 0);
    assert!(!stage.was_named(".1.tmp"), "a temporary folder reached the site");
    fs::remove_file(mount.path("lock.exclusive/host.1")).unwrap();
    fs::remove_dir(mount.path("lock.exclusive")).unwrap();
    fs::rename(mount.path("lock.exclusive.2.tmp"), mount.path("lock.exclusive")).unwrap();
    fs::remove_dir_all(mount.path("lock.exclusive")).unwrap();
    mount.umount();
}

#[test]
fn attributes_come_back_from_another_mount() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let time = UNIX_EPOCH + Duration::new(1_500_000_000, 123_456_789);
    fs::write(mount.path("f"), "x").unwrap();
    fs::set_permissions(mount.path("f"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::File::options().write(true).open(mount.path("f")).unwrap().set_modified(time).unwrap();
    fs::create_dir(mount.path("d")).unwrap();
    fs::set_permissions(mount.path("d"), fs::Permissions::from_mode(0o2750)).unwrap();
    std::os::unix::fs::chown(mount.path("d"), Some(1234), Some(4321)).unwrap();
    mount.umount();
    let mount = stage.mount(&[]);
    let file = fs::metadata(mount.path("f")).unwrap();
    assert_eq!((file.mode() & 0o7777, file.modified().unwrap()), (0o640, time));
    let folder = fs::metadata(mount.path("d")).unwrap();
    assert_eq!((folder.mode() & 0o7777, folder.uid(), folder.gid()), (0o2750, 1234, 4321));
    mount.umount();
}

#[test]
fn attributes_of_something_published_are_merged_into_one_call() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    fs::write(mount.path("f"), "x").unwrap();
    stage.site.clear_requests();
    for mode in [0o600, 0o640, 0o400] {
        fs::set_permissions(mount.path("f"), fs::Permissions::from_mode(mode)).unwrap();
    }
    wait_until("the attributes are sent", || stage.requests("patch") > 0);
    mount.umount();
    assert_eq!(stage.requests("patch"), 1);
}

#[test]
fn changes_made_elsewhere_are_seen() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/f"), b"one");
    let mount = stage.mount(&["--dir-ttl", "1s"]);
    assert_eq!(fs::read(mount.path("f")).unwrap(), b"one");
    stage.site.put(&format!("{FOLDER}/f"), b"two, by somebody else");
    stage.site.put(&format!("{FOLDER}/new"), b"x");
    wait_until("the new version is seen", || {
        fs::read(mount.path("f")).is_ok_and(|bytes| bytes == b"two, by somebody else")
    });
    assert_eq!(fs::read(mount.path("new")).unwrap(), b"x");
    stage.site.delete(&format!("{FOLDER}/f"));
    wait_until("it is gone", || !mount.path("f").exists());
    mount.umount();
}

#[test]
fn a_folder_of_many_pages_is_listed_whole() {
    let mut stage = Stage::with(|site| (site.per_page_max, site.empty_pages) = (100, true));
    for n in 0..350 {
        stage.site.put(&format!("{FOLDER}/many/{n:04}"), &noise(n, n as usize));
    }
    let mount = stage.mount(&[]);
    let names: Vec<_> =
        fs::read_dir(mount.path("many")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 350);
    stage.site.clear_requests();
    for n in 0..350 {
        assert_eq!(fs::metadata(mount.path(&format!("many/{n:04}"))).unwrap().size(), n);
    }
    assert_eq!(stage.requests("list") + stage.requests("stat"), 0, "what is listed is not asked for again");
    mount.umount();
}

#[test]
fn a_folder_that_only_takes_new_files_is_a_good_target() {
    // No overwrite, no rename, no delete: what protects a backup from a stolen key.
    let mut stage = Stage::with(|site| {
        site.permissions.insert(FOLDER.into(), "lrw".into());
    });
    let source = stage.path("source");
    crate::stage::plant_tree(&source);
    let mount = stage.mount(&[]);
    sh(&format!("rsync -a {}/ {}/", source.display(), mount.point.display()));
    assert_eq!(stage.stored_names().len(), 24);
    assert_eq!(errno(fs::remove_file(mount.path("docs/file 1.dat"))), libc::EACCES);
    mount.umount();
}

#[test]
fn symbolic_links_come_back_from_another_mount() {
    let mut stage = Stage::new();
    let source = stage.path("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "x").unwrap();
    let long = "d/".repeat(700) + "end";
    for (name, target) in
        [("relative", "file"), ("absolute", "/etc/passwd"), ("dangling", "../nowhere"), ("long", &long)]
    {
        std::os::unix::fs::symlink(target, source.join(name)).unwrap();
    }
    let mount = stage.mount(&[]);
    sh(&format!("rsync -a {}/ {}/", source.display(), mount.point.display()));
    assert_eq!(fs::read(mount.path("relative")).unwrap(), b"x", "a link is followed by the kernel");
    // A link that is replaced, as rsync does it: made under a temporary name, and renamed.
    fs::remove_file(source.join("relative")).unwrap();
    std::os::unix::fs::symlink("dangling", source.join("relative")).unwrap();
    sh(&format!("rsync -a {}/ {}/", source.display(), mount.point.display()));
    assert_eq!(stage.requests("move"), 0);
    mount.umount();
    let mount = stage.mount(&[]);
    let back = stage.path("back");
    sh(&format!("rsync -a {}/ {}/", mount.point.display(), back.display()));
    crate::stage::same_trees(&source, &back);
    let again = sh(&format!("rsync -ai {}/ {}/", source.display(), mount.point.display()));
    assert_eq!(String::from_utf8_lossy(&again.stdout), "", "a second run sends nothing");
    mount.umount();

    let mount = stage.mount(&["--metadata", "mtime"]);
    let refused = std::os::unix::fs::symlink("file", mount.path("new"));
    assert_eq!(errno(refused), libc::EPERM, "without metadata a link could not be told from a file");
    mount.umount();
}

#[test]
fn with_symlinks_inside_nobody_is_led_out_of_the_mount() {
    use std::os::unix::fs::symlink;
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    fs::create_dir_all(mount.path("d/e")).unwrap();
    fs::write(mount.path("f"), "x").unwrap();
    fs::write(stage.path("secret"), "of this machine").unwrap();
    // Others put them there: a mount that keeps them stands for another client.
    for (name, target) in [
        ("d/up", "../f"),
        ("d/e/up", "../../f"),
        ("out", "../secret"),
        ("d/out", "../../secret"),
        ("top", "d/.."),
        ("absolute", "/etc/passwd"),
    ] {
        symlink(target, mount.path(name)).unwrap();
    }
    assert_eq!(fs::read(mount.path("out")).unwrap(), b"of this machine");
    mount.umount();
    let mount = stage.mount(&["--symlinks", "inside"]);
    for name in ["d/up", "d/e/up"] {
        assert_eq!(fs::read(mount.path(name)).unwrap(), b"x", "{name}");
    }
    for name in ["out", "d/out", "top", "absolute"] {
        assert_eq!(errno(fs::read_link(mount.path(name))), libc::EPERM, "{name}");
        assert_eq!(errno(fs::metadata(mount.path(name))), libc::EPERM, "{name}");
        assert!(fs::symlink_metadata(mount.path(name)).unwrap().is_symlink());
    }
    assert_eq!(errno(symlink("/etc", mount.path("new"))), libc::EPERM);
    symlink("d/up", mount.path("new")).unwrap();
    fs::rename(mount.path("d/e/up"), mount.path("higher")).unwrap();
    assert_eq!(errno(fs::read_link(mount.path("higher"))), libc::EPERM, "it leads outside from there");
    mount.umount();
}

#[test]
fn names_that_end_in_any_blank_of_unicode_come_back_beside_those_without() {
    let blanks =
        [' ', '\u{85}', '\u{a0}', '\u{1680}', '\u{2003}', '\u{2028}', '\u{202f}', '\u{205f}', '\u{3000}'];
    let names: Vec<String> =
        std::iter::once("n".to_owned()).chain(blanks.map(|blank| format!("n{blank}"))).collect();
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    for name in &names {
        fs::write(mount.path(name), name).unwrap();
        fs::create_dir(mount.path(&format!("folder {name}")))
            .unwrap_or_else(|error| panic!("{name:?}: {error}"));
        fs::write(mount.path(&format!("folder {name}/{name}")), name).unwrap();
    }
    mount.umount();
    assert!(
        stage.stored_names().iter().all(|name| !name.ends_with(char::is_whitespace)),
        "{:?}",
        stage.stored_names()
    );
    // Of another client, with a text that this mount would not have written.
    stage.site.put(&format!("{FOLDER}/theirs\u{3000}"), b"x");
    let mount = stage.mount(&[]);
    for name in &names {
        assert_eq!(fs::read_to_string(mount.path(name)).unwrap(), *name);
        assert_eq!(fs::read_to_string(mount.path(&format!("folder {name}/{name}"))).unwrap(), *name);
    }
    assert_eq!(fs::read(mount.path("theirs\u{3000}")).unwrap(), b"x");
    mount.umount();
}
