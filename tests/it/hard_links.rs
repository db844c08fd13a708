//! link(2): refused, or with `--hard-links copy` a copy of its own that Files.com makes.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::time::{Duration, UNIX_EPOCH};

use filescomfs::emulator::{Effect, Fault};

use crate::stage::{FOLDER, Mount, Stage, noise, plant_tree, same_trees, sh, told, wait_until};

const COPY: [&str; 2] = ["--hard-links", "copy"];
const JOURNALED: [&str; 4] = ["--hard-links", "copy", "--close", "journaled"];

fn sync(stage: &Stage, mount: &Mount) {
    let done = stage.filescomfs(["sync", "--timeout", "10m"]).arg(&mount.point).output().unwrap();
    assert!(done.status.success(), "{}", told(&done));
}

#[test]
fn hard_links_are_refused_unless_they_are_asked_for() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    fs::write(mount.path("f"), "x").unwrap();
    let refused = fs::hard_link(mount.path("f"), mount.path("g")).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EPERM));
    assert_eq!((stage.stored_names(), stage.requests("copy")), (vec!["f".to_owned()], 0));
    mount.umount();
}

/// On sites that state digests, and on those that do not and take their time.
#[test]
fn a_hard_link_is_a_copy_with_all_attributes_that_files_com_makes() {
    for (md5, delay) in [(true, 0), (false, 200)] {
        let mut stage = Stage::with(|site| {
            (site.md5, site.crc32, site.migration_delay_ms) = (md5, md5, delay);
        });
        let bytes = noise(1, 30 << 20);
        stage.site.put(&format!("{FOLDER}/theirs"), &noise(2, 1000));
        let mount = stage.mount(&COPY);
        fs::write(mount.path("f"), &bytes).unwrap();
        let time = UNIX_EPOCH + Duration::new(1_500_000_000, 123_456_789);
        let file = fs::File::options().write(true).open(mount.path("f")).unwrap();
        file.set_modified(time).unwrap();
        drop(file);
        fs::set_permissions(mount.path("f"), fs::Permissions::from_mode(0o640)).unwrap();
        sh(&format!("setfattr -n user.a -v b {}", mount.path("f").display()));
        fs::create_dir(mount.path("d")).unwrap();
        let uploads = stage.requests("begin_upload");
        fs::hard_link(mount.path("f"), mount.path("d/g")).unwrap();
        fs::hard_link(mount.path("theirs"), mount.path("d/h")).unwrap();
        assert_eq!((stage.requests("copy"), stage.requests("begin_upload")), (2, uploads));
        assert!(stage.stored("d/g").unwrap() == bytes);
        assert!(fs::read(mount.path("d/g")).unwrap() == bytes);
        assert_eq!(fs::hard_link(mount.path("f"), mount.path("d/g")).unwrap_err().raw_os_error(), Some(17));
        assert_eq!(mount.status()["weak"], 0, "{md5}");
        let state =
            sh(&format!("getfattr --only-values -n user.filescomfs.state {}", mount.path("d/g").display()));
        assert_eq!(String::from_utf8_lossy(&state.stdout), "verified", "{md5}");
        mount.umount();
        let mount = stage.mount(&COPY);
        let found = fs::metadata(mount.path("d/g")).unwrap();
        assert_eq!((found.mode() & 0o7777, found.modified().unwrap(), found.nlink()), (0o640, time, 1));
        sh(&format!("getfattr -n user.a {}", mount.path("d/g").display()));
        assert!(fs::read(mount.path("d/h")).unwrap() == noise(2, 1000));
        fs::write(mount.path("f"), "changed").unwrap();
        assert!(fs::read(mount.path("d/g")).unwrap() == bytes, "the copy is a file of its own");
        mount.umount();
    }
}

#[test]
fn a_hard_link_costs_the_copy_and_its_attributes_and_no_question() {
    for options in [&COPY[..], &JOURNALED] {
        let mut stage = Stage::with(|site| site.checksum_delay_ms = 0);
        let mount = stage.mount(options);
        fs::write(mount.path("f"), "bytes").unwrap();
        fs::set_permissions(mount.path("f"), fs::Permissions::from_mode(0o640)).unwrap();
        sync(&stage, &mount);
        let before = stage.site.requests().len();
        fs::hard_link(mount.path("f"), mount.path("g")).unwrap();
        fs::hard_link(mount.path("g"), mount.path("h")).unwrap();
        sync(&stage, &mount);
        let asked = stage.site.requests().split_off(before);
        let mut kinds: Vec<&str> = asked.iter().map(|request| request.kind).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, ["copy", "copy", "patch", "patch"]);
        mount.umount();
        let mount = stage.mount(&[]);
        let [f, g, h] = ["f", "g", "h"].map(|name| fs::metadata(mount.path(name)).unwrap());
        for copy in [g, h] {
            assert_eq!((copy.mode(), copy.modified().unwrap()), (f.mode(), f.modified().unwrap()));
        }
        mount.umount();
    }
}

#[test]
fn a_link_to_what_is_still_being_written_is_uploaded_by_itself() {
    let mut stage = Stage::new();
    let mount = stage.mount(&COPY);
    let file = fs::File::create(mount.path("f")).unwrap();
    file.write_all_at(b"half of it", 0).unwrap();
    fs::hard_link(mount.path("f"), mount.path("g")).unwrap();
    file.write_all_at(b"all of it!", 0).unwrap();
    crate::close::close(file).unwrap();
    assert_eq!(
        (stage.stored("f").unwrap(), stage.stored("g").unwrap()),
        (b"all of it!".into(), b"half of it".into())
    );
    assert_eq!(stage.requests("copy"), 0);
    mount.umount();
}

#[test]
fn a_copy_of_something_else_is_told_and_taken_away() {
    let mut stage = Stage::with(|site| site.checksum_delay_ms = 0);
    stage.site.put(&format!("{FOLDER}/f"), b"one");
    let mount = stage.mount(&COPY);
    assert_eq!(fs::read_dir(&mount.point).unwrap().count(), 1);
    stage.site.put(&format!("{FOLDER}/f"), b"two");
    let refused = fs::hard_link(mount.path("f"), mount.path("g")).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EIO));
    assert_eq!(stage.stored_names(), ["f"]);
    mount.umount();
}

#[test]
fn a_copy_whose_answer_is_lost_is_made_once() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/f"), b"one");
    let mount = stage.mount(&COPY);
    stage.site.inject(Fault::on("copy", Effect::Reset).after_effect());
    fs::hard_link(mount.path("f"), mount.path("g")).unwrap();
    assert_eq!((stage.stored("g").unwrap(), stage.requests("copy")), (b"one".to_vec(), 1));
    mount.umount();
}

#[test]
fn rotated_backups_of_rsync_and_cp_work_in_both_modes() {
    for options in [&COPY[..], &JOURNALED] {
        let mut stage = Stage::new();
        let source = stage.path("source");
        plant_tree(&source);
        symlink("docs", source.join("link")).unwrap();
        sh(&format!("touch -h -d 2021-01-01 {0}/link; touch -d 2021-01-01 {0}", source.display()));
        let mount = stage.mount(options);
        let (from, to) = (source.display(), mount.point.display());
        sh(&format!("rsync -a {from}/ {to}/daily.0/"));
        sync(&stage, &mount);
        let sent = stage.requests("begin_upload");
        // As rsnapshot does it.
        sh(&format!("cp -al {to}/daily.0 {to}/daily.1"));
        sh(&format!(
            "echo new > {from}/docs/'file 3.dat'; touch -d 2022-02-02 {from}/docs {from}/docs/*3.dat"
        ));
        sh(&format!("rsync -a --delete {from}/ {to}/daily.0/"));
        sh(&format!("rsync -a --link-dest=../daily.0 {from}/ {to}/daily.2/"));
        sync(&stage, &mount);
        let again = stage.requests("begin_upload") - sent;
        assert!(again <= 6, "{again} uploads: the changed file and links are sent, all else is copied");
        assert!(stage.requests("copy") >= 40, "{}", stage.requests("copy"));
        mount.umount();
        let mount = stage.mount(&[]);
        same_trees(&source, &mount.path("daily.0"));
        same_trees(&source, &mount.path("daily.2"));
        sh(&format!("test $(find {}/daily.1 -type f | wc -l) = 24", mount.point.display()));
        assert_ne!(fs::read(mount.path("daily.1/docs/file 3.dat")).unwrap(), b"new\n");
        assert_eq!(fs::read_link(mount.path("daily.1/link")).unwrap().to_str(), Some("docs"));
        mount.umount();
    }
}

/// Copies that cannot be made yet, and what is done with them and with their sources meanwhile.
fn link_while_nothing_arrives(stage: &Stage, mount: &Mount) {
    for kind in ["mkdir", "move", "copy", "delete", "begin_upload", "patch"] {
        stage.site.inject(Fault { times: 0, ..Fault::on(kind, Effect::Proxy { status: 503 }) });
    }
    let at = |name: &str| mount.path(name);
    fs::create_dir(at("d")).unwrap();
    fs::hard_link(at("ours"), at("d/ours")).unwrap();
    fs::hard_link(at("a"), at("d/a")).unwrap();
    fs::hard_link(at("d/a"), at("d/b")).unwrap();
    fs::rename(at("d"), at("e")).unwrap();
    fs::remove_file(at("a")).unwrap();
    fs::write(at("a"), "another").unwrap();
    fs::write(at("new"), "only here").unwrap();
    fs::hard_link(at("new"), at("e/new")).unwrap();
    fs::set_permissions(at("e/b"), fs::Permissions::from_mode(0o600)).unwrap();
}

fn is_linked(mount: &Mount) {
    assert!(fs::read(mount.path("e/ours")).unwrap() == noise(7, 3 << 20));
    let text = |name: &str| fs::read_to_string(mount.path(name)).unwrap();
    assert_eq!(
        (text("e/a"), text("e/b"), text("a")),
        ("of others".into(), "of others".into(), "another".into())
    );
    assert_eq!((text("new"), text("e/new")), ("only here".into(), "only here".into()));
    assert_eq!(fs::metadata(mount.path("e/b")).unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn journaled_copies_are_made_in_order_and_survive_sigkill() {
    for (killed, digests) in [(false, false), (false, true), (true, true)] {
        let mut stage = Stage::with(|site| (site.md5, site.crc32) = (digests, digests));
        stage.site.put(&format!("{FOLDER}/a"), b"of others");
        let mut mount = stage.mount_with_state("state", &JOURNALED);
        fs::write(mount.path("ours"), noise(7, 3 << 20)).unwrap();
        sync(&stage, &mount);
        link_while_nothing_arrives(&stage, &mount);
        is_linked(&mount);
        if killed {
            mount.kill();
            mount = stage.mount_with_state("state", &JOURNALED);
            is_linked(&mount);
        }
        assert_eq!(stage.stored_names(), ["a", "ours"], "nothing arrived yet");
        stage.site.clear_faults();
        sync(&stage, &mount);
        is_linked(&mount);
        mount.umount();
        let mount = stage.mount(&[]);
        is_linked(&mount);
        mount.umount();
    }
}

#[test]
fn a_copy_that_was_made_before_a_crash_is_not_made_again() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/a"), b"of others");
    let mount = stage.mount_with_state("state", &JOURNALED);
    stage.site.inject(Fault { times: 0, ..Fault::on("stat", Effect::Proxy { status: 503 }) });
    fs::hard_link(mount.path("a"), mount.path("b")).unwrap();
    wait_until("it is there", || stage.stored("b").is_some());
    mount.kill();
    stage.site.clear_faults();
    let mount = stage.mount_with_state("state", &JOURNALED);
    sync(&stage, &mount);
    assert_eq!((stage.stored("b").unwrap(), stage.requests("copy")), (b"of others".to_vec(), 1));
    assert_eq!(mount.status()["held"].as_array().unwrap().len(), 0);
    mount.umount();
}

#[test]
fn a_journaled_copy_of_what_others_replaced_is_held_and_told() {
    let mut stage = Stage::with(|site| site.checksum_delay_ms = 0);
    stage.site.put(&format!("{FOLDER}/f"), b"one");
    let mount = stage.mount(&JOURNALED);
    assert_eq!(fs::read_dir(&mount.point).unwrap().count(), 1);
    stage.site.put(&format!("{FOLDER}/f"), b"two");
    fs::hard_link(mount.path("f"), mount.path("g")).unwrap();
    wait_until("it is held", || mount.status()["held"].as_array().is_some_and(|held| held.len() == 1));
    let told = mount.status()["held"][0]["message"].to_string();
    assert!(told.contains("copy /backups/f to /backups/g") && told.contains("MD5"), "{told}");
    assert_eq!(stage.stored_names(), ["f"]);
}

#[test]
fn a_gap_of_a_file_takes_no_room_in_its_copy() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[&JOURNALED[..], &["--cache-size", "64M"]].concat());
    let busy = Effect::Error { kind: "service-unavailable".into(), status: Some(503), retry_after: None };
    stage.site.inject(Fault::on("begin_upload", busy).times(0));
    let file = fs::File::create(mount.path("a")).unwrap();
    file.set_len(256 << 20).unwrap();
    file.write_all_at(b"in the middle", 100 << 20).unwrap();
    drop(file);
    for name in ["b", "c", "d"] {
        fs::hard_link(mount.path("a"), mount.path(name)).unwrap();
        let mut middle = [0; 13];
        fs::File::open(mount.path(name)).unwrap().read_exact_at(&mut middle, 100 << 20).unwrap();
        assert_eq!(&middle, b"in the middle");
        assert_eq!(fs::metadata(mount.path(name)).unwrap().len(), 256 << 20);
    }
    let spool = [mount.state.join("state/spool"), mount.state.join("spool")];
    let spool = spool.iter().find(|spool| spool.exists()).unwrap();
    let taken = |entry: fs::DirEntry| entry.metadata().map_or(0, |metadata| metadata.blocks() * 512);
    let taken: u64 = fs::read_dir(spool).unwrap().map(|entry| taken(entry.unwrap())).sum();
    assert!(taken < 4 << 20, "{taken} bytes of the disk for four files of 13 bytes");
    for name in ["a", "b", "c", "d"] {
        fs::remove_file(mount.path(name)).unwrap();
    }
    stage.site.clear_faults();
    mount.umount();
}
