//! What is a guess about the service, and what it has besides files: held to what the documentation says.

use super::super::{Effect, Fault, User};
use super::*;

#[tokio::test]
async fn a_page_has_a_thousand_entries_unless_told_and_never_more_than_the_cap() {
    let site = Site::new();
    let defaults = Settings::default();
    assert_eq!((defaults.per_page, defaults.per_page_max), (1000, 10_000));
    for n in 0..1001 {
        site.emulator.put(&format!("d/{n}"), b"");
    }
    assert_eq!(site.get("folders/d").await.names().len(), 1000);
    assert_eq!(site.get("folders/d?per_page=1001").await.names().len(), 1001);
    site.emulator.change(|settings| settings.per_page_max = 7);
    assert_eq!(site.get("folders/d?per_page=1001").await.names().len(), 7);
}

#[tokio::test]
async fn listings_are_filtered_by_type_and_searched_by_name_or_metadata() {
    let site = Site::new();
    for name in ["report.txt", "Report2.txt", "other"] {
        site.emulator.put(&format!("d/{name}"), b"");
    }
    site.emulator.mkdir("d/reports");
    site.call("PATCH", "files/d/other", json!({"custom_metadata": {"kind": "Report"}})).await;
    assert_eq!(site.get("folders/d?type=folder").await.names(), ["reports"]);
    assert_eq!(site.get("folders/d?search=x/REPORT").await.names(), ["reports", "report.txt", "Report2.txt"]);
    let by_key = site.get("folders/d?search=report&search_custom_metadata_key=kind").await;
    assert_eq!(by_key.names(), ["other"]);
    assert_eq!(site.get("folders/d?search_all=true").await.kind(), "bad-request/search-all-on-child-path");
}

#[tokio::test]
async fn of_two_uploads_to_one_path_the_last_completion_wins() {
    let site = Site::new();
    let first = site.send_parts("f", &[b"first"]).await;
    let second = site.send_parts("f", &[b"second"]).await;
    assert_ne!(first["ref"], second["ref"]);
    assert_eq!(site.complete("f", second).await.status, 201);
    assert_eq!(site.complete("f", first).await.status, 200);
    assert_eq!(site.emulator.read("f").unwrap(), b"first");
}

#[tokio::test]
async fn appending_and_offsets_are_refused() {
    let site = Site::new();
    for body in [json!({"restart": 5}), json!({"length": 5}), json!({"action": "append"})] {
        let answer = site.call("POST", "file_actions/begin_upload/f", body.clone()).await;
        assert_eq!(answer.status, 422, "{body}");
        assert!(answer.kind().starts_with("bad-request/"), "{body}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_part_number_beyond_the_last_is_refused() {
    let site = Site::new();
    let slot = site.begin("f", json!({})).await;
    for (part, kind) in
        [(10_001, "bad-request/part-number-too-large"), (0, "bad-request/request-params-invalid")]
    {
        let body = json!({"ref": slot["ref"], "part": part});
        assert_eq!(site.call("POST", "file_actions/begin_upload/f", body).await.kind(), kind);
    }
}

#[tokio::test]
async fn an_empty_file_is_completed_without_a_size() {
    let site = Site::new();
    let slot = site.begin("f", json!({})).await;
    let etag = site.put_part(&slot, b"").await.header("etag").unwrap().to_owned();
    assert_eq!(etag, "\"d41d8cd98f00b204e9800998ecf8427e\"");
    let etags = json!([{"etag": etag.trim_matches('"'), "part": "1"}]);
    let done = site.complete("f", json!({"action": "end", "ref": slot["ref"], "etags": etags})).await;
    assert_eq!((done.status, &done.json["size"]), (201, &json!(0)));
}

#[tokio::test]
async fn an_upload_onto_a_folder_is_destination_exists() {
    let site = Site::new();
    site.mkdir("d").await;
    let answer = site.call("POST", "file_actions/begin_upload/d", json!({})).await;
    assert_eq!((answer.status, answer.kind()), (422, "processing-failure/destination-exists"));
}

#[tokio::test]
async fn a_year_before_1000_is_refused_and_the_year_9999_is_not() {
    let site = Site::new();
    site.emulator.put("f", b"");
    for (given, status) in [
        ("0999-12-31T23:59:59Z", 422),
        ("1000-01-01T00:00:00Z", 200),
        ("9999-12-30T00:00:00Z", 200),
        ("2023-02-30T00:00:00Z", 422),
        ("soon", 422),
    ] {
        assert_eq!(
            site.call("PATCH", "files/f", json!({"provided_mtime": given})).await.status,
            status,
            "{given}"
        );
    }
}

#[tokio::test]
async fn a_login_that_brings_an_api_key_is_refused() {
    let site = Site::with(|settings| {
        settings.users.push(User { name: "me".into(), password: "pw".into(), ..User::default() });
    });
    let answer = site.call("POST", "sessions", json!({"username": "me", "password": "pw"})).await;
    assert_eq!((answer.status, answer.kind()), (401, "not-authenticated/api-key-sessions-not-supported"));
}

#[tokio::test]
async fn expiry_at_a_proxy_of_the_service_is_403_in_json() {
    let site = Site::new();
    for (kind, request) in [("part", "upload_request_expired"), ("fetch", "download_request_expired")] {
        let what = Effect::Error { kind: request.into(), status: None, retry_after: None };
        site.emulator.inject(Fault::on(kind, what));
        let slot = site.begin("f", json!({})).await;
        let answer = match kind {
            "part" => site.put_part(&slot, b"x").await,
            _ => {
                site.upload("f", &[b"x"]).await;
                site.fetch(&site.download_url("f").await, &[]).await
            }
        };
        assert_eq!((answer.status, answer.kind()), (403, request));
    }
}

#[tokio::test]
async fn cache_headers_are_on_the_calls_where_they_were_recorded_and_on_no_other() {
    let site = Site::new();
    let cached = |answer: &Answer| {
        let header = |name| answer.header(name).map(str::to_owned);
        (header("x-files-cache-for-seconds"), header("x-files-safe-to-cache"))
    };
    let yes = (Some("900".to_owned()), Some("true".to_owned()));
    for answer in [
        site.upload("f", &[b"x"]).await,
        site.stat("f").await,
        site.get("files/f").await,
        site.get("folders/").await,
    ] {
        assert_eq!(cached(&answer), yes, "{}", answer.text());
    }
    for answer in [
        site.mkdir("d").await,
        site.call("PATCH", "files/f", json!({"provided_mtime": "2020-01-01"})).await,
        site.call("POST", "file_actions/begin_upload/g", json!({})).await,
        site.stat("missing").await,
        site.delete("d").await,
    ] {
        assert_eq!(cached(&answer), (None, None), "{}", answer.text());
    }
}

#[tokio::test]
async fn an_entity_shows_what_is_asked_for_and_its_type_goes_by_the_extension_alone() {
    let site = Site::new();
    for (name, wanted) in [
        ("a.txt", "text/plain"),
        ("a.gz", "application/x-gzip"),
        ("a.text", "application/octet-stream"),
        ("none", "application/octet-stream"),
    ] {
        let made = site.upload(name, &[b"<html>"]).await;
        assert_eq!(made.json["mime_type"], wanted, "{name}");
        assert_eq!((&made.json["custom_metadata"], &made.json["region"]), (&json!({}), &json!("us-east-1")));
        assert!(made.json.get("priority_color").is_none() && made.json.get("is_locked").is_none());
        assert!(made.json["mtime"].as_str().unwrap().ends_with('Z'), "files in UTC");
    }
    site.call("PATCH", "files/none", json!({"priority_color": "red"})).await;
    let asked = site.get("file_actions/metadata/none?with_priority_color=true").await;
    assert_eq!(asked.json["priority_color"], "red");
    let none = site.get("file_actions/metadata/a.txt?with_priority_color=true").await;
    assert_eq!(none.json.get("priority_color"), Some(&Value::Null));
}

#[tokio::test]
async fn the_site_and_its_user_describe_themselves_and_what_is_not_there_is_404() {
    let site = Site::with(|settings| (settings.site, settings.crc32) = ("acme".into(), false));
    site.upload("f", &[b"12345"]).await;
    let shown = site.get("site").await.json;
    assert_eq!(
        (&shown["subdomain"], &shown["calculate_file_checksums_crc32"]),
        (&json!("acme"), &json!(false))
    );
    assert_eq!(shown["session_expiry_minutes"], 360);
    assert!(site.get("site/usage").await.json["current_storage"].as_f64().unwrap() > 0.0);
    assert!(site.get("user").await.json["username"].is_string());
    for (method, path) in [
        ("POST", "zip_downloads"),
        ("GET", "file_actions/zip_list/f"),
        ("GET", "history/files/f"),
        ("POST", "file_actions/delete/f"),
        ("GET", "api_keys"),
    ] {
        let answer = site.call(method, path, Value::Null).await;
        assert_eq!((answer.status, answer.kind()), (404, "not-found"), "{path}");
    }
    assert!(
        site.get("files/f?with_direct_connection_info=true")
            .await
            .json
            .get("direct_connection_info")
            .is_none()
    );
}

#[tokio::test]
async fn bodies_come_as_json_or_as_forms() {
    let site = Site::new();
    let slot = site.begin("f", json!({})).await;
    site.put_part(&slot, b"x").await;
    let form = format!("action=end&ref={}&mkdir_parents=true", slot["ref"].as_str().unwrap());
    let request = site.request("POST", "files/f").header("x-filesapi-key", "key");
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
    assert_eq!(Answer::of(request).await.status, 201);
    assert_eq!(site.emulator.read("f").unwrap(), b"x");
}
