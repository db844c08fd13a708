//! Answers of one meaning in different shapes: fields that are new, absent, null, text or number.

use super::*;
use serde_json::json;

#[tokio::test]
async fn fields_that_nobody_knows_yet_change_nothing() {
    let mut newer = file("a/b", 3);
    newer["brand_new"] = json!({"nested": [1, null, "x"]});
    newer["download_identity"] = json!("opaque");
    let (client, _server) = script(vec![
        Reply::json(200, &file("a/b", 3)),
        Reply::json(200, &newer),
        Reply::json(200, &json!([newer])).header("X-Files-Brand-New", "1"),
    ])
    .await;
    let known = client.stat(&path("a/b")).await.unwrap().unwrap();
    assert_eq!(client.stat(&path("a/b")).await.unwrap().unwrap(), known);
    assert_eq!(client.list(&path("a")).await.unwrap(), [known]);
}

#[tokio::test]
async fn an_error_is_the_same_with_its_code_as_text_and_with_all_its_fields() {
    let error = |code: serde_json::Value| {
        json!({"error": "No.", "http-code": code, "instance": "5b12251d03a1f2f650f1423cd5cbab22",
            "title": "Destination Exists", "type": "processing-failure/destination-exists", "data": {},
            "errors": ["text", {"field": "path"}], "model_errors": {"path": ["taken"]},
            "model_error_keys": {"path": ["taken"]}})
    };
    let (client, _server) = script(vec![
        Reply::json(422, &error(json!(422))),
        Reply::json(422, &error(json!("422"))),
        Reply::error(422, "processing-failure/destination-exists", "No."),
    ])
    .await;
    let mut told = Vec::new();
    for _ in 0..3 {
        let error = client.stat(&path("a")).await.unwrap_err();
        told.push((error.kind(), error.to_string()));
    }
    assert_eq!(told[0], told[1]);
    assert_eq!(told[1], told[2]);
}

#[tokio::test]
async fn a_deletion_is_done_with_and_without_a_body() {
    let (client, _server) =
        script(vec![Reply::new(204, "", "").without_content_type(), Reply::new(204, "application/json", "")])
            .await;
    for _ in 0..2 {
        client.delete(&path("a"), None).await.unwrap();
    }
}

/// A file with every field that was ever seen or documented.
fn everything() -> serde_json::Value {
    json!({"path": "d/a.txt", "created_by_id": 1_028_730, "created_by_api_key_id": null,
        "created_by_as2_incoming_message_id": null, "created_by_automation_id": null,
        "created_by_bundle_registration_id": null, "created_by_inbox_id": null,
        "created_by_remote_server_id": null, "created_by_remote_server_sync_id": null, "created_by_sync_id": null,
        "custom_metadata": {"k": "v"}, "display_name": "a.txt", "type": "file", "size": 9,
        "created_at": "2025-05-23T17:31:05Z", "last_modified_by_id": null, "last_modified_by_api_key_id": 3_708_528,
        "last_modified_by_automation_id": null, "last_modified_by_bundle_registration_id": null,
        "last_modified_by_remote_server_id": null, "last_modified_by_remote_server_sync_id": null,
        "mtime": "2025-05-23T17:31:05Z", "provided_mtime": "2010-11-17T20:34:58Z", "crc32": "70b9f6",
        "md5": "5045cf51883b32c692d1b38d57993daf", "sha1": "x", "sha256": "x", "mime_type": "text/plain",
        "region": "us-east-1", "permissions": "lrwd", "priority_color": "red", "preview_id": 1,
        "preview": {"id": 1, "status": "complete", "download_uri": "https://x/", "type": "image", "size": 3},
        "is_locked": false, "subfolders_locked?": false, "direct_connection_info": null,
        "download_uri": "https://s3.amazonaws.com/o?X-Amz-Expires=60"})
}

#[tokio::test]
async fn a_file_is_the_same_file_in_the_shapes_of_all_years() {
    // 2021: neither makers nor metadata nor SHA digests; 2026: everything.
    let of_2021 = json!({"path": "d/a.txt", "display_name": "a.txt", "type": "file", "size": 9,
        "created_at": "2025-05-23T17:31:05Z", "mtime": "2025-05-23T17:31:05Z",
        "provided_mtime": "2010-11-17T20:34:58Z", "crc32": "70b9f6", "md5": "5045cf51883b32c692d1b38d57993daf",
        "mime_type": "text/plain", "region": "us-east-1", "permissions": "rwd"});
    let mut of_text = everything();
    (of_text["size"], of_text["path"]) = (json!("9"), json!("/d/a.txt/"));
    let mut with_nulls = everything();
    for field in ["custom_metadata", "created_by_id", "mime_type", "region", "priority_color", "preview"] {
        with_nulls[field] = json!(null);
    }
    let (client, _server) = script(vec![
        Reply::json(200, &everything()).chunked(),
        Reply::json(200, &of_text),
        Reply::json(200, &of_2021),
        Reply::json(200, &with_nulls).also("X-Request-Id", "a-second-one"),
    ])
    .await;
    let known = client.stat(&path("d/a.txt")).await.unwrap().unwrap();
    assert_eq!((known.name.as_str(), known.size, known.metadata["k"].as_str()), ("a.txt", 9, "v"));
    assert_eq!({ known.crc32.unwrap().0 }, 0x0070_b9f6, "without its leading zeros");
    assert_eq!(client.stat(&path("d/a.txt")).await.unwrap().unwrap(), known);
    for _ in 0..2 {
        let older = client.stat(&path("d/a.txt")).await.unwrap().unwrap();
        assert_eq!((older.size, older.md5, older.provided), (known.size, known.md5, known.provided));
        assert!(older.metadata.is_empty() && older.permissions.write, "{older:?}");
    }
}

#[tokio::test]
async fn a_folder_is_a_folder_with_a_size_of_null_or_0_and_on_remote_mounts_without_times() {
    let mut zero = folder("d");
    zero["size"] = json!(0);
    let mut remote = folder("d");
    (remote["created_at"], remote["mtime"]) = (json!(null), json!(null));
    let (client, _server) =
        script(vec![Reply::json(200, &folder("d")), Reply::json(200, &zero), Reply::json(200, &remote)])
            .await;
    for _ in 0..3 {
        let entry = client.stat(&path("d")).await.unwrap().unwrap();
        assert_eq!((entry.kind, entry.size), (crate::model::entry::Kind::Folder, 0));
    }
}

#[tokio::test]
async fn the_next_page_has_either_name_and_a_blank_one_is_none() {
    let page = |name: &str| Reply::json(200, &json!([file(&format!("d/{name}"), 1)])).chunked();
    let (client, server) = script(vec![
        page("a").header("X-Files-Cursor", "c2:next:one"),
        page("b")
            .header("x-files-cursor-next", "c2:next:two")
            .header("X-Files-Cached-Response", "1748021465"),
        page("c").header("X-Files-Cursor", "c2:next:three").header("X-Files-Cursor-Next", "c2:next:three"),
        page("d")
            .header("X-Files-Cursor", "")
            .header("X-Files-Cursor-Next", " ")
            .header("X-Files-Cursor-Prev", "c2:p"),
    ])
    .await;
    assert_eq!(client.list(&path("d")).await.unwrap().len(), 4);
    assert!(server.asked()[3].ends_with("cursor=c2%3Anext%3Athree"), "{:?}", server.asked());
}

#[tokio::test]
async fn a_part_is_the_same_part_with_what_newer_and_older_sites_say_of_it() {
    let recorded = |base: &str| {
        // As it was recorded, ampersands escaped.
        format!(
            r#"[{{"send":{{"partsize":"required-header Content-Length","partdata":"body"}},"action":"put/write",
            "ask_about_overwrites":false,"available_parts":10000,"expires":"2025-05-23T17:46:05Z","headers":{{}},
            "http_method":"PUT","next_partsize":6291456,"parallel_parts":true,"retry_parts":true,"parameters":{{}},
            "part_number":1,"partsize":5242880,"ref":"put-13456071235",
            "upload_uri":"{base}/storage/o?X-Amz-Expires=900\u0026partNumber=1\u0026uploadId=x"}}]"#
        )
    };
    let newer = |base: &str| {
        json!([{"ref": "put-13456071235", "upload_uri": format!("{base}/storage/o?X-Amz-Expires=900&partNumber=1&uploadId=x"),
            "part_number": "1", "partsize": "5242880", "http_method": "put", "headers": [], "parameters": [],
            "send": null, "parallel_parts": null, "path": "a", "upload_target_class": "s3",
            "variable_part_limits": {"min_nonfinal_bytes": 5_242_880, "max_parts": 10_000},
            "part_offset_query": null, "direct_connection_info": null}])
    };
    let mut count = 0;
    let (client, server) = stage(move |request| {
        if request.method == "PUT" {
            return Reply::bytes(200, b"", "d41d8cd98f00b204e9800998ecf8427e").without_content_type();
        }
        count += 1;
        match count {
            1 => Reply::new(200, "application/json; charset=utf-8", recorded(&request.base)),
            2 => Reply::json(200, &newer(&request.base)),
            // The older call answers the part itself.
            _ => Reply::json(200, &newer(&request.base)[0]),
        }
    })
    .await;
    for says_parallel in [true, false, false] {
        let upload = client.begin_upload(&path("a"), Some(0)).await.unwrap();
        assert_eq!(upload.reference.to_string(), "put-13456071235");
        // Only a yes is one.
        assert_eq!((upload.parallel_parts, upload.recommended_part_size), (says_parallel, 5_242_880));
        client.put_part(&upload.first, bytes::Bytes::new()).await.unwrap();
        let put = server.asked().pop().unwrap();
        assert_eq!(put, "PUT /storage/o?X-Amz-Expires=900&partNumber=1&uploadId=x");
    }
}

#[tokio::test]
async fn a_migration_is_followed_in_the_short_and_in_the_long_shape() {
    let long = json!({"id": 7, "path": "a", "dest_path": "b", "failure_message": null, "files_moved": "3",
        "files_total": null, "operation": "move", "region": "USA", "status": "IN_PROGRESS", "log_url": "https://x"});
    let short = json!({"id": 7, "path": "a", "dest_path": "b", "operation": "move", "status": "completed"});
    let (client, server) = script(vec![
        Reply::json(201, &json!({"status": "pending", "file_migration_id": "7"})),
        Reply::json(200, &long),
        Reply::json(200, &short),
        Reply::json(201, &json!({"status": "completed", "file_migration_id": null})),
    ])
    .await;
    client.rename(&path("a"), &path("b"), false).await.unwrap();
    client.rename(&path("a"), &path("b"), false).await.unwrap();
    assert_eq!(server.asked()[2], "GET /api/rest/v1/file_migrations/7");
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn a_204_with_the_body_that_was_recorded_does_not_spoil_the_next_call() {
    let (client, _server) = script(vec![
        Reply::new(204, "application/json", "{}"),
        Reply::json(200, &file("a", 1)),
        Reply::new(204, "application/json", "{}"),
        Reply::json(200, &file("a", 1)),
    ])
    .await;
    for _ in 0..2 {
        client.delete(&path("b"), None).await.unwrap();
        assert_eq!(client.stat(&path("a")).await.unwrap().unwrap().size, 1);
    }
}

#[tokio::test]
async fn keys_sites_and_sessions_are_read_in_full_and_with_nothing_in_them() {
    let key = json!({"id": 1, "descriptive_label": "x", "description": "", "created_at": "2026-01-01T01:00:00Z",
        "expires_at": null, "key": "ab…", "aws_style_credentials": false, "aws_access_key_id": null,
        "aws_secret_key": null, "last_use_at": null, "name": "backup host", "permission_set": "files_only",
        "platform": null, "path": "", "site_id": 1, "site_name": "", "url": null, "user_id": null, "workspace_id": 0});
    let session = json!({"id": "5e5510", "language": null, "max_dir_listing_size": 100_000,
        "sftp_insecure_ciphers": false, "ssl_required": true, "timeout_at": "2025-05-23T20:51:16-04:00",
        "tls_disabled": false, "calculate_file_checksums_crc32": false, "calculate_file_checksums_md5": null,
        "legacy_checksums_mode": true, "user_belongs_to_parent_site": false, "read_only": true, "root_path": "home"});
    let (client, _server) = script(vec![
        Reply::json(200, &key),
        Reply::json(200, &json!({})),
        Reply::json(200, &json!({"name": null, "brand_new": {}})),
    ])
    .await;
    let found = client.api_key().await.unwrap();
    assert_eq!((found.name.as_deref(), found.path, found.expires_at), (Some("backup host"), None, None));
    assert!(client.api_key().await.unwrap().permission_set.is_none());
    assert_eq!(client.site().await.unwrap().checksums.md5, None);
    let credentials = super::super::Credentials::Login {
        username: "ann".into(),
        password: super::super::Secret::from(PASSWORD.to_owned()),
    };
    let server = Server::start(move |_| Reply::json(201, &session)).await;
    let client = Client::new(ClientOptions { credentials, ..options(server.base()) }).unwrap();
    let found = client.log_in().await.unwrap();
    assert_eq!((found.read_only, found.root_path.as_deref()), (true, Some("home")));
    assert_eq!({ found.timeout_at.unwrap().seconds }, 1_748_047_876);
}
