//! The line to Files.com and what the service bears: limits of bandwidth, limits of requests, URLs that run out.

use std::fs;
use std::thread;

use filescomfs::emulator::{Effect, Fault};
use serde_json::json;

use crate::stage::{Stage, noise, told, wait_until};

fn write_files(folder: &std::path::Path, count: u64, size: usize) {
    let writers = 8;
    thread::scope(|scope| {
        for writer in 0..writers {
            scope.spawn(move || {
                for n in (writer..count).step_by(writers as usize) {
                    fs::write(folder.join(format!("{n}")), noise(n, size)).unwrap();
                }
            });
        }
    });
}

fn sync(stage: &Stage, mount: &crate::stage::Mount) {
    let done = stage.filescomfs(["sync", "--timeout", "10m"]).arg(&mount.point).output().unwrap();
    assert!(done.status.success(), "{}", told(&done));
}

#[test]
fn limits_of_bandwidth_are_taken_in_the_form_of_fstab_and_shown_by_the_status() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["-o", "bwlimit-up=00:00=2M+12:00=2M,bwlimit_down=\"Mon-00:00,3M\""]);
    assert_eq!(mount.status()["bandwidth"], json!({ "up": 2 << 20, "down": 3 << 20 }));
    let bytes = noise(1, 1 << 20);
    fs::write(mount.point.join("a"), &bytes).unwrap();
    assert_eq!(stage.stored("a").unwrap(), bytes);
    assert_eq!(mount.status()["retries"], 0, "a limited transfer is no stalled one");
    mount.umount();
}

#[test]
fn a_limit_that_is_none_is_refused_with_what_to_type() {
    let stage = Stage::new();
    for (limit, remedy) in [("fast", "512K"), ("512", "512B"), ("08:00", "08:00,512K")] {
        let refused = stage.filescomfs(["mount", "mysite", "/", "--bwlimit-up", limit]).output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{}", told(&refused));
        let text = told(&refused);
        assert!(text.contains("--bwlimit-up") && text.contains(remedy), "{text}");
    }
}

#[test]
fn many_files_arrive_where_few_requests_are_taken_at_a_time() {
    let mut stage = Stage::with(|site| {
        (site.latency_ms, site.concurrent_requests, site.retry_after) = (5, Some(4), None);
    });
    let mount = stage.mount(&["--close", "journaled"]);
    write_files(&mount.point, 120, 4096);
    sync(&stage, &mount);
    for n in 0..120 {
        assert_eq!(stage.stored(&format!("{n}")).unwrap(), noise(n, 4096));
    }
    let status = mount.status();
    assert_eq!((&status["errors"], &status["held"]), (&json!([]), &json!([])));
    assert!(status["concurrency"]["calls"]["limit"].as_u64().unwrap() <= 8, "{status}");
    mount.umount();
}

#[test]
fn urls_of_parts_do_not_run_out_while_files_wait_for_a_narrow_line() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--close", "journaled", "--max-uploads", "1"]);
    stage.site.inject(Fault::on("part", Effect::Hold { until: 0 }).times(0));
    write_files(&mount.point, 40, 100);
    wait_until("one is being sent", || stage.site.held() == 1);
    let early = stage.filescomfs(["sync", "--timeout", "2s"]).arg(&mount.point).output().unwrap();
    assert_eq!(early.status.code(), Some(8), "{}", told(&early));
    // One has the place on the line, and a few more are made ready; all others wait without a URL.
    let (begun, ready) = (stage.requests("begin_upload"), &mount.status()["concurrency"]["files"]["limit"]);
    assert!(
        begun as u64 <= ready.as_u64().unwrap() && begun < 10,
        "{begun} files have a URL, and {ready} places"
    );
    stage.site.clear_faults();
    sync(&stage, &mount);
    assert_eq!(stage.stored_names().len(), 40);
    assert_eq!((stage.requests("begin_upload"), stage.requests("begin_part")), (40, 0));
    mount.umount();
}

#[test]
fn a_file_is_read_before_a_backlog_is_sent() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--close", "journaled", "--max-uploads", "2"]);
    stage.site.inject(Fault::on("part", Effect::Hold { until: 0 }).times(0));
    write_files(&mount.point, 200, 100);
    wait_until("the line is taken", || stage.site.held() == 2);
    let files = mount.status()["concurrency"]["files"].clone();
    assert!(files["waiting"].as_u64().unwrap() > 0, "{files}");
    stage.site.put("backups/theirs", b"read me");
    let refreshed = stage.filescomfs(["refresh"]).arg(&mount.point).output().unwrap();
    assert!(refreshed.status.success(), "{}", told(&refreshed));
    assert_eq!(fs::read(mount.point.join("theirs")).unwrap(), b"read me");
    assert_eq!(mount.status()["owed"]["files"], 200, "the backlog was waited for");
    stage.site.clear_faults();
    sync(&stage, &mount);
    mount.umount();
}

/// One part, which travels for six seconds: what is shown moves with its bytes, and never faster than they may.
#[test]
fn what_is_sent_counts_as_it_leaves_and_never_above_the_limit() {
    const LIMIT: u64 = 2 << 20;
    let size = 12 << 20;
    let mut stage = Stage::new();
    let mount = stage.mount(&["--bwlimit-up", "2M"]);
    let (path, bytes) = (mount.path("f"), noise(1, size));
    let sender = thread::spawn(move || fs::write(path, bytes).unwrap());
    let (mut on_the_way, mut rates) = (Vec::new(), Vec::new());
    let mut look = || {
        let status = mount.status();
        let sent = status["uploading"][0]["sent"].as_u64().unwrap_or(0);
        if sent > 0 && sent < size as u64 && on_the_way.last() != Some(&sent) {
            on_the_way.push(sent);
        }
        rates.push(status["rate"]["bytes_per_second"].as_u64().unwrap());
    };
    while !sender.is_finished() {
        look();
    }
    look();
    sender.join().unwrap();
    assert!(on_the_way.len() > 2 && on_the_way.is_sorted(), "{on_the_way:?}");
    let fastest = rates.iter().max().unwrap();
    // What a line may save up while it was idle: a tenth of a second.
    assert!(*fastest <= LIMIT + LIMIT / 5, "{fastest}: {rates:?}");
    assert_eq!(stage.stored("f").unwrap().len(), size);
    mount.umount();
}
