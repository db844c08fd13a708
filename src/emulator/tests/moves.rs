//! Moves, copies and migrations.

use super::super::{Effect, Fault};
use super::*;
use std::time::Duration;

#[tokio::test]
async fn a_move_is_completed_at_once_and_keeps_all_that_is_known() {
    let site = Site::new();
    site.mkdir("d").await;
    site.upload("a", &[b"x"]).await;
    let body = json!({"provided_mtime": "2001-01-01T00:00:00Z", "custom_metadata": {"k": "v"}});
    let before = site.call("PATCH", "files/a", body).await.json;
    site.emulator.advance(Duration::from_secs(9));
    let answer = site.relocate("move", "a", json!({"destination": "d/b"})).await;
    assert_eq!((answer.status, answer.json), (201, json!({"status": "completed"})));
    let after = site.stat("d/b").await.json;
    for field in ["created_at", "mtime", "provided_mtime", "md5", "custom_metadata"] {
        assert_eq!(before[field], after[field], "{field}");
    }
    assert_eq!(site.stat("a").await.status, 404);
}

#[tokio::test]
async fn a_move_onto_something_or_into_nowhere_is_refused() {
    let site = Site::new();
    site.upload("a", &[b"a"]).await;
    site.upload("b", &[b"b"]).await;
    site.upload("d/x", &[b"x"]).await;
    for (from, to, status, kind) in [
        ("a", "b", 422, "processing-failure/destination-exists"),
        ("a", "no/b", 409, "processing-failure/destination-parent-does-not-exist"),
        ("no", "c", 404, "not-found"),
        ("a", "a", 422, "bad-request/destination-same"),
        ("a", "A", 422, "processing-failure/destination-exists"),
        ("d", "d/e", 422, "processing-failure/destination-parent-conflict"),
    ] {
        let answer = site.relocate("move", from, json!({"destination": to})).await;
        assert_eq!((answer.status, answer.kind()), (status, kind), "{from} to {to}");
    }
    let over = site.relocate("move", "a", json!({"destination": "b", "overwrite": true})).await;
    assert_eq!(over.status, 201);
    assert_eq!(site.emulator.read("b").unwrap(), b"a");
    site.emulator.change(|settings| settings.case_only_rename = true);
    site.relocate("move", "b", json!({"destination": "B"})).await;
    assert_eq!(site.stat("b").await.json["path"], "B");
}

#[tokio::test]
async fn folders_move_whole_and_merge_when_told_to_overwrite() {
    let site = Site::new();
    site.upload("a/sub/f", &[b"1"]).await;
    site.upload("b/sub/g", &[b"2"]).await;
    assert_eq!(site.relocate("move", "a", json!({"destination": "b"})).await.status, 422);
    assert_eq!(site.relocate("move", "a", json!({"destination": "b", "overwrite": true})).await.status, 201);
    let files: Vec<_> = site.emulator.files().into_keys().collect();
    assert_eq!(files, ["b/sub/f", "b/sub/g"]);
    assert_eq!(site.relocate("move", "b", json!({"destination": "c"})).await.status, 201);
    assert_eq!(site.stat("c/sub/f").await.status, 200);
    assert_eq!(site.stat("b").await.status, 404);
}

#[tokio::test]
async fn a_copy_loses_the_given_time_and_keeps_metadata_and_content() {
    let site = Site::new();
    site.upload("d/a", &[b"x"]).await;
    let body = json!({"provided_mtime": "2001-01-01T00:00:00Z", "custom_metadata": {"k": "v"}});
    site.call("PATCH", "files/d/a", body).await;
    assert_eq!(site.relocate("copy", "d", json!({"destination": "e"})).await.status, 201);
    let copy = site.stat("e/a").await.json;
    assert_eq!((&copy["provided_mtime"], &copy["custom_metadata"]["k"]), (&Value::Null, &json!("v")));
    assert_eq!(site.emulator.read("e/a").unwrap(), b"x");
    site.relocate("copy", "d", json!({"destination": "s", "structure": true})).await;
    assert_eq!(site.get("folders/s").await.text(), "[]");
    site.delete("d/a").await;
    assert_eq!(site.emulator.read("e/a").unwrap(), b"x");
}

#[tokio::test]
async fn slow_moves_are_migrations_that_one_polls() {
    let site = Site::with(|settings| settings.migration_delay_ms = 2000);
    site.upload("a", &[b"x"]).await;
    let answer = site.relocate("move", "a", json!({"destination": "b"})).await;
    assert_eq!(answer.json["status"], "pending");
    let poll = format!("file_migrations/{}", answer.json["file_migration_id"]);
    assert_eq!(site.get(&poll).await.json["status"], "pending");
    assert_eq!(site.stat("a").await.status, 200);
    site.emulator.advance(Duration::from_secs(1));
    assert_eq!(site.get(&poll).await.json["status"], "in_progress");
    site.emulator.advance(Duration::from_secs(1));
    let done = site.get(&poll).await.json;
    assert_eq!((&done["status"], &done["operation"]), (&json!("completed"), &json!("move")));
    assert_eq!(site.stat("b").await.status, 200);
    assert_eq!(site.get("file_migrations/99").await.kind(), "not-found");
}

#[tokio::test]
async fn migrations_fail_hang_or_are_cancelled_on_request() {
    let site = Site::new();
    site.upload("a", &[b"x"]).await;
    for (effect, status) in [
        (Effect::MigrationFails, "failed"),
        (Effect::MigrationHangs, "in_progress"),
        (Effect::MigrationCancelled, "cancelled"),
    ] {
        site.emulator.inject(Fault::on("move", effect));
        let answer = site.relocate("move", "a", json!({"destination": "b"})).await;
        let poll = format!("file_migrations/{}", answer.json["file_migration_id"]);
        site.emulator.advance(Duration::from_secs(1000));
        assert_eq!(site.get(&poll).await.json["status"], status);
        assert_eq!(site.stat("a").await.status, 200);
    }
}

#[tokio::test]
async fn an_overwriting_move_may_leave_a_gap() {
    let site = Site::with(|settings| settings.move_gap_ms = 500);
    site.upload("a", &[b"a"]).await;
    site.upload("b", &[b"b"]).await;
    site.relocate("move", "a", json!({"destination": "b", "overwrite": true})).await;
    assert_eq!(site.stat("b").await.status, 404);
    site.emulator.advance(Duration::from_millis(500));
    assert_eq!(site.emulator.read("b").unwrap(), b"a");
}
