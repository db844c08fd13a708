//! What keeps everything from being sent is one thing, told once: not a line, a request and an error for each file.

use std::fs;

use filescomfs::emulator::{Effect, Fault, Key};
use serde_json::Value;

use crate::faults::{refusal, storage};
use crate::stage::{KEY, Mount, Stage, told, wait_until};

const FILES: usize = 60;

fn owe(mount: &Mount) {
    for n in 0..FILES {
        fs::write(mount.path(&format!("f{n}")), format!("{n}")).unwrap();
    }
}

fn owed(mount: &Mount) -> usize {
    mount.status()["owed"]["files"].as_u64().unwrap() as usize
}

/// The one thing that keeps files from being sent, as the status tells it.
fn cause(mount: &Mount) -> Option<Value> {
    mount.status()["causes"].as_array().into_iter().flatten().next().cloned()
}

fn few(text: &str, of: &str, most: usize) {
    let lines = text.lines().filter(|line| line.contains(of)).count();
    assert!(lines <= most, "{lines} lines with {of:?}:\n{text}");
}

/// Files are owed, `what` meets all that is asked for, and everything that is said of it stays short.
fn is_one_thing(stage: &Stage, mount: &Mount, word: &str) {
    owe(mount);
    wait_until("the cause is known", || {
        cause(mount).is_some_and(|cause| {
            cause["kind"] == word
                && cause["files"].as_u64() == Some(FILES as u64)
                && cause["since"].is_string()
        })
    });
    stage.site.clear_requests();
    wait_until("it was looked twice whether it is over", || stage.site.requests().len() >= 2);
    let requests = stage.site.requests().len();
    assert!(requests <= 4, "{word}: {requests} requests: {:?}", stage.site.requests());
    few(&mount.log(), "/backups/f", 12);
    let shown = stage.filescomfs(["status"]).arg(&mount.point).output().unwrap();
    few(&told(&shown), "  error ", 5);
    assert!(told(&shown).contains(&format!("{FILES} files wait")), "{}", told(&shown));
    let synced = stage.filescomfs(["sync", "--timeout", "1s"]).arg(&mount.point).output().unwrap();
    assert_eq!(synced.status.code(), Some(8), "{}", told(&synced));
    few(&told(&synced), "  owed ", 5);
    assert!(told(&synced).contains("and 55 more"), "{}", told(&synced));
}

#[test]
fn a_key_that_is_refused_is_one_line_and_one_look_at_a_time_and_all_goes_on_with_it() {
    let key = |disabled| Key { key: KEY.into(), disabled, ..Key::default() };
    let mut stage = Stage::with(|site| site.keys = vec![key(false)]);
    let mount = stage.mount(&["--close", "journaled"]);
    stage.site.change(|site| site.keys = vec![key(true)]);
    is_one_thing(&stage, &mount, "key");
    stage.site.change(|site| site.keys = vec![key(false)]);
    wait_until("everything arrives by itself", || owed(&mount) == 0);
    assert_eq!(stage.stored_names().len(), FILES);
    assert!(cause(&mount).is_none(), "{}", mount.status());
    mount.umount();
}

#[test]
fn a_full_site_is_one_line_and_one_look_at_a_time_and_all_goes_on_with_room() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--close", "journaled"]);
    stage.site.inject(Fault::on("part", storage(403, "StorageQuotaExceeded")).times(0));
    owe(&mount);
    wait_until("the cause is known", || cause(&mount).is_some_and(|cause| cause["kind"] == "quota"));
    stage.site.clear_faults();
    wait_until("everything arrives by itself", || owed(&mount) == 0);
    mount.umount();
}

#[test]
fn an_outage_is_one_line_and_one_look_at_a_time() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--close", "journaled", "--network-timeout", "2s"]);
    stage.site.inject(Fault { kind: None, times: 0, ..Fault::on("", Effect::Proxy { status: 503 }) });
    is_one_thing(&stage, &mount, "outage");
    stage.site.clear_faults();
    wait_until("everything arrives by itself", || owed(&mount) == 0);
    mount.umount();
}

#[test]
fn a_permission_that_is_missing_holds_the_files_and_names_a_few() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--close", "journaled"]);
    stage.site.inject(
        Fault::on("begin_upload", refusal("not-authorized/write-permission-required", None)).times(0),
    );
    owe(&mount);
    wait_until("all are held", || mount.status()["held"].as_array().map_or(0, Vec::len) == FILES);
    few(&mount.log(), "is not on Files.com", 6);
    let shown = stage.filescomfs(["status"]).arg(&mount.point).output().unwrap();
    few(&told(&shown), "/backups/f", 5);
    assert!(told(&shown).contains("and 55 more"), "{}", told(&shown));
}
