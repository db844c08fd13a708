//! Knowing where one stands: receipts and the states of files, `sync` with its manifest, `status`,
//! `run`, `refresh`.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Output, Stdio};

use filescomfs::emulator::{Effect, Fault};

use crate::stage::{FOLDER, Mount, Stage, kill, run, told, wait_until};

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

    // Within one second nothing would tell the two apart.
    stage.site.change(|site| site.clock_offset_ms = 5000);
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

fn sync(stage: &Stage, mount: &Mount, arguments: &[&str]) -> Output {
    stage.filescomfs(["sync"]).arg(&mount.point).args(arguments).output().unwrap()
}

#[test]
fn a_tree_of_small_files_is_restored_and_checked_against_its_manifest() {
    const COUNT: usize = 3000;
    let mut stage = Stage::new();
    let source = stage.path("source");
    for n in 0..COUNT {
        let folder = source.join(format!("{}/{}", n % 7, n % 31));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("file {n}")), format!("bytes of {n}\n").repeat(n % 50)).unwrap();
    }
    let mount = stage.mount(&["--close", "journaled"]);
    run(Command::new("rsync").arg("-a").arg(format!("{}/", source.display())).arg(mount.path("tree")));
    let manifest = stage.path("manifest");
    let named = manifest.to_str().unwrap().to_owned();
    let done = sync(&stage, &mount, &["tree", "--timeout", "10m", "--manifest", &named]);
    assert!(done.status.success() && done.stderr.is_empty(), "{}", told(&done));
    let lines = fs::read_to_string(&manifest).unwrap();
    assert_eq!(lines.lines().count(), COUNT);
    mount.umount();

    let mount = stage.mount(&[]);
    let restored = stage.path("restored");
    run(Command::new("rsync").arg("-a").arg(format!("{}/", mount.path("tree").display())).arg(&restored));
    mount.umount();
    run(Command::new("md5sum").args(["-c", "--quiet", "--strict", &named]).current_dir(&restored));
    fs::write(restored.join("0/0/file 0"), "damaged").unwrap();
    let compared = Command::new("md5sum").args(["-c", "--quiet", &named]).current_dir(&restored).output();
    assert!(!compared.unwrap().status.success(), "a manifest that takes anything says nothing");
}

#[test]
fn a_manifest_lists_what_was_proven_here_and_nothing_else() {
    let mut stage = Stage::with(|site| site.md5 = false);
    stage.site.put(&format!("{FOLDER}/tree/foreign"), b"by somebody else");
    let earlier = stage.mount_with_state("state", &[]);
    let odd = [&b"back\\slash"[..], b"line\nfeed", b"return\rin", b"not utf8 \xff", b"blank "];
    for name in odd {
        fs::write(earlier.path("tree").join(OsStr::from_bytes(name)), name).unwrap();
    }
    fs::write(earlier.path("outside"), "x").unwrap();
    fs::write(earlier.path("tree/lost"), "soon replaced").unwrap();
    earlier.umount();
    stage.site.change(|site| site.clock_offset_ms = 5000);
    stage.site.put(&format!("{FOLDER}/tree/lost"), b"by others now");

    let mount = stage.mount_with_state("state", &["--close", "journaled"]);
    fs::write(mount.path("tree/later"), "x").unwrap();
    std::os::unix::fs::symlink("later", mount.path("tree/link")).unwrap();
    fs::rename(mount.path("tree"), mount.path("renamed")).unwrap();
    let manifest = stage.path("m");
    let named = manifest.to_str().unwrap().to_owned();
    let inside = mount.path("renamed").to_str().unwrap().to_owned();
    let done = sync(&stage, &mount, &[&inside, "--manifest", &named]);
    assert!(done.status.success(), "{}", told(&done));
    assert!(told(&done).contains("2 files on Files.com are not in the manifest"), "{}", told(&done));
    assert!(told(&done).contains("1 symbolic links"), "{}", told(&done));
    run(Command::new("md5sum").args(["-c", "--strict", &named]).current_dir(mount.path("renamed")));
    let lines = fs::read(&manifest).unwrap().iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(lines, odd.len() + 1);
    let alone = sync(&stage, &mount, &["renamed/later", "--manifest", "-"]);
    assert_eq!(String::from_utf8_lossy(&alone.stdout), "9dd4e461268c8034f5c8564e155c67a6  later\n");
    for (path, code) in [("missing", 1), ("/etc", 2), ("../x", 2)] {
        let refused = sync(&stage, &mount, &[path, "--manifest", &named]);
        assert_eq!(refused.status.code(), Some(code), "{path}: {}", told(&refused));
    }
    mount.umount();
}

#[test]
fn a_link_that_somebody_laid_in_the_way_of_a_manifest_leads_nowhere() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    fs::write(mount.path("f"), "x").unwrap();
    let (folder, victim) = (stage.path("shared"), stage.path("victim"));
    fs::create_dir(&folder).unwrap();
    fs::write(&victim, "not yours").unwrap();
    // The shell's number is that of the command.
    let line = "ln -s \"$1\" \"$2/.m.$$\"; exec \"$3\" sync \"$4\" --manifest \"$2/m\"";
    let done = Command::new("sh")
        .args(["-ec", line, "sh"])
        .args([&victim, &folder])
        .arg(env!("CARGO_BIN_EXE_filescomfs"))
        .arg(&mount.point)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", told(&done));
    assert_eq!(fs::read_to_string(&victim).unwrap(), "not yours");
    assert_eq!(
        fs::read_to_string(folder.join("m")).unwrap(),
        "9dd4e461268c8034f5c8564e155c67a6  f\n",
        "the manifest is there"
    );
    mount.umount();
}

#[test]
fn weak_proofs_are_not_in_the_manifest_and_change_the_exit_code() {
    let mut stage = Stage::with(|site| (site.md5, site.crc32, site.opaque_etags) = (false, false, true));
    let mount = stage.mount(&[]);
    fs::write(mount.path("f"), "hello").unwrap();
    let plain = sync(&stage, &mount, &[]);
    assert!(plain.status.success() && told(&plain).contains("1 files were only weakly"), "{}", told(&plain));
    let listed = sync(&stage, &mount, &["--manifest", "-"]);
    assert_eq!((listed.status.code(), listed.stdout.len()), (Some(9), 0), "{}", told(&listed));
    assert!(told(&listed).contains("  f by size"), "{}", told(&listed));
    mount.umount();
}

#[test]
fn sync_of_a_path_waits_for_that_path_alone() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--close", "journaled"]);
    fs::create_dir(mount.path("slow")).unwrap();
    assert!(sync(&stage, &mount, &[]).status.success());
    stage.site.inject(Fault { times: 0, ..Fault::on("begin_upload", Effect::Stall).path("slow") });
    fs::write(mount.path("slow/f"), "x").unwrap();
    fs::create_dir_all(mount.path("a/b")).unwrap();
    fs::write(mount.path("a/b/f"), "y").unwrap();
    fs::rename(mount.path("a"), mount.path("fast")).unwrap();
    let done = sync(&stage, &mount, &["fast", "--timeout", "10m"]);
    assert!(done.status.success(), "{}", told(&done));
    assert_eq!(stage.stored("fast/b/f").unwrap(), b"y");
    let owed = sync(&stage, &mount, &["slow/f", "--timeout", "500ms"]);
    assert_eq!(owed.status.code(), Some(8), "{}", told(&owed));
    assert!(told(&owed).contains("/backups/slow/f: is being sent: 0 of 1 bytes"), "{}", told(&owed));
    stage.site.clear_faults();
    drop(mount);
}

#[test]
fn a_status_tells_rates_and_a_watch_goes_on_until_it_is_ended() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--close", "journaled"]);
    assert_eq!(
        (mount.status()["eta_seconds"].as_u64(), mount.status()["protocol"].as_u64()),
        (Some(0), Some(1))
    );
    // Rates are those of the last seconds: where this machine has other work, they are over before they are asked for.
    let mut files = 0;
    wait_until("rates are shown", || {
        files += 1;
        fs::write(mount.path(&format!("{files}")), vec![7; 3 << 20]).unwrap();
        assert!(sync(&stage, &mount, &[]).status.success());
        let rate = &mount.status()["rate"];
        rate["bytes_per_second"].as_u64().unwrap() > 100_000
            && rate["files_per_second"].as_f64().unwrap() > 0.0
    });

    // Without a terminal: a line per second.
    let watch = |arguments: &[&str]| {
        let mut command = stage.filescomfs(["status", "--watch"]);
        command.args(arguments).arg(&mount.point).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, lines.map(Result::unwrap))
    };
    let (mut child, mut lines) = watch(&[]);
    assert!(lines.next().unwrap().starts_with("owed 0 files, 0 B, 0 changes; "));
    assert!(lines.next().unwrap().contains(&format!("verified {files}")));
    kill(child.id() as i32, libc::SIGINT);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let (mut child, mut lines) = watch(&["--json"]);
    let state: serde_json::Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
    assert_eq!(state["verified"], files);
    drop(lines);
    assert_eq!(child.wait().unwrap().code(), Some(0), "nobody reads any more");
    let (mut child, mut lines) = watch(&[]);
    lines.next();
    let point = mount.point.clone();
    mount.umount();
    assert_eq!(lines.last().unwrap(), "The mount has ended.");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let gone = stage.filescomfs(["status", "--watch"]).arg(&point).output().unwrap();
    assert_eq!(gone.status.code(), Some(1), "{}", told(&gone));
}

#[test]
fn run_ends_with_the_worse_of_the_command_and_the_sync() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--close", "journaled"]);
    let run = |options: &[&str], script: &str| {
        let mut command = stage.filescomfs(["run"]);
        command.args(options).arg(&mount.point).args(["--", "sh", "-c", script]).current_dir(&mount.point);
        command
    };
    let code = |options: &[&str], script: &str| run(options, script).output().unwrap().status.code();
    assert_eq!(code(&[], "echo x > f"), Some(0));
    assert_eq!(stage.stored("f").unwrap(), b"x\n", "it waited for Files.com");
    assert_eq!(code(&[], "echo y > f; exit 3"), Some(3));
    assert_eq!(stage.stored("f").unwrap(), b"y\n", "a failed command is synced too");
    assert_eq!(code(&[], "kill -KILL $$"), Some(128 + 9));
    stage.site.inject(Fault { times: 0, ..Fault::on("begin_upload", Effect::Stall) });
    assert_eq!(code(&["--timeout", "200ms"], "echo z > f"), Some(8));
    assert_eq!(code(&["--timeout", "200ms"], "exit 23"), Some(23));

    let mut child = run(&[], "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done");
    let mut child = child.stdout(Stdio::piped()).spawn().unwrap();
    let line = BufReader::new(child.stdout.take().unwrap()).lines().next();
    assert_eq!(line.unwrap().unwrap(), "ready");
    kill(child.id() as i32, libc::SIGTERM);
    assert_eq!(child.wait().unwrap().code(), Some(8), "it was passed on, and what is owed was told at once");
    stage.site.clear_faults();
    let missing =
        stage.filescomfs(["run"]).arg(&mount.point).args(["--", "/no/such/command"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(127), "{}", told(&missing));
    let marker = stage.path("marker");
    let nowhere =
        stage.filescomfs(["run"]).arg(stage.path("nowhere")).args(["--", "touch"]).arg(&marker).output();
    assert_eq!(
        (nowhere.unwrap().status.code(), marker.exists()),
        (Some(1), false),
        "nothing is mounted there"
    );
    mount.umount();
}

#[test]
fn refresh_shows_what_others_changed_and_asks_nobody_itself() {
    let mut stage = Stage::new();
    for name in ["a/changed", "a/removed", "b/changed"] {
        stage.site.put(&format!("{FOLDER}/{name}"), b"before");
    }
    let mount = stage.mount(&["--dir-ttl", "1h"]);
    let read = |name: &str| fs::read_to_string(mount.path(name)).ok();
    for name in ["a/changed", "a/removed", "b/changed"] {
        assert_eq!(read(name).unwrap(), "before");
    }
    stage.site.change(|site| site.clock_offset_ms = 5000);
    for name in ["a/changed", "b/changed", "a/new"] {
        stage.site.put(&format!("{FOLDER}/{name}"), b"after");
    }
    stage.site.delete(&format!("{FOLDER}/a/removed"));
    assert_eq!((read("a/changed").unwrap(), read("a/new")), ("before".into(), None));
    stage.site.clear_requests();
    let refresh = |path: &[&str]| {
        let done = stage.filescomfs(["refresh"]).arg(&mount.point).args(path).output().unwrap();
        assert!(done.status.success(), "{}", told(&done));
    };
    refresh(&["a/new"]);
    assert_eq!(stage.site.requests().len(), 0, "who looks next asks");
    assert_eq!((read("a/new").unwrap(), read("a/changed").unwrap()), ("after".into(), "after".into()));
    assert_eq!((read("a/removed"), read("b/changed").unwrap()), (None, "before".into()));
    refresh(&[]);
    assert_eq!(read("b/changed").unwrap(), "after");
    mount.umount();
}
