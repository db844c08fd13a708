//! Misfortune in journaled mode: a close was answered long before Files.com could refuse, so nothing
//! that was acknowledged may be lost, the log and the status say what to do, and once the cause is gone
//! everything arrives without help.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use filescomfs::emulator::{Effect, Emulator, Fault, Key, Settings, User};

use crate::close::write_and_close;
use crate::patience::Stopwatch;
use crate::stage::{FOLDER, KEY, Mount, PATIENCE, Stage, kill, noise, wait_until};

const FILES: u64 = 12;

/// Small files, and one of two parts.
fn bytes(n: u64) -> Vec<u8> {
    noise(n, if n == 3 { 30 << 20 } else { 1000 * n as usize })
}

/// Writes files whose closes are all answered with success.
fn write_all(mount: &Mount, folder: &str) {
    fs::create_dir_all(mount.path(folder)).unwrap();
    for n in 0..FILES {
        write_and_close(&mount.path(&format!("{folder}/{n}")), &bytes(n)).unwrap();
    }
}

/// Everything is on the site, and nobody asked for it: after the longest pause that some failures in a row lead
/// to.
fn all_arrives(stage: &Stage, mount: &Mount, folder: &str) {
    let owes_nothing = || {
        let owed = &mount.status()["owed"];
        (owed["files"].as_u64(), owed["attributes"].as_u64()) == (Some(0), Some(0))
    };
    let watch = Stopwatch::start();
    while !owes_nothing() {
        assert!(watch.elapsed() < 4 * PATIENCE, "waited in vain until everything has arrived by itself");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    for n in 0..FILES {
        assert!(
            stage.stored(&format!("{folder}/{n}")) == Some(bytes(n)),
            "{folder}/{n} is not what was written"
        );
    }
    let status = mount.status();
    assert_eq!((&status["errors"], &status["held"]), (&serde_json::json!([]), &serde_json::json!([])));
}

/// Status and log say what is wrong with what is owed, and what to do.
fn is_told(mount: &Mount, remedy: &str) {
    let in_status = || {
        let status = mount.status();
        // What keeps everything is told once, and not again for each file that waits for it.
        let errors = ["errors", "causes"].into_iter().filter_map(|list| status[list].as_array()).flatten();
        errors.filter_map(|error| error["message"].as_str()).any(|message| message.contains(remedy))
    };
    wait_until(&format!("the status says {remedy:?}"), in_status);
    assert!(mount.log().contains(remedy), "the log does not say {remedy:?}");
    for n in 0..FILES {
        let path = mount.path(&format!("d/{n}"));
        assert!(fs::read(&path).unwrap() == bytes(n), "{} cannot be read meanwhile", path.display());
    }
}

fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_quota_that_is_reached_and_raised_later() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--close", "journaled"]);
    let full = Effect::Storage { status: 403, code: "StorageQuotaExceeded".into(), retry_after: None };
    stage.site.inject(Fault::on("part", full).skip(3).times(0));
    write_all(&mount, "d");
    is_told(&mount, "raise the quota");
    stage.site.clear_faults();
    all_arrives(&stage, &mount, "d");
    mount.umount();
}

#[test]
fn a_key_that_is_revoked_and_replaced_while_mounted() {
    let mut stage = Stage::with(|site| {
        for key in [KEY, "n3wKey"] {
            site.keys.push(Key { key: key.into(), ..Key::default() });
        }
    });
    let credentials = stage.path("key");
    private(&credentials, KEY);
    let mount = stage.mount(&["--close", "journaled", "--api-key-file", credentials.to_str().unwrap()]);
    write_and_close(&mount.path("before"), b"x").unwrap();
    wait_until("the first file has arrived", || stage.stored("before").is_some());
    stage.site.change(|site| site.keys[0].disabled = true);
    write_all(&mount, "d");
    is_told(&mount, "Check the API key");
    private(&credentials, "n3wKey");
    kill(mount.pid, libc::SIGHUP);
    all_arrives(&stage, &mount, "d");
    assert!(!mount.log().contains("n3wKey") && !mount.log().contains(KEY), "a key is in the log");
    mount.umount();
}

#[test]
fn sessions_that_end_again_and_again() {
    let mut stage = Stage::with(|site| {
        site.users.push(User { name: "backup".into(), password: "s3cret".into(), ..User::default() });
    });
    let credentials = stage.path("credentials");
    private(&credentials, "username=backup\npassword=s3cret\n");
    let mount = stage.mount(&["--close", "journaled", "--credentials", credentials.to_str().unwrap()]);
    for skip in [0, 4, 9] {
        stage.site.inject(Fault::on_any(Effect::ExpireSessions).skip(skip));
    }
    write_all(&mount, "d");
    all_arrives(&stage, &mount, "d");
    wait_until("all sessions have ended", || {
        let _ = fs::write(mount.path("one more"), "x");
        stage.site.waiting_faults().is_empty()
    });
    wait_until("the last file has arrived", || stage.stored("one more").is_some());
    assert!(stage.requests("login") <= 4, "each end is answered by one renewal");
    mount.umount();
}

#[test]
fn folders_that_somebody_else_deletes_before_their_files_are_sent() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--close", "journaled"]);
    fs::create_dir(mount.path("d")).unwrap();
    wait_until("the folder is there", || stage.site.folders().contains(&format!("{FOLDER}/d")));
    stage.site.inject(Fault::on("begin_upload", Effect::Delay { ms: 1000 }).times(4));
    stage.site.inject(Fault::on("complete", Effect::Delay { ms: 1000 }).times(4));
    write_all(&mount, "d");
    stage.site.delete(&format!("{FOLDER}/d"));
    wait_until("completions are under way", || stage.site.waiting_faults().is_empty());
    stage.site.delete(FOLDER);
    let owes_nothing = || mount.status()["owed"]["files"] == 0;
    wait_until("everything was sent", owes_nothing);
    // What had arrived before went with its folder: that was somebody's wish. What had not is there.
    let arrived = (0..FILES).filter(|n| stage.stored(&format!("d/{n}")) == Some(bytes(*n))).count();
    let torn =
        (0..FILES).filter(|n| stage.stored(&format!("d/{n}")).is_some_and(|stored| stored != bytes(*n)));
    assert_eq!(torn.count(), 0);
    assert!(arrived > 0, "no file found its folder again");
    mount.umount();
}

#[test]
fn a_site_that_is_gone_for_a_while() {
    let data = tempfile::tempdir().unwrap();
    let mut stage = Stage::with(|site| site.data = Some(data.path().to_owned()));
    let mount = stage.mount(&["--close", "journaled", "--network-timeout", "2s"]);
    write_and_close(&mount.path("before"), b"x").unwrap();
    wait_until("the first file has arrived", || stage.stored("before").is_some());
    let mut settings = Settings::default();
    stage.site.change(|site| settings = site.clone());
    let meanwhile = Settings {
        listen: "127.0.0.1:0".into(),
        storage_listen: "127.0.0.1:0".into(),
        data: None,
        ..settings.clone()
    };
    drop(std::mem::replace(&mut stage.site, Emulator::start(meanwhile).unwrap()));

    write_all(&mount, "d");
    wait_until("the log says so", || mount.log().contains("Files.com cannot be reached"));
    is_told(&mount, "network");
    stage.site = again(settings);
    all_arrives(&stage, &mount, "d");
    assert_eq!(stage.stored("before").unwrap(), b"x");
    mount.umount();
}

/// The same site on the same ports, once they are free.
fn again(settings: Settings) -> Emulator {
    let mut started = None;
    wait_until("the ports are free", || {
        started = Emulator::start(settings.clone()).ok();
        started.is_some()
    });
    started.unwrap()
}
