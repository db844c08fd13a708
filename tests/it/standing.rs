//! Knowing where one stands: receipts and the states of files, `sync` with its manifest, `status`,
//! `run`, `refresh`.

use std::fs;
use std::process::{Command, Output};

use crate::stage::{FOLDER, Mount, Stage, told};

/// `getfattr -n user.filescomfs.NAME`.
fn attribute(mount: &Mount, file: &str, name: &str) -> String {
    let output: Output = Command::new("getfattr")
        .args(["--only-values", "-n", &format!("user.filescomfs.{name}")])
        .arg(mount.path(file))
        .output()
        .expect("getfattr runs");
    assert!(output.status.success(), "{file}: {}", told(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn state(mount: &Mount, file: &str) -> String {
    attribute(mount, file, "state")
}

#[test]
fn a_proof_is_remembered_by_the_next_mount_and_claims_no_other_version() {
    // Without MD5s of the site, so that receipts alone know.
    let mut stage = Stage::with(|site| site.md5 = false);
    stage.site.put(&format!("{FOLDER}/foreign"), b"by somebody else");
    let mount = stage.mount_with_state("state", &[]);
    for name in ["kept", "renamed", "replaced"] {
        fs::write(mount.path(name), "hello").unwrap();
    }
    fs::create_dir_all(mount.path("a/b")).unwrap();
    fs::write(mount.path("a/b/deep"), "hello").unwrap();
    fs::rename(mount.path("renamed"), mount.path("now")).unwrap();
    fs::rename(mount.path("a"), mount.path("z")).unwrap();
    assert_eq!((state(&mount, "now"), state(&mount, "foreign")), ("verified".into(), "stored".into()));
    mount.umount();

    stage.site.put(&format!("{FOLDER}/replaced"), b"olleh");
    let mount = stage.mount_with_state("state", &[]);
    for name in ["kept", "now", "z/b/deep"] {
        assert_eq!(state(&mount, name), "verified", "{name}");
        assert_eq!(attribute(&mount, name, "md5"), "5d41402abc4b2a76b9719d911017c592");
    }
    assert_eq!(state(&mount, "replaced"), "stored", "others put something else there");
    mount.umount();
    let mount = stage.mount(&[]);
    assert_eq!(state(&mount, "kept"), "stored", "another state folder knows nothing of it");
    mount.umount();
}

#[test]
fn a_weak_proof_says_so() {
    let mut stage = Stage::with(|site| (site.md5, site.crc32, site.opaque_etags) = (false, false, true));
    let mount = stage.mount(&[]);
    fs::write(mount.path("f"), "hello").unwrap();
    assert_eq!(state(&mount, "f"), "weak");
    mount.umount();
}

#[test]
fn receipts_that_are_damaged_cost_what_is_known_and_nothing_else() {
    let mut stage = Stage::with(|site| site.md5 = false);
    let mount = stage.mount_with_state("state", &[]);
    fs::write(mount.path("f"), "hello").unwrap();
    let receipts = mount.state.join("state/receipts.sqlite");
    mount.umount();
    fs::write(&receipts, vec![b'x'; 8192]).unwrap();
    let mount = stage.mount_with_state("state", &[]);
    assert_eq!(state(&mount, "f"), "stored");
    assert!(mount.log().contains("set aside"), "{}", mount.log());
    fs::write(mount.path("f"), "hello again").unwrap();
    assert_eq!(state(&mount, "f"), "verified");
    mount.umount();
}
