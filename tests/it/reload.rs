//! A key that is changed while mounted: the new one is tried before it takes the place of the old.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use filescomfs::emulator::{Effect, Fault, Key};

use crate::stage::{KEY, Mount, Stage, kill, told, wait_until};

const NEW: &str = "n3wKey";

fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A site with an old key and a new one, and a mount with the old; the file that the mount reads its key from.
fn with_two_keys(new: Key) -> (Stage, Mount, PathBuf) {
    let mut stage = Stage::with(|site| {
        site.keys.push(Key { key: KEY.into(), ..Key::default() });
        site.keys.push(Key { key: NEW.into(), ..new });
    });
    let file = stage.path("key");
    private(&file, KEY);
    let mount = stage.mount(&["--api-key-file", file.to_str().unwrap()]);
    (stage, mount, file)
}

fn reload(stage: &Stage, mount: &Mount) -> Output {
    stage.filescomfs(["reload"]).arg(&mount.point).output().unwrap()
}

#[test]
fn a_key_that_is_good_takes_the_place_of_the_old_one_and_its_end_is_shown() {
    let end = std::time::SystemTime::now() + Duration::from_secs(40 * 86_400);
    let expires_at = end.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    let (stage, mount, file) = with_two_keys(Key { expires_at: Some(expires_at), ..Key::default() });
    assert!(mount.status()["key_expires_at"].is_null());
    private(&file, NEW);
    let done = reload(&stage, &mount);
    assert!(done.status.success(), "{}", told(&done));
    assert!(told(&done).contains("the key ends at 20"), "{}", told(&done));
    assert!(mount.status()["key_expires_at"].is_string(), "{}", mount.status());
    stage.site.change(|site| site.keys[0].disabled = true);
    fs::write(mount.path("f"), "by the new key").unwrap();
    assert_eq!(stage.stored("f").unwrap(), b"by the new key");
    assert!(!told(&done).contains(NEW) && !mount.log().contains(NEW), "a key is shown");
    mount.umount();
}

#[test]
fn a_key_that_is_refused_does_not_take_the_place_of_one_that_is_good() {
    let confined = Key { path: Some("elsewhere".into()), ..Key::default() };
    let (stage, mount, file) = with_two_keys(confined);
    stage.site.mkdir("elsewhere");
    for (text, codes) in [("wrong", &[3][..]), ("", &[2]), (NEW, &[5, 6])] {
        private(&file, text);
        let refused = reload(&stage, &mount);
        let code = refused.status.code().unwrap();
        assert!(codes.contains(&code), "{text:?}: {}", told(&refused));
        assert!(told(&refused).contains("stay as they were"), "{}", told(&refused));
        fs::write(mount.path("f"), text).unwrap();
        assert_eq!(stage.stored("f").unwrap(), text.as_bytes(), "the old key still works");
    }
    fs::remove_file(&file).unwrap();
    assert_eq!(reload(&stage, &mount).status.code(), Some(2));
    mount.umount();
}

#[test]
fn a_key_that_cannot_be_tried_does_not_take_the_place_of_the_old_one() {
    let (stage, mount, file) = with_two_keys(Key::default());
    private(&file, NEW);
    stage.site.inject(Fault { times: 0, ..Fault::on("api_key", Effect::Proxy { status: 503 }) });
    let refused = stage.filescomfs(["reload", "--timeout", "1s"]).arg(&mount.point).output().unwrap();
    assert_eq!(refused.status.code(), Some(4), "{}", told(&refused));
    stage.site.clear_faults();
    assert!(reload(&stage, &mount).status.success());
    mount.umount();
}

#[test]
fn the_signal_does_the_same_and_says_the_outcome_in_the_log() {
    let (stage, mount, file) = with_two_keys(Key::default());
    private(&file, "wrong");
    kill(mount.pid, libc::SIGHUP);
    wait_until("the outcome is in the log", || mount.log().contains("stay as they were"));
    fs::write(mount.path("f"), "x").unwrap();
    assert_eq!(stage.stored("f").unwrap(), b"x");
    private(&file, NEW);
    kill(mount.pid, libc::SIGHUP);
    wait_until("the outcome is in the log", || mount.log().contains("new credentials"));
    stage.site.change(|site| site.keys[0].disabled = true);
    fs::write(mount.path("f"), "y").unwrap();
    assert_eq!(stage.stored("f").unwrap(), b"y");
    mount.umount();
}
