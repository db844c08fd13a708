//! What a user of any disk takes for granted.

use std::ffi::CString;
use std::fs;
use std::os::fd::FromRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use crate::stage::{FOLDER, KEY, Stage, built, kill, run, told, wait_until};

fn c(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

#[test]
fn there_are_not_fewer_inodes_than_are_free() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    // SAFETY: a C string and a struct that outlive the call.
    let found = unsafe {
        let mut found = std::mem::zeroed::<libc::statvfs>();
        assert_eq!(libc::statvfs(c(&mount.point).as_ptr(), &raw mut found), 0);
        found
    };
    assert!(found.f_files >= found.f_ffree && found.f_ffree > 1 << 30, "{} {}", found.f_files, found.f_ffree);
    mount.umount();
}

#[test]
fn a_mount_becomes_read_only_and_writable_again_by_a_remount() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/f"), b"x");
    let mount = stage.mount(&[]);
    let remount = |options: &str| {
        let options = format!("cache-dir=/elsewhere,_netdev,remount,{options}");
        stage.filescomfs([&stage.source()]).arg(&mount.point).args(["-o", &options]).output().unwrap()
    };
    let open = fs::File::create(mount.path("open")).unwrap();
    let refused = remount("ro");
    assert!(told(&refused).contains("open for writing"), "{}", told(&refused));
    crate::close::close(open).unwrap();
    let done = remount("ro,noexec");
    assert!(done.status.success(), "{}", told(&done));
    assert_eq!(fs::write(mount.path("g"), "x").unwrap_err().raw_os_error(), Some(libc::EROFS));
    assert_eq!(fs::read(mount.path("f")).unwrap(), b"x");
    let done = remount("rw");
    assert!(done.status.success(), "{}", told(&done));
    fs::write(mount.path("g"), "x").unwrap();
    let line = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = line.lines().find(|line| line.contains(mount.point.to_str().unwrap())).unwrap().to_owned();
    assert!(line.contains("noexec") && line.contains("nosuid"), "what is not named stays: {line}");
    mount.umount();
    let nothing = stage
        .filescomfs(["mount", "-o", "remount,ro", &stage.source()])
        .arg(stage.path(""))
        .output()
        .unwrap();
    assert_eq!(nothing.status.code(), Some(1), "{}", told(&nothing));
}

/// What an NFS server keeps of a file.
fn handle_of(path: &Path) -> Vec<u8> {
    let mut handle = vec![0u8; 8 + 128];
    handle[..4].copy_from_slice(&128u32.to_ne_bytes());
    let mut mount = 0;
    // SAFETY: a C string, and a buffer as large as its first word says.
    let answer = unsafe {
        libc::name_to_handle_at(
            libc::AT_FDCWD,
            c(path).as_ptr(),
            handle.as_mut_ptr().cast(),
            &raw mut mount,
            0,
        )
    };
    assert_eq!(answer, 0, "{}", std::io::Error::last_os_error());
    handle
}

fn open_by(handle: &mut [u8], mount: &fs::File) -> std::io::Result<fs::File> {
    use std::os::fd::AsRawFd;
    // SAFETY: a handle that the kernel has made; a descriptor that it answers is ours alone.
    unsafe {
        match libc::open_by_handle_at(mount.as_raw_fd(), handle.as_mut_ptr().cast(), libc::O_RDONLY) {
            -1 => Err(std::io::Error::last_os_error()),
            descriptor => Ok(fs::File::from_raw_fd(descriptor)),
        }
    }
}

#[test]
fn a_file_is_found_by_its_handle_when_the_kernel_has_forgotten_it() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/d/in/f"), b"deep");
    let mount = stage.mount(&[]);
    let root = fs::File::open(&mount.point).unwrap();
    let (mut file, mut folder) = (handle_of(&mount.path("d/in/f")), handle_of(&mount.path("d/in")));
    let mut gone = handle_of(&mount.path("d"));
    // Names and numbers, of this whole machine; nothing else may have them pinned.
    fs::write("/proc/sys/vm/drop_caches", "2").unwrap();
    assert_eq!(std::io::read_to_string(open_by(&mut file, &root).unwrap()).unwrap(), "deep");
    assert!(open_by(&mut folder, &root).unwrap().metadata().unwrap().is_dir());
    fs::remove_dir_all(mount.path("d")).unwrap();
    fs::write("/proc/sys/vm/drop_caches", "2").unwrap();
    assert_eq!(open_by(&mut gone, &root).unwrap_err().raw_os_error(), Some(libc::ESTALE));
    drop(root);
    mount.umount();
}

#[test]
fn a_daemon_that_is_stopped_is_told_of_and_not_waited_for() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    kill(mount.pid, libc::SIGSTOP);
    wait_until("it is stopped", || {
        fs::read_to_string(format!("/proc/{}/stat", mount.pid)).unwrap().contains(") T ")
    });
    let status = stage.filescomfs(["status"]).arg(&mount.point).output().unwrap();
    kill(mount.pid, libc::SIGCONT);
    assert!(told(&status).contains(&format!("kill -CONT {}", mount.pid)), "{}", told(&status));
    assert_eq!(status.status.code(), Some(1));
    mount.umount();
}

#[test]
fn a_pipe_as_the_file_of_the_key_is_refused_and_not_waited_for() {
    let stage = Stage::new();
    let pipe = stage.path("pipe");
    run(Command::new("mkfifo").args(["-m", "600"]).arg(&pipe));
    for option in ["--api-key-file", "--credentials", "--config"] {
        let output = Command::new("timeout")
            .args(["-k", "1", "20"])
            .arg(built())
            .args(["test", "mysite", option])
            .arg(&pipe)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{option}: {}", told(&output));
        assert!(told(&output).contains("no regular file"), "{option}: {}", told(&output));
    }
}

/// A line of shell that sees other files in the place of those of this machine.
fn in_its_own_namespace(stage: &Stage, replaced: &[(&str, &str)], line: &str) -> std::process::Output {
    let mut script = String::from("set -e\n");
    for (n, (path, text)) in replaced.iter().enumerate() {
        let copy = stage.path(&format!("replaced{n}"));
        fs::write(&copy, text).unwrap();
        script.push_str(&format!("mount --bind {} {path}\n", copy.display()));
    }
    let mut command = Command::new("unshare");
    command.args(["-m", "--propagation", "private", "sh", "-c", &(script + line)]);
    command.env("FILES_API_KEY", KEY).output().unwrap()
}

#[test]
fn a_site_whose_name_nobody_knows_is_told_after_a_few_attempts() {
    let stage = Stage::new();
    let point = stage.path("mnt");
    fs::create_dir(&point).unwrap();
    let line = format!(
        "{} mount --cache-dir {} no-such-site {}",
        built().display(),
        stage.path("c").display(),
        point.display()
    );
    let output = in_its_own_namespace(&stage, &[("/etc/nsswitch.conf", "hosts: files\n")], &line);
    assert_eq!(output.status.code(), Some(4), "{}", told(&output));
    assert!(told(&output).contains("after 4 attempts"), "{}", told(&output));
}

/// For whom the system knows a home that no variable names. Where the device is root's alone, nobody else can mount.
#[test]
fn an_ordinary_user_mounts_without_a_home_in_the_environment_and_is_told_of_a_device_that_is_closed() {
    let stage = Stage::new();
    let (home, user) = (stage.path("home"), 12_345);
    fs::create_dir_all(home.join("mnt")).unwrap();
    fs::set_permissions(stage.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    for folder in [home.clone(), home.join("mnt")] {
        chown(folder, Some(user), Some(user)).unwrap();
    }
    // Where the tests were built, an ordinary user may not come.
    let program = home.join("filescomfs");
    fs::copy(built(), &program).unwrap();
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let passwd = format!("{passwd}\nordinary:x:{user}:{user}::{}:/bin/sh\n", home.display());
    let line = format!(
        "mount -t tmpfs none /run\n\
         mknod /run/fuse c 10 229; chmod 600 /run/fuse; mount --bind /run/fuse /dev/fuse\n\
         as_user() {{ setpriv --reuid {user} --regid {user} --clear-groups env -u HOME -u XDG_STATE_HOME \
         -u XDG_CACHE_HOME -u XDG_RUNTIME_DIR \"$@\"; }}\n\
         ! as_user {program} mount {source} {mnt}\n\
         chmod 666 /run/fuse\n\
         as_user {program} mount {source} {mnt}\n\
         as_user sh -c 'echo written > {mnt}/f'\n\
         echo environ of $(stat -c %u /proc/$(cat {home}/.local/state/filescomfs/*/lock)/environ)\n\
         as_user {program} umount {mnt}\n\
         rmdir /tmp/filescomfs-{user}",
        program = program.display(),
        source = stage.source(),
        mnt = home.join("mnt").display(),
        home = home.display(),
    );
    let output = in_its_own_namespace(&stage, &[("/etc/passwd", &passwd)], &line);
    assert!(output.status.success(), "{}", told(&output));
    assert!(told(&output).contains("`chmod 666 /dev/fuse`"), "{}", told(&output));
    assert_eq!(stage.stored("f").unwrap(), b"written\n");
    assert!(home.join(".local/state/filescomfs").is_dir());
    // The kernel gives what belongs to a process that is never dumped to root.
    assert!(told(&output).contains("environ of 0"), "{}", told(&output));
}
