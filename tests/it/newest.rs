//! The newest bytes of a file are those that were written last, whatever else is under way with it, and however the
//! local files are numbered in which they are kept.

use std::fs::{self, File, OpenOptions};
use std::io::Write;

use filescomfs::emulator::{Effect, Fault};

use crate::close::close;
use crate::stage::{FOLDER, Mount, Stage, told, wait_until};

const MODES: [&str; 2] = ["verified", "journaled"];

fn synced(stage: &Stage, mount: &Mount) {
    let synced = stage.filescomfs(["sync"]).arg(&mount.point).output().unwrap();
    assert!(synced.status.success(), "{}", told(&synced));
}

/// Empty files of the spool are ready from here on, with numbers that come before those of what is fetched.
fn make_spares(mount: &Mount) {
    for n in 0..12 {
        let mut file = File::create(mount.path(&format!("small {n}"))).unwrap();
        file.write_all(b"small").unwrap();
        file.sync_all().unwrap();
        close(file).unwrap();
    }
}

#[test]
fn bytes_written_while_older_ones_are_completed_are_the_file() {
    for mode in MODES {
        let mut stage = Stage::new();
        stage.site.put(&format!("{FOLDER}/f"), b"of before, ");
        let mount = stage.mount_with_state("state", &["--close", mode]);
        make_spares(&mount);
        synced(&stage, &mount);
        stage.site.inject(Fault::on("complete", Effect::Delay { ms: 1500 }).path("/f"));
        std::thread::scope(|scope| {
            let mount = &mount;
            scope.spawn(|| {
                // What is there is fetched first.
                let mut file = OpenOptions::new().append(true).open(mount.path("f")).unwrap();
                file.write_all(b"appended").unwrap();
                close(file).unwrap();
            });
            wait_until("it is being completed", || stage.site.waiting_faults().is_empty());
            let mut file = OpenOptions::new().write(true).truncate(true).open(mount.path("f")).unwrap();
            file.write_all(b"newest").unwrap();
            file.sync_all().unwrap();
            close(file).unwrap();
        });
        synced(&stage, &mount);
        assert_eq!(fs::read(mount.path("f")).unwrap(), b"newest", "{mode}");
        assert_eq!(stage.stored("f").as_deref(), Some(&b"newest"[..]), "{mode}");
        mount.umount();
    }
}
