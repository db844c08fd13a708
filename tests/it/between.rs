//! What happens between a look and the deed that rests on it: the deed rests on what is so when it is done.

use std::fs::{self, OpenOptions};
use std::io::Write;

use filescomfs::emulator::{Effect, Fault};

use crate::close::{close, write_and_close};
use crate::stage::{FOLDER, Mount, Stage, noise, told, wait_until};

fn synced(stage: &Stage, mount: &Mount) {
    let synced = stage.filescomfs(["sync"]).arg(&mount.point).output().unwrap();
    assert!(synced.status.success(), "{}", told(&synced));
}

#[test]
fn what_is_written_anew_while_it_is_settled_leaves_nothing_in_the_cache() {
    let mut stage = Stage::in_memory(|_| {});
    let mount = stage.mount(&["--close", "journaled"]);
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let path = mount.path(&format!("f{thread}"));
            scope.spawn(move || {
                for _ in 0..150 {
                    write_and_close(&path, b"again and again").unwrap();
                }
            });
        }
    });
    synced(&stage, &mount);
    let files = || fs::read_dir(mount.state.join("content")).unwrap().count();
    // What is removed is removed once the journal has forgotten it.
    wait_until("each file is there once", || files() <= 16);
    mount.umount();
}

#[test]
fn what_was_brought_into_the_spool_and_could_not_be_written_goes_back_to_the_cache() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/f"), &noise(1, 49_152));
    let mount = stage.mount(&["--close", "journaled", "--cache-size", "1M", "--network-timeout", "2s"]);
    stage.site.inject(Fault::on("begin_upload", Effect::Proxy { status: 503 }).times(0));
    write_and_close(&mount.path("owed"), &noise(2, 999_424)).unwrap();
    let mut file = OpenOptions::new().append(true).open(mount.path("f")).unwrap();
    let refused = file.write_all(&noise(3, 500_000)).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::ENOSPC));
    close(file).unwrap();
    let holds = |folder: &str, size: u64| {
        let mut files = fs::read_dir(mount.state.join(folder)).unwrap().flatten();
        files.any(|entry| entry.metadata().is_ok_and(|metadata| metadata.len() == size))
    };
    wait_until("it is in the cache", || holds("content", 49_152));
    assert!(!holds("state/spool", 49_152) && holds("state/spool", 999_424));
    assert!(fs::read(mount.path("f")).unwrap() == noise(1, 49_152));
    stage.site.clear_faults();
    mount.umount();
}
