//! The network is gone: journaled work goes on, what is known stays readable, the rest fails in time, and
//! everything arrives by itself once Files.com can be reached again.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use filescomfs::emulator::{Effect, Fault};

use crate::patience::Stopwatch;
use crate::stage::{FOLDER, Mount, Stage, noise, told, wait_until};

const OPTIONS: [&str; 6] = ["--close", "journaled", "--network-timeout", "2s", "--dir-ttl", "300ms"];

/// Nothing answers any more: neither the API nor the storage.
fn cut_off(stage: &Stage) {
    stage.site.inject(Fault { kind: None, times: 0, ..Fault::on("", Effect::Reset) });
}

fn is_reachable(mount: &Mount) -> bool {
    mount.status()["reachable"].as_bool().unwrap()
}

#[test]
fn journaled_work_goes_on_without_files_com_and_arrives_by_itself() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/known"), b"known");
    stage.site.put(&format!("{FOLDER}/never read"), b"never read");
    stage.site.put(&format!("{FOLDER}/never listed/x"), b"x");
    let mount = stage.mount(&OPTIONS);
    assert_eq!(fs::read(mount.path("known")).unwrap(), b"known");
    cut_off(&stage);
    fs::write(mount.path("first"), "first").unwrap();
    wait_until("it is noticed", || !is_reachable(&mount));

    let watch = Stopwatch::start();
    let large = noise(3, 3_000_000);
    for n in 0..40 {
        fs::create_dir(mount.path(&format!("d{n}"))).unwrap();
        fs::write(mount.path(&format!("d{n}/f")), format!("{n}")).unwrap();
    }
    fs::write(mount.path("large"), &large).unwrap();
    fs::rename(mount.path("known"), mount.path("renamed")).unwrap();
    fs::remove_file(mount.path("first")).unwrap();
    assert_eq!(fs::read(mount.path("renamed")).unwrap(), b"known", "what is cached stays readable");
    assert_eq!(fs::read_dir(mount.path("")).unwrap().count(), 44);
    assert!(watch.elapsed() < Duration::from_secs(20), "work waits for the network: {:?}", watch.elapsed());
    for unknown in ["never read", "never listed/x"] {
        let watch = Stopwatch::start();
        let failed = fs::read(mount.path(unknown)).unwrap_err();
        assert!(watch.elapsed() < Duration::from_secs(15), "{unknown} hangs");
        let errno = failed.raw_os_error().unwrap();
        assert!([libc::EIO, libc::ETIMEDOUT].contains(&errno), "{unknown}: {failed}");
    }
    assert_eq!(mount.status()["owed"]["files"], 41);

    stage.site.clear_faults();
    wait_until("everything arrives by itself", || mount.status()["owed"]["files"] == 0);
    wait_until("names too", || mount.status()["owed"]["attributes"] == 0);
    assert!(is_reachable(&mount));
    assert!(stage.stored("large").unwrap() == large);
    assert_eq!((stage.stored("renamed").unwrap(), stage.stored("known")), (b"known".to_vec(), None));
    assert_eq!((stage.stored("d39/f").unwrap(), stage.stored("first")), (b"39".to_vec(), None));
    let log = mount.log();
    assert!(log.contains("cannot be reached; what is owed is kept here"), "{log}");
    assert!(log.contains("can be reached again"), "{log}");
    mount.umount();
}

#[test]
fn a_mount_starts_offline_where_the_folder_was_mounted_before() {
    let mut stage = Stage::new();
    for name in ["README", "dir/old"] {
        stage.site.put(&format!("{FOLDER}/{name}"), b"of others");
    }
    let offline = [&OPTIONS[..], &["--offline-start"]].concat();
    let mount = stage.mount_with_state("state", &OPTIONS);
    assert!(mount.path("dir/old").exists());
    cut_off(&stage);
    fs::write(mount.path("owed"), "owed").unwrap();
    fs::create_dir(mount.path("made")).unwrap();
    fs::write(mount.path("made/inside"), "inside").unwrap();
    fs::write(mount.path("dir/new"), "new").unwrap();
    mount.kill();

    // Without the option, or without an earlier mount, it is an error in time.
    fs::create_dir_all(stage.path("refused")).unwrap();
    for (state, options) in [("state", &OPTIONS[..]), ("other", &offline[..])] {
        let mut command = stage.filescomfs(["mount"]);
        command.args(options).arg("--cache-dir").arg(stage.path(state)).arg(stage.source());
        let refused = command.arg(stage.path("refused")).output().unwrap();
        assert!(!refused.status.success(), "{}", told(&refused));
    }

    let mount = stage.mount_with_state("state", &offline);
    assert_eq!(fs::read(mount.path("owed")).unwrap(), b"owed");
    assert_eq!(fs::read(mount.path("made/inside")).unwrap(), b"inside");
    assert_eq!(fs::read(mount.path("dir/new")).unwrap(), b"new");
    assert!(!is_reachable(&mount));
    // Here nobody can know that Files.com has a README, which it would take for the same.
    fs::write(mount.path("readme"), "ours").unwrap();
    stage.site.clear_faults();
    wait_until("everything arrives", || mount.status()["owed"]["files"] == 0);
    wait_until("the rest is seen", || mount.path("README").exists() && mount.path("dir/old").exists());
    assert_eq!(fs::read(mount.path("README")).unwrap(), b"of others");
    assert_eq!(fs::read(mount.path("readme")).unwrap(), b"ours");
    mount.umount();
    let fresh = stage.mount(&[]);
    for (name, bytes) in
        [("README", "of others"), ("readme", "ours"), ("dir/old", "of others"), ("dir/new", "new")]
    {
        assert_eq!(fs::read_to_string(fresh.path(name)).unwrap(), bytes, "{name}");
    }
    assert_eq!(fs::read(fresh.path("made/inside")).unwrap(), b"inside");
    fresh.umount();
}

#[test]
fn attributes_that_an_earlier_mount_owes_wait_until_a_mount_that_starts_offline_can_look() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/dir/old"), b"of others");
    let mount = stage.mount_with_state("state", &OPTIONS);
    assert!(mount.path("dir/old").exists());
    cut_off(&stage);
    fs::create_dir(mount.path("made")).unwrap();
    let modes = [("dir/old", 0o600), ("dir", 0o700), ("made", 0o711)];
    for (name, mode) in modes {
        fs::set_permissions(mount.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    mount.kill();

    let mount = stage.mount_with_state("state", &[&OPTIONS[..], &["--offline-start"]].concat());
    assert!(!is_reachable(&mount));
    assert!(mount.status()["owed"]["attributes"].as_u64().unwrap() >= 3, "{}", mount.status());
    stage.site.clear_faults();
    wait_until("everything arrives", || mount.status()["owed"]["attributes"] == 0);
    assert!(!mount.log().contains("is gone"), "{}", mount.log());
    mount.umount();
    let fresh = stage.mount(&[]);
    for (name, mode) in modes {
        assert_eq!(fs::metadata(fresh.path(name)).unwrap().mode() & 0o777, mode, "{name}");
    }
    fresh.umount();
}

#[test]
fn what_is_owed_to_one_folder_is_not_sent_to_another() {
    let mut stage = Stage::new();
    stage.site.mkdir("elsewhere");
    let mount = stage.mount_with_state("state", &OPTIONS);
    assert_eq!(fs::read_dir(&mount.point).unwrap().count(), 0);
    cut_off(&stage);
    fs::write(mount.path("secret"), "for one folder").unwrap();
    mount.kill();
    stage.site.clear_faults();
    fs::create_dir_all(stage.path("mnt")).unwrap();
    let mut command = stage.filescomfs(["mount"]);
    command.args(OPTIONS).arg("--cache-dir").arg(stage.path("state"));
    command.arg(format!("{}:/elsewhere", stage.site.base_url())).arg(stage.path("mnt"));
    let refused = command.output().unwrap();
    assert!(!refused.status.success() && told(&refused).contains("owed to"), "{}", told(&refused));
    let mount = stage.mount_with_state("state", &OPTIONS);
    wait_until("it arrives where it belongs", || stage.stored("secret").is_some());
    mount.umount();
}
