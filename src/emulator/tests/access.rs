//! Who may do what.

use super::super::{Key, PermissionSet, User};
use super::*;
use std::time::Duration;

fn key(secret: &str) -> Key {
    Key { key: secret.into(), ..Key::default() }
}

#[tokio::test]
async fn a_wrong_key_is_invalid_credentials_and_none_is_authentication_required() {
    let site = Site::with(|settings| settings.keys.push(key("right")));
    let answer = site.stat("x").await;
    assert_eq!((answer.status, answer.kind()), (401, "not-authenticated/invalid-credentials"));
    assert_eq!(answer.json["title"], "Invalid Credentials");
    let bare = Answer::of(site.request("GET", "folders/")).await;
    assert_eq!((bare.status, bare.kind()), (401, "not-authenticated/authentication-required"));
    assert_eq!(Site { key: "right", ..site }.stat("x").await.status, 404);
}

#[tokio::test]
async fn keys_expire_are_disabled_and_describe_themselves() {
    let site = Site::with(|settings| {
        settings.keys.push(Key { expires_at: Some(4_000_000_000), name: "host".into(), ..key("key") });
    });
    let shown = site.get("api_key").await.json;
    assert_eq!((&shown["name"], &shown["permission_set"]), (&json!("host"), &json!("full")));
    assert_eq!(shown["expires_at"], "2096-10-02T07:06:40Z");
    site.emulator.change(|settings| settings.keys[0].disabled = true);
    assert_eq!(site.get("api_key").await.kind(), "not-authorized/api-key-is-disabled");
    site.emulator.change(|settings| {
        settings.keys[0].disabled = false;
        settings.keys[0].expires_at = Some(1);
    });
    assert_eq!(site.get("api_key").await.status, 401);
}

#[tokio::test]
async fn a_files_only_key_is_kept_to_files() {
    let site = Site::with(|settings| {
        settings.keys.push(Key { permission_set: PermissionSet::FilesOnly, ..key("key") });
    });
    for path in ["user", "site", "site/usage", "locks/x"] {
        let answer = site.get(path).await;
        assert_eq!(
            (answer.status, answer.kind()),
            (403, "not-authorized/api-key-only-for-file-operations"),
            "{path}"
        );
    }
    for path in ["api_key", "folders/"] {
        assert_eq!(site.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_key_with_a_path_stays_inside() {
    let site = Site::with(|settings| settings.keys.push(Key { path: Some("In/side".into()), ..key("key") }));
    site.emulator.mkdir("in/side");
    site.emulator.put("out", b"");
    assert_eq!(site.upload("in/SIDE/f", &[b"x"]).await.status, 201);
    let restricted = "not-authorized/api-key-is-path-restricted";
    assert_eq!(site.stat("out").await.kind(), restricted);
    assert_eq!(site.get("folders/").await.kind(), restricted);
    let moved = site.relocate("move", "in/side/f", json!({"destination": "f"})).await;
    assert_eq!((moved.status, moved.kind()), (403, restricted));
}

#[tokio::test]
async fn letters_decide_what_a_folder_allows() {
    let site = Site::new();
    site.emulator.put("d/old", b"old");
    site.emulator.set_permissions("d", "lrw");
    assert_eq!(site.upload("d/new", &[b"x"]).await.status, 201, "new files");
    let again = site.call("POST", "file_actions/begin_upload/d/old", json!({})).await;
    assert_eq!((again.status, again.kind()), (403, "not-authorized/write-permission-required"));
    assert_eq!(site.delete("d/old").await.kind(), "not-authorized/full-permission-required");
    assert_eq!(site.relocate("move", "d/old", json!({"destination": "x"})).await.status, 403);
    assert_eq!(site.stat("d/old").await.json["permissions"], "lrw");
    site.emulator.set_permissions("d", "w");
    assert_eq!(site.get("folders/d").await.kind(), "not-authorized/read-permission-required");
    assert_eq!(site.get("files/d/old").await.status, 403);
    assert_eq!(site.upload("d/newer", &[b"x"]).await.status, 201, "a drop box");
    site.emulator.set_permissions("d", "lr");
    let refused = site.call("POST", "file_actions/begin_upload/d/z", json!({})).await;
    assert_eq!(refused.kind(), "not-authorized/write-permission-required");
    site.emulator.set_permissions("d/sub", "lrwod");
    assert_eq!(site.emulator.folders().len(), 1);
    site.emulator.mkdir("d/sub");
    assert_eq!(site.upload("d/sub/f", &[b"x"]).await.status, 201, "the nearest folder decides");
    site.emulator.change(|settings| settings.forbidden_is_not_found = true);
    assert_eq!(site.delete("d/old").await.kind(), "not-found");
}

#[tokio::test]
async fn read_only_and_immutable_sites_refuse_with_their_own_types() {
    let site = Site::new();
    site.emulator.put("f", b"old");
    site.emulator.change(|settings| settings.immutable = true);
    assert_eq!(site.upload("g", &[b"x"]).await.status, 201);
    for answer in [
        site.delete("f").await,
        site.call("POST", "file_actions/begin_upload/f", json!({})).await,
        site.relocate("move", "f", json!({"destination": "h"})).await,
    ] {
        assert_eq!((answer.status, answer.kind()), (403, "not-authorized/site-files-are-immutable"));
    }
    assert!(site.get("site").await.json["immutable_files_set_at"].is_string());
    site.emulator.change(|settings| settings.read_only = true);
    assert_eq!(site.mkdir("d").await.kind(), "not-authorized/read-only-session");
}

#[tokio::test]
async fn a_login_gives_a_session_that_expires() {
    let site = Site::with(|settings| {
        settings.users.push(User { name: "me".into(), password: "secret".into(), ..User::default() });
        settings.md5 = false;
    });
    let wrong =
        Answer::of(site.request("POST", "sessions").json(&json!({"username": "me", "password": "x"}))).await;
    assert_eq!((wrong.status, wrong.kind()), (401, "not-authenticated/invalid-username-or-password"));
    let login = json!({"username": "me", "password": "secret"});
    let login = Answer::of(site.request("POST", "sessions").json(&login)).await;
    assert_eq!((login.status, login.json["calculate_file_checksums_md5"].as_bool()), (201, Some(false)));
    let id = login.json["id"].as_str().unwrap();
    assert_eq!(id.len(), 40);
    assert!(login.json["timeout_at"].as_str().unwrap().ends_with("-04:00"), "a local offset");
    let with = |path: &str| Answer::of(site.request("GET", path).header("x-filesapi-auth", id));
    assert_eq!(with("folders/").await.status, 200);
    site.emulator.advance(Duration::from_secs(6 * 3600));
    let late = with("folders/").await;
    assert_eq!((late.status, late.kind()), (401, "not-authenticated/invalid-session"));
    assert_eq!(site.emulator.requests()[1].body, "", "no password in the log");
}

#[tokio::test]
async fn a_second_factor_takes_a_second_step_and_logging_out_ends_the_session() {
    let site = Site::with(|settings| {
        let otp = Some("123456".into());
        settings.users.push(User { name: "me".into(), password: "pw".into(), otp, ..User::default() });
    });
    let post = |body: Value| Answer::of(site.request("POST", "sessions").json(&body));
    let first = post(json!({"username": "me", "password": "pw"})).await;
    assert_eq!((first.status, first.kind()), (401, "not-authenticated/two-factor-authentication-error"));
    let half = &first.json["data"]["partial_session_id"];
    assert_eq!(
        post(json!({"partial_session_id": half, "otp": "1"})).await.kind(),
        "not-authenticated/one-time-password-incorrect"
    );
    let second = post(json!({"partial_session_id": half, "otp": "123456"})).await;
    assert_eq!(second.status, 201);
    let id = second.json["id"].as_str().unwrap();
    let with = |method, path| Answer::of(site.request(method, path).header("x-filesapi-auth", id));
    assert_eq!(with("DELETE", "sessions").await.status, 204);
    assert_eq!(with("GET", "folders/").await.status, 401);
}

#[tokio::test]
async fn another_workspace_is_refused() {
    let site = Site::new();
    let request = site.request("GET", "folders/").header("x-filesapi-key", "key");
    let answer = Answer::of(request.header("x-files-workspace-id", "7")).await;
    assert_eq!(answer.kind(), "bad-request/invalid-workspace-id-header");
}

#[tokio::test]
async fn a_foreign_exclusive_lock_keeps_others_out() {
    let site = Site::new();
    site.emulator.put("f", b"");
    let lock = site.call("POST", "locks/f", json!({"exclusive": true, "timeout": 60})).await;
    assert_eq!(lock.status, 201);
    assert_eq!(site.delete("f").await.status, 204, "its owner may");
    site.emulator.put("f", b"");
    let other = Site { key: "other", ..site };
    assert_eq!(other.delete("f").await.kind(), "processing-failure/file-locked");
    let token = lock.json["token"].as_str().unwrap();
    let unlocked = other.call("DELETE", &format!("locks/f?token={token}"), Value::Null).await;
    assert_eq!(unlocked.status, 204);
    assert_eq!(other.delete("f").await.status, 204);
}
