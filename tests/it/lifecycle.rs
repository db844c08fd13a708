//! A mount from fstab to umount, and after a crash.

use std::fs;
use std::process::Command;
use std::time::Duration;

use filescomfs::emulator::{Effect, Fault};
use filescomfs::fs::Maker;
use filescomfs::model::ino::Ino;

use crate::stage::{FOLDER, Mount, Stage, built, is_mounted, is_running, kill, told, wait_until};

#[test]
fn both_calling_forms_of_fstab_mount() {
    let stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/f"), b"x");
    let helper = stage.path("mount.filescomfs");
    std::os::unix::fs::symlink(built(), &helper).unwrap();
    let generic = "rw,_netdev,nofail,noauto,user,x-systemd.automount,noatime";
    for (n, program) in [helper.as_path(), &built()].into_iter().enumerate() {
        let point = stage.path(&format!("fstab{n}"));
        fs::create_dir(&point).unwrap();
        let options =
            format!("{generic},cache-dir={},dir-ttl=5s", stage.path(&format!("fstab-cache{n}")).display());
        let output = crate::stage::program(program)
            .arg(stage.source())
            .arg(&point)
            .args(["-o", &options])
            .env("FILES_API_KEY", crate::stage::KEY)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", told(&output));
        assert_eq!(fs::read(point.join("f")).unwrap(), b"x");
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let line = mounts.lines().find(|line| line.contains(point.to_str().unwrap())).unwrap();
        assert!(line.contains("fuse.filescomfs") && !line.contains(crate::stage::KEY), "{line}");
        let done = stage.filescomfs(["umount"]).arg(&point).output().unwrap();
        assert!(done.status.success(), "{}", told(&done));
    }
}

#[test]
fn umount_says_what_is_still_owed_and_lazy_leaves_it_for_the_next_mount() {
    let mut stage = Stage::new();
    let mount = stage.mount_with_state("state", &["--network-timeout", "2s"]);
    stage.site.inject(Fault { times: 0, ..Fault::on("begin_upload", Effect::Proxy { status: 503 }) });
    fs::write(mount.path("f"), "precious").ok();
    let refused = mount.try_umount(&["--timeout", "1s"]);
    assert_eq!(refused.status.code(), Some(8), "{}", told(&refused));
    assert!(told(&refused).contains("/f"), "{}", told(&refused));
    assert!(is_mounted(&mount.point), "it stays mounted");
    let lazy = mount.try_umount(&["--timeout", "1s", "--lazy"]);
    assert!(!is_mounted(&mount.point), "{}", told(&lazy));
    kill(mount.pid, libc::SIGKILL);
    wait_until("the daemon has ended", || !is_running(mount.pid));
    stage.site.clear_faults();

    let mount = stage.mount_with_state("state", &[]);
    wait_until("what was owed arrives", || stage.stored("f").is_some());
    assert_eq!(stage.stored("f").unwrap(), b"precious");
    mount.umount();
}

#[test]
fn a_mount_that_cannot_be_asked_what_it_owes_stays_mounted() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let name =
        format!("{}.sock", filescomfs::model::digest::Md5::of(mount.point.as_os_str().as_encoded_bytes()));
    let socket = filescomfs::mount::control::runtime_folder().join(name);
    let aside = socket.with_extension("aside");
    fs::rename(&socket, &aside).unwrap();
    let refused = mount.try_umount(&[]);
    assert_eq!(refused.status.code(), Some(8), "{}", told(&refused));
    assert!(told(&refused).contains("--lazy"), "{}", told(&refused));
    assert!(is_mounted(&mount.point));
    fs::rename(&aside, &socket).unwrap();
    mount.umount();
}

#[test]
fn a_mount_whose_process_was_killed_is_told_of() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    kill(mount.pid, libc::SIGKILL);
    wait_until("the daemon is dead", || !is_running(mount.pid));
    let status = stage.filescomfs(["status"]).output().unwrap();
    assert_eq!(status.status.code(), Some(1), "{}", told(&status));
    assert!(told(&status).contains(&format!("{} has ended", mount.point.display())), "{}", told(&status));
}

#[test]
fn what_was_acknowledged_survives_sigkill() {
    let mut stage = Stage::new();
    let mount = stage.mount_with_state("state", &[]);
    fs::write(mount.path("held.tmp"), "a temporary name").unwrap();
    let file = fs::File::create(mount.path("synced")).unwrap();
    std::io::Write::write_all(&mut &file, b"fsynced").unwrap();
    file.sync_all().unwrap();
    std::io::Write::write_all(&mut &file, b" and not").unwrap();
    let unsynced = fs::File::create(mount.path("unsynced")).unwrap();
    std::io::Write::write_all(&mut &unsynced, b"never synced").unwrap();
    let Mount { pid, .. } = mount;
    mount.kill();
    drop((file, unsynced));
    assert!(!is_running(pid));
    assert_eq!(stage.stored_names(), [""; 0]);

    let mount = stage.mount_with_state("state", &[]);
    wait_until("the temporary file arrives", || stage.stored("held.tmp").is_some());
    assert_eq!(stage.stored("held.tmp").unwrap(), b"a temporary name");
    wait_until("the synced file arrives", || stage.stored("synced").is_some());
    assert!(stage.stored("synced").unwrap().starts_with(b"fsynced"));
    assert_eq!(quarantined(&mount), [b"never synced"], "what nobody acknowledged is kept, too");
    mount.umount();
}

fn quarantined(mount: &Mount) -> Vec<Vec<u8>> {
    let folders = [mount.state.join("quarantine"), mount.state.join("state/quarantine")];
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    files.map(|file| fs::read(file.path()).unwrap()).collect()
}

#[test]
fn sigterm_ends_a_mount_in_order() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    fs::write(mount.path("left.tmp"), "bytes").unwrap();
    kill(mount.pid, libc::SIGTERM);
    wait_until("the daemon has ended", || !is_running(mount.pid));
    assert!(!is_mounted(&mount.point));
    assert_eq!(stage.stored("left.tmp").unwrap(), b"bytes");
}

#[test]
fn two_mounts_do_not_share_a_state_folder() {
    let mut stage = Stage::new();
    let first = stage.mount_with_state("shared", &[]);
    let point = stage.path("second");
    fs::create_dir(&point).unwrap();
    let output = stage
        .filescomfs(["mount", "--cache-dir"])
        .arg(stage.path("shared"))
        .arg(stage.source())
        .arg(&point)
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(told(&output).contains(&first.pid.to_string()), "{}", told(&output));
    first.umount();
}

#[test]
fn an_ordinary_umount_sends_what_is_owed_before_the_daemon_ends() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    fs::write(mount.path("left.tmp"), "bytes").unwrap();
    let done = Command::new("fusermount3").arg("-u").arg(&mount.point).output().unwrap();
    assert!(done.status.success(), "{}", told(&done));
    wait_until("the daemon has ended", || !is_running(mount.pid));
    assert_eq!(stage.stored("left.tmp").unwrap(), b"bytes");
}

#[test]
fn a_closed_file_whose_release_never_came_is_sent_after_the_unmount_and_half_a_file_is_not() {
    let stage = Stage::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let fs = crate::limits::without_kernel(&stage, 1 << 30);
        tokio::spawn(fs.clone().run_errands());
        let maker = Maker { mode: 0o644, uid: 0, gid: 0, pid: std::process::id() };
        let (closed, handle) = fs.create(Ino::ROOT, "closed.tmp".as_ref(), maker, false).await.unwrap();
        fs.write(closed.ino, handle, 0, b"bytes").await.unwrap();
        fs.close(closed.ino, handle, maker.pid).await.unwrap();
        let (half, half_handle) = fs.create(Ino::ROOT, "half".as_ref(), maker, false).await.unwrap();
        fs.write(half.ino, half_handle, 0, b"byt").await.unwrap();
        assert_eq!(fs.drain(Duration::from_millis(300)).await.files, 2, "somebody may still write to them");
        fs.release_closed();
        assert_eq!(fs.drain(Duration::from_secs(10)).await.files, 1);
    });
    assert_eq!(stage.stored_names(), ["closed.tmp"]);
    assert_eq!(stage.stored("closed.tmp").unwrap(), b"bytes");
    runtime.shutdown_background();
}

#[test]
fn a_read_only_mount_refuses_changes() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/f"), b"x");
    let mount = stage.mount(&["--read-only"]);
    assert_eq!(fs::read(mount.path("f")).unwrap(), b"x");
    assert_eq!(fs::write(mount.path("g"), "x").unwrap_err().raw_os_error(), Some(libc::EROFS));
    mount.umount();
}

#[test]
fn the_key_is_nowhere_to_be_seen() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let arguments = fs::read_to_string(format!("/proc/{}/cmdline", mount.pid)).unwrap();
    assert!(!arguments.contains(crate::stage::KEY));
    fs::write(mount.path("f"), "x").unwrap();
    assert!(!mount.log().contains(crate::stage::KEY));
    assert!(!mount.log().contains("X-Amz-Signature"));
    mount.umount();
}

#[test]
fn a_file_tells_its_state_when_asked_by_name() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let state = |name: &str| {
        let output = Command::new("getfattr")
            .args(["--only-values", "-n", "user.filescomfs.state"])
            .arg(mount.path(name))
            .output();
        String::from_utf8(output.expect("getfattr runs").stdout).unwrap()
    };
    fs::write(mount.path("f"), "x").unwrap();
    assert_eq!(state("f"), "verified");
    fs::write(mount.path("g.tmp"), "x").unwrap();
    assert_eq!(state("g.tmp"), "owed");
    let listed = Command::new("getfattr").arg("-d").arg(mount.path("f")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&listed.stdout), "", "no tool copies what is never listed");
    mount.umount();
}
