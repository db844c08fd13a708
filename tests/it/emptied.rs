//! A file that was emptied to be written anew is the one of before, for everybody else, until its real close.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use crate::close::{close, write_and_close};
use crate::stage::{FOLDER, Mount, Stage, told, wait_until};

const MODES: [&str; 2] = ["verified", "journaled"];

/// Lines of shell that write `existing` anew, and wait for a line of standard input before they write. Between,
/// a command ends that has the file as its standard output.
const SHELLS: [&str; 3] = [
    "( /bin/true; echo ready >&2; read go; echo new ) > existing",
    "{ /bin/true; echo ready >&2; read go; echo new; } > existing",
    "exec > existing; /bin/true; echo ready >&2; read go; echo new",
];

fn synced(stage: &Stage, mount: &Mount) {
    let synced = stage.filescomfs(["sync"]).arg(&mount.point).output().unwrap();
    assert!(synced.status.success(), "{}", told(&synced));
}

fn begin(mount: &Mount, line: &str) -> Child {
    let mut child = Command::new("sh")
        .args(["-ec", line])
        .current_dir(&mount.point)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "ready\n");
    child
}

fn finish(mut child: Child) {
    child.stdin.take().unwrap().write_all(b"new\n").unwrap();
    assert!(child.wait().unwrap().success());
}

fn completions(stage: &Stage, name: &str) -> usize {
    let requests = stage.site.requests();
    requests.iter().filter(|request| request.kind == "complete" && request.path.ends_with(name)).count()
}

/// Whatever is due in the background by now has been done.
fn let_others_be_published(stage: &Stage, mount: &Mount) {
    write_and_close(&mount.path("other"), b"other").unwrap();
    wait_until("another file is published", || stage.stored("other").is_some());
}

#[test]
fn a_redirection_that_writes_late_leaves_the_file_of_before_until_it_ends() {
    for (mode, line) in MODES.into_iter().flat_map(|mode| SHELLS.map(|line| (mode, line))) {
        let mut stage = Stage::new();
        stage.site.put(&format!("{FOLDER}/existing"), b"before");
        let mount = stage.mount(&["--close", mode]);
        let child = begin(&mount, line);
        assert_eq!(fs::read(mount.path("existing")).unwrap(), b"", "here it is empty");
        let_others_be_published(&stage, &mount);
        assert_eq!(stage.stored("existing").as_deref(), Some(&b"before"[..]), "{mode}: {line}");
        finish(child);
        synced(&stage, &mount);
        assert_eq!(stage.stored("existing").as_deref(), Some(&b"new\n"[..]), "{mode}: {line}");
        assert_eq!(completions(&stage, "existing"), 1, "{mode}: {line}");
        mount.umount();
    }
}

#[test]
fn dd_leaves_the_file_of_before_until_it_ends() {
    for mode in MODES {
        let mut stage = Stage::new();
        stage.site.put(&format!("{FOLDER}/existing"), b"before");
        let mount = stage.mount(&["--close", mode]);
        let mut child = Command::new("dd")
            .arg(format!("of={}", mount.path("existing").display()))
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("dd has emptied it", || fs::read(mount.path("existing")).unwrap().is_empty());
        let_others_be_published(&stage, &mount);
        assert_eq!(stage.stored("existing").as_deref(), Some(&b"before"[..]), "{mode}");
        child.stdin.take().unwrap().write_all(b"new").unwrap();
        assert!(child.wait().unwrap().success());
        synced(&stage, &mount);
        assert_eq!(stage.stored("existing").as_deref(), Some(&b"new"[..]), "{mode}");
        assert_eq!(completions(&stage, "existing"), 1, "{mode}");
        mount.umount();
    }
}

#[test]
fn whoever_opens_an_emptied_file_and_writes_nothing_does_not_publish_it() {
    for mode in MODES {
        let mut stage = Stage::new();
        stage.site.put(&format!("{FOLDER}/existing"), b"before");
        let mount = stage.mount(&["--close", mode]);
        let child = begin(&mount, SHELLS[0]);
        close(OpenOptions::new().append(true).open(mount.path("existing")).unwrap()).unwrap();
        let_others_be_published(&stage, &mount);
        assert_eq!(stage.stored("existing").as_deref(), Some(&b"before"[..]), "{mode}");
        finish(child);
        synced(&stage, &mount);
        assert_eq!(stage.stored("existing").as_deref(), Some(&b"new\n"[..]), "{mode}");
        mount.umount();
    }
}

#[test]
fn a_crash_of_the_mount_brings_the_file_of_before_back() {
    for (mode, line) in MODES.into_iter().flat_map(|mode| SHELLS.map(|line| (mode, line))) {
        let mut stage = Stage::new();
        stage.site.put(&format!("{FOLDER}/existing"), b"before");
        let mount = stage.mount_with_state("state", &["--close", mode]);
        let mut child = begin(&mount, line);
        let_others_be_published(&stage, &mount);
        mount.kill();
        drop(child.stdin.take());
        let _ = child.wait();
        let mount = stage.mount_with_state("state", &["--close", mode]);
        synced(&stage, &mount);
        assert_eq!(fs::read(mount.path("existing")).unwrap(), b"before", "{mode}: {line}");
        assert_eq!(stage.stored("existing").as_deref(), Some(&b"before"[..]), "{mode}: {line}");
        mount.umount();
    }
}
