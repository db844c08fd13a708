//! Is the path that was named the mount that answers? `run`, `sync` and `status` say so, or fail: whatever is written
//! to the folder below a mount is on no Files.com, and an answer for it would be the answer for something else.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use filescomfs::emulator::{Effect, Fault};
use filescomfs::model::digest::Md5;
use filescomfs::mount::control::runtime_folder;
use serde_json::{Value, json};

use crate::stage::{Mount, Stage, is_mounted, is_running, kill, told, wait_until};

fn ask(stage: &Stage, command: &str, point: &Path, more: &[&str]) -> Output {
    stage.filescomfs([command]).arg(point).args(more).output().unwrap()
}

/// `run MOUNTPOINT -- touch MARKER`, and whether the command was begun.
fn run_touch(stage: &Stage, point: &Path) -> (Output, bool) {
    let marker = stage.path("marker");
    let output = stage.filescomfs(["run"]).arg(point).args(["--", "touch"]).arg(&marker).output().unwrap();
    let was_begun = marker.exists();
    let _ = fs::remove_file(marker);
    (output, was_begun)
}

/// Nothing that asks for this path succeeds, and `run` does not begin.
fn nothing_is_promised(stage: &Stage, point: &Path, why: &str) {
    let (output, was_begun) = run_touch(stage, point);
    assert!(!was_begun, "{}", told(&output));
    let manifest = stage.path("manifest");
    let named = manifest.to_str().unwrap();
    for output in
        [output, ask(stage, "sync", point, &["--manifest", named]), ask(stage, "status", point, &[])]
    {
        assert_eq!(output.status.code(), Some(1), "{}", told(&output));
        assert!(told(&output).contains(why), "{why} is not in {}", told(&output));
    }
    assert!(!manifest.exists());
}

/// A shell in a mount namespace of its own, where nothing spreads from.
fn apart(line: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-ec", line, "sh"]);
    command
}

#[test]
fn a_mount_that_was_unmounted_and_still_sends_is_no_mount() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--close", "journaled"]);
    stage.site.inject(Fault { times: 0, ..Fault::on("begin_upload", Effect::Proxy { status: 503 }) });
    fs::write(mount.path("f"), "owed").unwrap();
    let done = Command::new("fusermount3").arg("-u").arg(&mount.point).output().unwrap();
    assert!(done.status.success(), "{}", told(&done));
    nothing_is_promised(&stage, &mount.point, "unmounted, still sending");
    let shown = ask(&stage, "status", &mount.point, &["--json"]);
    assert_eq!(shown.status.code(), Some(1), "{}", told(&shown));
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((&shown["mount"]["mounted"], &shown["owed"]["files"]), (&json!(false), &json!(1)), "{shown}");
    let all = stage.filescomfs(["status"]).output().unwrap();
    assert!(told(&all).contains("unmounted, still sending"), "{}", told(&all));

    stage.site.clear_faults();
    let waited = mount.try_umount(&["--timeout", "30s"]);
    assert!(waited.status.success(), "{}", told(&waited));
    assert!(!is_running(mount.pid) && stage.stored("f").unwrap() == b"owed");
}

#[test]
fn a_mount_that_something_else_covers_is_no_mount_and_what_covers_it_stays() {
    let stage = Stage::new();
    let mount = stage.mount_at("above/mnt", "state", &[]);
    let above = mount.point.parent().unwrap();
    for cover in ["mount -t tmpfs x \"$POINT\"", "mount -t tmpfs x \"$ABOVE\"; mkdir \"$POINT\""] {
        let script = format!(
            "{cover}; said() {{ \"$@\" && echo \"$2 0\" || echo \"$2 $?\"; }}; \
             for what in status sync umount; do said \"$TOOL\" $what \"$POINT\"; done; \
             said \"$TOOL\" umount --lazy \"$POINT\"; said \"$TOOL\" run \"$POINT\" -- touch \"$MARKER\"; \
             stat -f -c %T \"$POINT\""
        );
        let mut command = apart(&script);
        command.env("TOOL", env!("CARGO_BIN_EXE_filescomfs")).env("MARKER", stage.path("marker"));
        let output = command.env("POINT", &mount.point).env("ABOVE", above).output().unwrap();
        let text = told(&output);
        for line in ["status 1\n", "sync 1\n", "umount 1\numount 1\n", "run 1\n", "tmpfs\n"] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        assert!(text.contains("covered"), "{text}");
        assert!(!stage.path("marker").exists(), "{text}");
        assert!(is_mounted(&mount.point) && is_running(mount.pid));
    }
    mount.umount();
}

#[test]
fn a_command_that_loses_the_mount_does_not_end_well() {
    let mut stage = Stage::new();
    for how in ["fusermount3 -uz", "umount --lazy"] {
        let mount = stage.mount(&[]);
        let line = format!("{how} \"$0\" && echo lost > \"$0/f\"");
        let mut command = stage.filescomfs(["run"]);
        command.arg(&mount.point).args(["--", "sh", "-c", &line]).arg(&mount.point);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{how}: {}", told(&output));
        assert!(told(&output).contains("mounted"), "{}", told(&output));
        assert_eq!(fs::read(mount.point.join("f")).unwrap(), b"lost\n", "it went to the folder below");
        assert!(told(&output).contains("in the folder below"), "{}", told(&output));
        wait_until("the daemon has ended", || !is_running(mount.pid));
    }
}

#[test]
fn another_mount_in_the_place_of_the_first_is_another_mount() {
    let mut stage = Stage::new();
    let mount = stage.mount_with_state("state", &[]);
    let line = "\"$1\" umount \"$0\" && \"$1\" mount --cache-dir \"$2\" \"$3\" \"$0\"";
    let output = stage
        .filescomfs(["run"])
        .arg(&mount.point)
        .args(["--", "sh", "-c", line])
        .arg(&mount.point)
        .arg(env!("CARGO_BIN_EXE_filescomfs"))
        .arg(&mount.state)
        .arg(stage.source())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("another"), "{}", told(&output));
    Mount::at(mount.point.clone(), mount.state.clone()).umount();
}

#[test]
fn a_mount_of_another_namespace_is_not_here() {
    let stage = Stage::new();
    let (point, state) = (stage.path("private"), stage.path("state"));
    fs::create_dir(&point).unwrap();
    let output = apart("\"$1\" mount --cache-dir \"$2\" \"$3\" \"$4\"")
        .arg(env!("CARGO_BIN_EXE_filescomfs"))
        .args([state.as_os_str(), stage.source().as_ref(), point.as_os_str()])
        .env("FILES_API_KEY", crate::stage::KEY)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let shown = ask(&stage, "status", &point, &["--json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let daemon = Mount { point: point.clone(), state, pid: shown["pid"].as_u64().unwrap() as i32 };
    nothing_is_promised(&stage, &point, "namespace");
    kill(daemon.pid, libc::SIGTERM);
    wait_until("the daemon has ended", || !is_running(daemon.pid));
}

/// A process of another user that answers for a mountpoint, in a socket folder of its own, as well as it can.
struct Forger {
    folder: PathBuf,
}

impl Forger {
    fn of(mountpoint: &Path, like: Value) -> Self {
        // A user whom nobody else is, with a folder of its own where root looks for the sockets of all users.
        let uid = 200_000 + std::process::id() % 100_000 * 10 + u32::from(like["mount"].is_object());
        let folder = PathBuf::from(format!("/tmp/filescomfs-{uid}"));
        let socket = folder.join(format!("{}.sock", Md5::of(mountpoint.as_os_str().as_encoded_bytes())));
        let made = folder.clone();
        let (ready, is_ready) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            // SAFETY: the bare system call changes this thread alone, which ends with the test's process.
            assert_eq!(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }, 0);
            fs::DirBuilder::new().mode(0o700).create(&made).unwrap();
            let listener = UnixListener::bind(socket).unwrap();
            ready.send(()).unwrap();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut line = String::new();
                let _ = BufReader::new(&stream).read_line(&mut line);
                let mut answer = like.clone();
                answer["owed"] = json!({ "files": 0, "bytes": 0, "attributes": 0 });
                for list in ["held", "errors", "waiting", "files", "weak"] {
                    answer[list] = json!([]);
                }
                for count in ["unproven", "links"] {
                    answer[count] = json!(0);
                }
                if line.contains("\"drain\"") {
                    answer["weak"] = json!(0);
                }
                if line.contains("\"manifest\"") {
                    answer["owed"] = json!(0);
                    answer["files"] = json!([{ "path": "f", "size": 1, "basis": "part-md5", "uploaded": "",
                        "md5": "9dd4e461268c8034f5c8564e155c67a6" }]);
                }
                let _ = writeln!(stream, "{answer}");
            }
        });
        is_ready.recv().unwrap();
        Self { folder }
    }
}

impl Drop for Forger {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn another_user_cannot_answer_for_a_folder_where_nothing_is_mounted() {
    let stage = Stage::new();
    let point = stage.path("empty");
    fs::create_dir(&point).unwrap();
    let _forger = Forger::of(&point, json!({ "pid": 1, "mountpoint": point }));
    nothing_is_promised(&stage, &point, "mounted");
}

#[test]
fn another_user_cannot_answer_for_a_mount_of_root() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let like = mount.status();
    let name = format!("{}.sock", Md5::of(mount.point.as_os_str().as_encoded_bytes()));
    let (socket, aside) = (runtime_folder().join(&name), runtime_folder().join(format!("{name}.aside")));
    fs::rename(&socket, &aside).unwrap();
    {
        let _forger = Forger::of(&mount.point, json!({ "mount": {}, "pid": 1 }));
        nothing_is_promised(&stage, &mount.point, "user");
    }
    {
        let _forger = Forger::of(&mount.point, like);
        nothing_is_promised(&stage, &mount.point, "user");
        let refused = mount.try_umount(&[]);
        assert!(!refused.status.success() && is_mounted(&mount.point), "{}", told(&refused));
    }
    fs::rename(&aside, &socket).unwrap();
    mount.umount();
}
