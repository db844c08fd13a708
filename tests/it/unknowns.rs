//! What nobody outside knows of the service, at its least comfortable: the mount's choice holds all the same.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;

use filescomfs::emulator::{Fault, NameRule};

use crate::alone::call;
use crate::close::{close, write_and_close};
use crate::faults::refusal;
use crate::stage::{FOLDER, KEY, Stage, noise, wait_until};

#[test]
fn where_parts_must_come_one_after_the_other_they_do() {
    let mut stage = Stage::with(|site| site.parallel_parts = false);
    let mount = stage.mount(&[]);
    let bytes = noise(1, 17 << 20);
    write_and_close(&mount.path("f"), &bytes).unwrap();
    assert!(stage.stored("f").unwrap() == bytes);
    let numbers: Vec<_> = stage
        .site
        .requests()
        .iter()
        .filter(|r| r.kind == "part" || r.kind == "begin_part")
        .map(|r| r.kind)
        .collect();
    assert_eq!(numbers, ["part", "begin_part", "part", "begin_part", "part", "begin_part", "part"]);
    mount.umount();
}

#[test]
fn an_upload_that_the_service_forgets_is_begun_afresh() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    for kind in ["complete", "begin_part"] {
        stage.site.inject(Fault::on(kind, refusal("not-found/file-upload-not-found", None)));
        let bytes = noise(2, 25 << 20);
        write_and_close(&mount.path(kind), &bytes).unwrap();
        assert!(stage.stored(kind).unwrap() == bytes, "{kind}");
        assert_eq!(stage.site.waiting_faults(), [], "{kind}");
        let told = format!("{kind} is sent once more (attempt 1)");
        assert!(mount.log().contains(&told), "{told:?} is not in the log:\n{}", mount.log());
    }
    mount.umount();
}

#[test]
fn a_move_that_leaves_a_gap_is_awaited() {
    let mut stage = Stage::with(|site| site.move_gap_ms = 500);
    let mount = stage.mount(&[]);
    write_and_close(&mount.path("new"), b"new").unwrap();
    write_and_close(&mount.path("f"), b"old").unwrap();
    fs::rename(mount.path("new"), mount.path("f")).unwrap();
    assert_eq!(stage.stored("f").unwrap(), b"new");
    assert_eq!(fs::read(mount.path("f")).unwrap(), b"new");
    mount.umount();
}

#[test]
fn a_missing_permission_that_shows_as_not_found_says_so_and_keeps_the_bytes() {
    let mut stage = Stage::with(|site| site.forbidden_is_not_found = true);
    let mount = stage.mount(&[]);
    stage.site.set_permissions(FOLDER, "lr");
    let failed = write_and_close(&mount.path("f"), b"kept").unwrap_err();
    assert_eq!(failed.raw_os_error(), Some(libc::ENOENT));
    assert!(mount.log().contains("also where a permission is missing"), "{}", mount.log());
    assert_eq!(fs::read(mount.path("f")).unwrap(), b"kept");
    stage.site.set_permissions(FOLDER, "lrwod");
    close(fs::OpenOptions::new().append(true).open(mount.path("f")).unwrap()).unwrap();
    assert_eq!(stage.stored("f").unwrap(), b"kept");
    mount.umount();
}

#[test]
fn names_that_either_rule_takes_for_one_are_two_files_whichever_rule_the_site_has() {
    for (rule, respells) in [(NameRule::Collation, false), (NameRule::Latin, false), (NameRule::Latin, true)]
    {
        let mut stage = Stage::with(|site| (site.names, site.overwrite_respells) = (rule, respells));
        let mount = stage.mount(&[]);
        // Collation takes the kana for one, the older rule the blank at the end; both the case.
        let names = ["README", "readme", "か", "ガ", "x", "x ", "Straße", "STRASSE"];
        for name in names {
            write_and_close(&mount.path(name), name.as_bytes()).unwrap();
        }
        fs::rename(mount.path("README"), mount.path("ReadMe")).unwrap();
        mount.umount();
        let mount = stage.mount(&[]);
        assert_eq!(fs::read_dir(&mount.point).unwrap().count(), names.len(), "{rule:?}");
        assert_eq!(fs::read(mount.path("ReadMe")).unwrap(), b"README", "{rule:?}");
        for name in &names[1..] {
            assert_eq!(fs::read(mount.path(name)).unwrap(), name.as_bytes(), "{rule:?}");
        }
        mount.umount();
    }
}

#[test]
fn a_listing_that_is_stale_at_the_service_hides_nothing_of_ours() {
    let mut stage = Stage::with(|site| site.listing_cache_ms = 900_000);
    stage.site.put(&format!("{FOLDER}/first"), b"x");
    let mount = stage.mount(&["--dir-ttl", "1s"]);
    let shown = || -> io::Result<Vec<_>> {
        fs::read_dir(&mount.point)?.map(|entry| Ok(entry?.file_name().into_string().unwrap())).collect()
    };
    assert_eq!(shown().unwrap(), ["first"]);
    write_and_close(&mount.path("ours"), b"ours").unwrap();
    stage.site.put(&format!("{FOLDER}/theirs"), b"x");
    let before = stage.requests("list");
    wait_until("the folder is listed again", || {
        assert!(shown().unwrap().contains(&"ours".to_owned()), "{:?}", shown());
        stage.requests("list") > before
    });
    stage.site.advance(std::time::Duration::from_secs(900));
    wait_until("what others did is seen", || shown().unwrap().contains(&"theirs".to_owned()));
    assert_eq!(stage.stored("ours").unwrap(), b"ours");
    mount.umount();
}

#[test]
fn metadata_of_others_survives_our_changes() {
    let stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/f"), b"x");
    let patch = format!("{}/api/rest/v1/files/{FOLDER}/f", stage.site.base_url());
    let theirs = r#"{"custom_metadata": {"origin": "scanner 7"}}"#;
    assert_eq!(call("PATCH", &patch, KEY, theirs).status, 200);
    let origin = || stage.site.files()[&format!("{FOLDER}/f")].custom_metadata.get("origin").cloned();
    let mode = || stage.site.files()[&format!("{FOLDER}/f")].custom_metadata.get("filescomfs").cloned();
    let mount = stage.mount_beside("mnt");
    fs::set_permissions(mount.path("f"), PermissionsExt::from_mode(0o600)).unwrap();
    wait_until("the mode is stored", || mode().is_some());
    assert_eq!(origin().as_deref(), Some("scanner 7"), "after a change of attributes");
    write_and_close(&mount.path("f"), b"replaced").unwrap();
    assert_eq!(stage.stored("f").unwrap(), b"replaced");
    assert_eq!(origin().as_deref(), Some("scanner 7"), "after an upload");
    mount.umount();
}
