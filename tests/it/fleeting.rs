//! Files that are made for a moment, told by what is done with them more than by their names: what is never kept is never
//! sent, and what gets its name at last is sent under that one.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::close::{close, write_and_close};
use crate::stage::{Mount, Stage, noise, run, told, wait_until};

const MODES: [&str; 2] = ["verified", "journaled"];

fn synced(stage: &Stage, mount: &Mount) {
    let synced = stage.filescomfs(["sync"]).arg(&mount.point).output().unwrap();
    assert!(synced.status.success(), "{}", told(&synced));
}

/// As mkstemp(3) makes them.
fn create_privately(path: &Path) -> File {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap()
}

#[test]
fn a_file_that_is_made_closed_and_opened_again_to_be_written_is_sent_once() {
    for mode in MODES {
        let mut stage = Stage::new();
        let mount = stage.mount(&["--close", mode]);
        let path = mount.path("bundle");
        close(create_privately(&path)).unwrap();
        write_and_close(&mount.path("other"), b"other").unwrap();
        wait_until("another file is published", || stage.stored("other").is_some());
        assert!(!stage.was_named("bundle"), "{mode}: an empty file was sent");
        let mut file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all(b"bytes").unwrap();
        close(file).unwrap();
        if mode == "verified" {
            assert_eq!(
                stage.stored("bundle").as_deref(),
                Some(&b"bytes"[..]),
                "its close waits for the proof"
            );
        }
        synced(&stage, &mount);
        assert_eq!(stage.stored("bundle").as_deref(), Some(&b"bytes"[..]));
        assert_eq!(stage.requests("complete"), 2, "{mode}");
        mount.umount();
    }
}

#[test]
fn a_lock_file_that_is_removed_again_is_never_sent() {
    for mode in MODES {
        let mut stage = Stage::new();
        let mount = stage.mount(&["--close", mode]);
        close(create_privately(&mount.path("repository.lock"))).unwrap();
        write_and_close(&mount.path("other"), b"other").unwrap();
        fs::remove_file(mount.path("repository.lock")).unwrap();
        synced(&stage, &mount);
        assert!(!stage.was_named("lock"), "{mode}");
        mount.umount();
    }
}

#[test]
fn an_empty_file_that_stays_is_sent_all_the_same() {
    for mode in MODES {
        let mut stage = Stage::new();
        let mount = stage.mount(&["--close", mode, "--temporary-hold", "1s"]);
        close(create_privately(&mount.path("one"))).unwrap();
        wait_until("its hold is over", || stage.stored("one").is_some());
        close(create_privately(&mount.path("two"))).unwrap();
        synced(&stage, &mount);
        assert_eq!(stage.stored("two").as_deref(), Some(&b""[..]), "{mode}");
        mount.umount();
    }
}

#[test]
fn rsync_moves_nothing_on_the_site_wherever_it_keeps_its_temporary_files() {
    for (mode, option) in
        MODES.into_iter().flat_map(|mode| ["--delay-updates", "--temp-dir"].map(|o| (mode, o)))
    {
        let mut stage = Stage::new();
        let source = stage.path("source");
        fs::create_dir(&source).unwrap();
        for n in 0..20 {
            fs::write(source.join(format!("file{n}")), noise(n, 1000)).unwrap();
        }
        let mount = stage.mount(&["--close", mode]);
        let target = mount.path("target");
        fs::create_dir_all(target.join("elsewhere")).unwrap();
        let option = match option {
            "--temp-dir" => format!("--temp-dir={}", target.join("elsewhere").display()),
            option => option.to_owned(),
        };
        run(Command::new("rsync").args(["-a", &option]).arg(source.join("")).arg(&target));
        synced(&stage, &mount);
        for n in 0..20 {
            assert_eq!(stage.stored(&format!("target/file{n}")), Some(noise(n, 1000)));
        }
        // One in ten names with six letters looks like a word.
        assert!(stage.requests("move") <= 10, "{mode} {option}: {} moves", stage.requests("move"));
        assert!(!stage.was_named(".~tmp~"), "{mode} {option}");
        mount.umount();
    }
}

#[test]
fn a_name_drawn_by_lot_is_never_seen_on_the_site() {
    for mode in MODES {
        let mut stage = Stage::new();
        let mount = stage.mount(&["--close", mode]);
        let script = "import os, sys, tempfile\n\
                      with tempfile.NamedTemporaryFile(dir=sys.argv[1], delete=False) as file: file.write(b'bytes')\n\
                      os.rename(file.name, sys.argv[1] + '/final')";
        run(Command::new("python3").args(["-c", script]).arg(&mount.point));
        synced(&stage, &mount);
        assert_eq!(stage.stored_names(), ["final"]);
        assert!(!stage.was_named("tmp") && stage.requests("move") == 0, "{mode}");
        mount.umount();
    }
}

#[test]
fn in_journaled_mode_what_is_made_as_if_for_a_moment_is_given_one() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--close", "journaled"]);
    for round in 0.. {
        let (name, other) = (format!("4FxW2-{round}"), format!("other-{round}"));
        let start = Instant::now();
        let mut file = create_privately(&mount.path(&name));
        file.write_all(b"encrypted, and its name too").unwrap();
        close(file).unwrap();
        write_and_close(&mount.path(&other), b"other").unwrap();
        wait_until("another file is published", || stage.stored(&other).is_some());
        let named = stage.was_named(&name);
        // On a machine that takes longer than the moment, this says nothing: once more.
        if start.elapsed() < Duration::from_secs(2) {
            assert!(!named, "it was sent at once");
            fs::rename(mount.path(&name), mount.path("final")).unwrap();
            break;
        }
    }
    synced(&stage, &mount);
    assert_eq!(stage.stored("final").as_deref(), Some(&b"encrypted, and its name too"[..]));
    mount.umount();
}
