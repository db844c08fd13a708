//! Names that Files.com takes for one, in two mounts of one folder and beside another client: none is stored
//! over another, and both mounts show the same.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use filescomfs::emulator::{Effect, Fault};

use crate::stage::{FOLDER, Mount, Stage, wait_until};

/// Listings are asked for anew at every look.
const FRESH: [&str; 2] = ["--dir-ttl", "0s"];

/// Names and contents of the files in a folder.
fn content(folder: &Path) -> BTreeMap<OsString, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    files.map(|entry| (entry.file_name(), fs::read(entry.path()).unwrap())).collect()
}

fn expected(pairs: &[(&str, &str)]) -> BTreeMap<OsString, Vec<u8>> {
    pairs.iter().map(|(name, bytes)| ((*name).into(), (*bytes).into())).collect()
}

/// Two mounts of one folder, each with state of its own.
fn pair(stage: &mut Stage, options: &[&str]) -> (Mount, Mount) {
    let options = [&FRESH, options].concat();
    (stage.mount_at("one", "state-one", &options), stage.mount_at("two", "state-two", &options))
}

#[test]
fn two_mounts_show_the_same_names_whatever_either_does_to_them() {
    let mut stage = Stage::new();
    let (one, two) = pair(&mut stage, &[]);
    fs::write(one.path("README"), "upper").unwrap();
    fs::write(two.path("readme"), "lower").unwrap();
    fs::write(one.path("réadme"), "accent").unwrap();
    fs::create_dir(two.path("ReadMe")).unwrap();
    fs::write(two.path("ReadMe/inside"), "x").unwrap();
    let all = expected(&[("README", "upper"), ("readme", "lower"), ("réadme", "accent")]);
    assert_eq!((content(&one.point), content(&two.point)), (all.clone(), all));
    assert_eq!(fs::read(one.path("ReadMe/inside")).unwrap(), b"x");

    // The one whose text is plain goes; the others keep theirs, and a newcomer gets the free one.
    fs::remove_file(two.path("README")).unwrap();
    fs::write(one.path("readme"), "lower, again").unwrap();
    fs::rename(two.path("réadme"), two.path("RÉADME")).unwrap();
    fs::rename(one.path("ReadMe"), one.path("README")).unwrap();
    let all = expected(&[("readme", "lower, again"), ("RÉADME", "accent")]);
    assert_eq!((content(&one.point), content(&two.point)), (all.clone(), all.clone()));
    assert_eq!(fs::read(two.path("README/inside")).unwrap(), b"x");
    one.umount();
    two.umount();
    let (one, two) = pair(&mut stage, &[]);
    assert_eq!((content(&one.point), content(&two.point)), (all.clone(), all));
    assert_eq!(fs::read(one.path("README/inside")).unwrap(), b"x");
    one.umount();
    two.umount();
}

#[test]
fn a_name_that_only_changes_case_keeps_its_bytes_for_everybody() {
    let mut stage = Stage::new();
    let (one, two) = pair(&mut stage, &[]);
    fs::write(one.path("notes"), "text").unwrap();
    for name in ["Notes", "NOTES", "nötes", "notes"] {
        let before = content(&one.point).into_keys().next().unwrap();
        fs::rename(one.point.join(&before), one.path(name)).unwrap();
        let all = expected(&[(name, "text")]);
        assert_eq!((content(&one.point), content(&two.point)), (all.clone(), all), "{before:?} to {name}");
    }
    fs::create_dir_all(one.path("Folder/Sub")).unwrap();
    fs::write(one.path("Folder/Sub/f"), "deep").unwrap();
    fs::rename(one.path("Folder"), one.path("folder")).unwrap();
    fs::rename(one.path("folder/Sub"), one.path("folder/SUB")).unwrap();
    assert_eq!(fs::read(two.path("folder/SUB/f")).unwrap(), b"deep");
    assert!(!two.path("Folder").exists() && !two.path("folder/Sub").exists());
    one.umount();
    two.umount();
}

#[test]
fn what_is_owed_is_not_stored_over_what_came_meanwhile() {
    let mut stage = Stage::new();
    let (one, two) = pair(&mut stage, &["--close", "journaled", "--network-timeout", "2s"]);
    stage.site.inject(Fault { times: 0, ..Fault::on("begin_upload", Effect::Reset) });
    fs::write(one.path("README"), "ours").unwrap();
    fs::write(two.path("Read\u{200b}me"), "the other mount's").unwrap();
    // Another client is faster, with both a name that looks the same and a folder.
    stage.site.put(&format!("{FOLDER}/readme"), b"theirs");
    stage.site.mkdir(&format!("{FOLDER}/Straße"));
    fs::write(one.path("STRASSE"), "a file").unwrap();
    assert_eq!(
        fs::read(one.path("readme")).unwrap(),
        b"theirs",
        "the listing is taken in while ours is owed"
    );
    assert_eq!(fs::read(two.path("readme")).unwrap(), b"theirs");
    stage.site.clear_faults();
    for mount in [one, two] {
        mount.umount();
    }
    assert_eq!(stage.stored("readme").unwrap(), b"theirs");
    let mount = stage.mount(&[]);
    let all = expected(&[
        ("readme", "theirs"),
        ("README", "ours"),
        ("Read\u{200b}me", "the other mount's"),
        ("STRASSE", "a file"),
    ]);
    assert_eq!(content(&mount.point), all);
    assert!(mount.path("Straße").is_dir());
    mount.umount();
}

#[test]
fn a_foreign_twin_that_comes_after_ours_is_another_file() {
    let mut stage = Stage::new();
    let (one, two) = pair(&mut stage, &[]);
    fs::write(one.path("résumé"), "ours").unwrap();
    fs::remove_file(one.path("résumé")).unwrap();
    stage.site.put(&format!("{FOLDER}/RESUME"), b"theirs");
    fs::write(two.path("résumé"), "ours, again").unwrap();
    fs::write(one.path("resume"), "a third").unwrap();
    let all = expected(&[("RESUME", "theirs"), ("résumé", "ours, again"), ("resume", "a third")]);
    assert_eq!((content(&one.point), content(&two.point)), (all.clone(), all));
    stage.site.delete(&format!("{FOLDER}/RESUME"));
    fs::write(one.path("résumé"), "changed").unwrap();
    let all = expected(&[("résumé", "changed"), ("resume", "a third")]);
    wait_until("both mounts see it", || content(&one.point) == all && content(&two.point) == all);
    one.umount();
    two.umount();
}

#[test]
fn names_of_255_bytes_are_stored_whatever_they_cost_there() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let write =
        |name: &[u8], bytes: &str| fs::write(mount.point.join(OsString::from_vec(name.to_vec())), bytes);
    let long: Vec<Vec<u8>> = vec![
        b"n".repeat(255),
        b"N".repeat(255),
        b"\\".repeat(255),
        b"\x01".repeat(255),
        "‛".repeat(85).into_bytes(),
        "＼".repeat(85).into_bytes(),
        "\u{1f600}".repeat(63).into_bytes(),
        // Three characters for each byte that is no text.
        b"\xff".repeat(170),
        [b"\xff".repeat(128), b"x".repeat(127)].concat(),
    ];
    for (n, name) in long.iter().enumerate() {
        write(name, &n.to_string()).unwrap();
    }
    let uploads = stage.requests("begin_upload");
    for name in [b"\xff".repeat(171), b"\xff".repeat(255)] {
        let refused = write(&name, "x").unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::ENAMETOOLONG), "{} bytes", name.len());
        let refused = fs::create_dir(mount.point.join(OsString::from_vec(name.clone()))).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::ENAMETOOLONG));
        let from = mount.point.join(std::ffi::OsStr::from_bytes(&long[0]));
        let refused = fs::rename(from, mount.point.join(OsString::from_vec(name))).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::ENAMETOOLONG));
    }
    assert_eq!(stage.requests("begin_upload"), uploads, "nothing was sent for a name that cannot be stored");
    mount.umount();
    let mount = stage.mount(&[]);
    let found = content(&mount.point);
    assert_eq!(found.len(), long.len());
    for (n, name) in long.into_iter().enumerate() {
        assert_eq!(found[&OsString::from_vec(name)], n.to_string().into_bytes());
    }
    mount.umount();
}
