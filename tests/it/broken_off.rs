//! What is wanted no more is not sent any further: a request that is under way is broken off, and its room is free.

use std::fs;
use std::io::Write;

use crate::close::write_and_close;
use crate::stage::{Mount, Stage, noise, told, wait_until};

/// One part, for which this line takes ten seconds.
const BYTES: usize = 20 << 20;
const LINE: u64 = 16_000_000;

fn slow() -> Stage {
    Stage::with(|site| site.bandwidth_bits = Some(LINE))
}

fn synced(stage: &Stage, mount: &Mount) {
    let synced = stage.filescomfs(["sync"]).arg(&mount.point).output().unwrap();
    assert!(synced.status.success(), "{}", told(&synced));
}

/// The file is on its way, and its first bytes with it.
fn is_on_its_way(stage: &Stage, mount: &Mount) -> bool {
    stage.site.line_in() > 0 && !mount.status()["uploading"].as_array().unwrap().is_empty()
}

/// Nothing is on its way, the whole never arrived, and the daemon holds nothing that has no name any more.
fn is_broken_off(stage: &Stage, mount: &Mount) {
    wait_until("nothing is on its way", || mount.status()["uploading"].as_array().unwrap().is_empty());
    let requests = stage.site.requests();
    let whole = requests.iter().filter(|request| request.kind == "part" && request.bytes == BYTES as u64);
    assert_eq!(whole.count(), 0, "all of it travelled");
    wait_until("its room is free", || {
        let open = fs::read_dir(format!("/proc/{}/fd", mount.pid)).unwrap().flatten();
        let mut open = open.filter_map(|entry| fs::read_link(entry.path()).ok());
        !open.any(|file| {
            file.to_string_lossy().contains("spool") && file.to_string_lossy().ends_with("(deleted)")
        })
    });
}

#[test]
fn a_file_that_is_removed_or_overwritten_in_journaled_mode_is_not_sent_any_further() {
    for overwritten in [false, true] {
        let mut stage = slow();
        let mount = stage.mount(&["--close", "journaled"]);
        write_and_close(&mount.path("f"), &noise(1, BYTES)).unwrap();
        wait_until("it is on its way", || is_on_its_way(&stage, &mount));
        match overwritten {
            true => write_and_close(&mount.path("f"), b"newest").unwrap(),
            false => fs::remove_file(mount.path("f")).unwrap(),
        }
        is_broken_off(&stage, &mount);
        synced(&stage, &mount);
        assert_eq!(stage.stored("f").as_deref(), overwritten.then_some(&b"newest"[..]));
        mount.umount();
    }
}

#[test]
fn the_close_of_a_file_that_is_removed_or_replaced_meanwhile_ends_at_once() {
    for replaced_by in [None, Some("truncation"), Some("rename")] {
        let mut stage = slow();
        let mount = stage.mount(&[]);
        std::thread::scope(|scope| {
            let closing = scope.spawn(|| write_and_close(&mount.path("f"), &noise(1, BYTES)));
            wait_until("it is on its way", || is_on_its_way(&stage, &mount));
            match replaced_by {
                None => fs::remove_file(mount.path("f")).unwrap(),
                Some("rename") => {
                    write_and_close(&mount.path("g"), b"newest").unwrap();
                    fs::rename(mount.path("g"), mount.path("f")).unwrap();
                }
                Some(_) => write_and_close(&mount.path("f"), b"newest").unwrap(),
            }
            closing.join().unwrap().unwrap();
        });
        is_broken_off(&stage, &mount);
        assert_eq!(stage.stored("f").as_deref(), replaced_by.map(|_| &b"newest"[..]));
        mount.umount();
    }
}

#[test]
fn the_close_of_a_file_that_is_removed_while_its_proof_is_awaited_ends_at_once() {
    let mut stage = Stage::with(|site| site.checksum_delay_ms = 600_000);
    let mount = stage.mount(&["--verify", "strict", "--network-timeout", "10m"]);
    std::thread::scope(|scope| {
        let closing = scope.spawn(|| write_and_close(&mount.path("f"), b"unwanted"));
        wait_until("it is there", || stage.stored("f").is_some());
        fs::remove_file(mount.path("f")).unwrap();
        wait_until("the close ends", || closing.is_finished());
        closing.join().unwrap().unwrap();
    });
    assert_eq!(stage.stored_names(), [""; 0]);
    mount.umount();
}

#[test]
fn what_left_early_of_a_file_that_is_removed_before_its_close_is_broken_off() {
    let mut stage = Stage::with(|site| site.bandwidth_bits = Some(8_000_000));
    let mount = stage.mount(&[]);
    let mut file = fs::File::create(mount.path("f")).unwrap();
    file.write_all(&noise(1, 48 << 20)).unwrap();
    wait_until("parts are on their way", || stage.site.line_in() > 0);
    fs::remove_file(mount.path("f")).unwrap();
    drop(file);
    wait_until("its room is free", || {
        let open = fs::read_dir(format!("/proc/{}/fd", mount.pid)).unwrap().flatten();
        let mut open = open.filter_map(|entry| fs::read_link(entry.path()).ok());
        !open.any(|file| {
            file.to_string_lossy().contains("spool") && file.to_string_lossy().ends_with("(deleted)")
        })
    });
    let mut before = 0;
    wait_until("nothing comes in any more", || {
        std::thread::sleep(std::time::Duration::from_millis(500));
        std::mem::replace(&mut before, stage.site.line_in()) == stage.site.line_in()
    });
    let whole =
        stage.site.requests().into_iter().filter(|request| request.kind == "part" && request.status == 200);
    assert_eq!(whole.count(), 0, "parts of what is wanted no more arrived");
    mount.umount();
}
