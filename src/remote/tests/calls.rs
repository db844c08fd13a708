//! Any call: what it sends, when it is repeated, what its failures are called.

use std::time::Duration;

use super::super::{Client, ClientOptions, ErrorKind};
use super::*;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn a_call_carries_the_key_and_names_the_program() {
    let (client, server) =
        script(vec![Reply::json(
        200,
        &json!({"id": 1, "name": "backup host", "permission_set": "files_only", "path": "backups/host1",
            "expires_at": "2027-01-01T01:00:00-05:00", "user_id": null, "site_id": 1, "site_name": "acme"}),
    )
    .header("Date", "Fri, 01 Jan 2100 00:00:00 GMT")])
        .await;
    let key = client.api_key().await.unwrap();
    assert_eq!((key.name.as_deref(), key.path.as_deref()), (Some("backup host"), Some("backups/host1")));
    assert_eq!({ key.expires_at.unwrap().seconds }, 1_798_783_200);
    assert!(client.clock_skew().unwrap() > 1_000_000);
    let request = &server.seen()[0];
    assert_eq!((request.method.as_str(), request.target.as_str()), ("GET", "/api/rest/v1/api_key"));
    assert_eq!(request.headers["x-filesapi-key"], KEY);
    assert_eq!(request.headers["user-agent"], concat!("filescomfs/", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn transient_failures_are_repeated_until_they_pass() {
    let (client, server) = script(vec![
        Reply::new(502, "text/html", "<html><h1>502 Bad Gateway</h1></html>"),
        Reply::lost(),
        Reply::error(422, "service-unavailable/migration-in-progress", "Later."),
        Reply::error(429, "rate-limited/too-many-requests", "Slow down.").header("Retry-After", "0"),
        Reply::json(200, &file("a/b", 3)).cut_after(20),
        Reply::json(200, &file("a/b", 3)),
    ])
    .await;
    assert_eq!(client.stat(&path("a/b")).await.unwrap().unwrap().size, 3);
    assert_eq!(server.seen().len(), 6);
    let calls = client.calls();
    assert_eq!((calls.by_kind["stat"], calls.retries), (6, 5));
}

#[tokio::test]
async fn a_refusal_is_final() {
    let table = [
        (401, "not-authenticated/invalid-credentials", ErrorKind::Authentication, libc::EACCES),
        (401, "not-authenticated/two-factor-authentication-error", ErrorKind::SecondFactor, libc::EACCES),
        (403, "not-authorized/api-key-is-path-restricted", ErrorKind::Permission, libc::EACCES),
        (403, "not-authorized/read-only-session", ErrorKind::ReadOnly, libc::EROFS),
        (404, "not-found/site-not-found", ErrorKind::SiteNotFound, libc::EIO),
        (422, "processing-failure/file-locked", ErrorKind::Locked, libc::EBUSY),
        (400, "bad-request/cannot-download-directory", ErrorKind::IsFolder, libc::EISDIR),
        (422, "processing-failure/brand-new", ErrorKind::Refused, libc::EIO),
        (418, "brand-new/brand-new", ErrorKind::Protocol, libc::EIO),
    ];
    for (status, api_type, kind, errno) in table {
        let (client, server) = script(vec![Reply::error(status, api_type, "No.")]).await;
        let error = client.stat(&path("a")).await.unwrap_err();
        assert_eq!((error.kind(), error.errno()), (kind, errno), "{api_type}");
        assert_eq!(error.api_type(), Some(api_type));
        assert_eq!(server.seen().len(), 1, "{api_type}");
        let line = error.to_string();
        assert!(line.starts_with("GET /file_actions/metadata/a: No. (HTTP "), "{line}");
        assert!(line.ends_with("[request 5b12251d03a1f2f650f1423cd5cbab22]"), "{line}");
    }
}

#[tokio::test]
async fn only_the_service_itself_says_that_a_file_is_missing() {
    let (client, _server) = script(vec![
        Reply::not_found(),
        Reply::new(404, "text/html", "<html>nginx</html>"),
        Reply::new(405, "", "").without_content_type(),
        Reply::new(200, "text/html", "<html>Welcome to the hotel</html>"),
    ])
    .await;
    assert_eq!(client.stat(&path("a")).await.unwrap(), None);
    for kind in [ErrorKind::SiteNotFound, ErrorKind::SiteNotFound, ErrorKind::Protocol] {
        assert_eq!(client.stat(&path("a")).await.unwrap_err().kind(), kind);
    }
}

#[tokio::test]
async fn an_answer_that_is_not_whole_is_not_believed() {
    for body in ["{\"path\":\"a\",\"size\":", "", "[]", "null", "\"a\""] {
        let (client, _server) = script(vec![Reply::new(200, "application/json", body)]).await;
        assert_eq!(client.stat(&path("a")).await.unwrap_err().kind(), ErrorKind::Protocol, "{body}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_the_key_stays_here() {
    let elsewhere = Server::start(|_| Reply::json(200, &json!({}))).await;
    let to = elsewhere.base().join("/api/rest/v1/api_key").unwrap();
    let (client, _server) = script(vec![Reply::new(302, "", "").header("Location", to.as_str())]).await;
    let error = client.api_key().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongHost);
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn the_right_host_of_a_region_is_named() {
    let typed = Reply::json(
        403,
        &json!({"type": "not-authenticated/lockout-region-mismatch", "error": "Wrong host.",
            "http-code": "403", "data": {"host": "acme-eu.files.com"}}),
    );
    let old = Reply::new(403, "text/plain", "You have connected to a URL that is wrong.")
        .header("X-Files-Host", "acme-eu.files.com");
    let (client, _server) = script(vec![typed, old]).await;
    for _ in 0..2 {
        let error = client.api_key().await.unwrap_err();
        assert_eq!((error.kind(), error.right_host()), (ErrorKind::WrongHost, Some("acme-eu.files.com")));
        assert!(error.remedy().contains("acme-eu.files.com"));
    }
}

#[tokio::test]
async fn patience_is_bounded_and_the_error_tells_how_often_it_was_tried() {
    let (client, server) = hurried(|_| Reply::new(503, "text/html", "<html></html>")).await;
    let error = client.api_key().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains(&format!("after {} attempts", server.seen().len())), "{error}");
    assert!(server.seen().len() >= 2);
}

#[tokio::test]
async fn a_wait_that_is_asked_for_beyond_all_patience_is_an_error_at_once() {
    let (client, server) =
        hurried(|_| Reply::error(429, "rate-limited/too-many-requests", "No.").header("Retry-After", "3600"))
            .await;
    assert_eq!(client.api_key().await.unwrap_err().kind(), ErrorKind::RateLimited);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn silence_is_a_timeout() {
    let (client, _server) = hurried(|_| Reply::silence()).await;
    let error = client.api_key().await.unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::Timeout, libc::ETIMEDOUT));
}

#[tokio::test]
async fn a_body_that_stands_still_is_a_timeout() {
    let (client, _server) = hurried(|_| Reply::json(200, &file("a", 1)).stall_after(9)).await;
    assert_eq!(client.stat(&path("a")).await.unwrap_err().kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn a_closed_port_and_an_unknown_host_are_told_apart() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let table = [
        (format!("http://127.0.0.1:{port}"), ErrorKind::Network),
        ("https://no-such-site.invalid".to_owned(), ErrorKind::HostUnknown),
    ];
    for (base, kind) in table {
        let base = url::Url::parse(&base).unwrap();
        let network_timeout = Duration::from_secs(3);
        let client = Client::new(ClientOptions { network_timeout, ..options(base) }).unwrap();
        let error = client.api_key().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
}

#[tokio::test]
async fn an_answer_in_the_clear_where_tls_is_meant_is_a_matter_of_tls() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = url::Url::parse(&format!("https://{}", listener.local_addr().unwrap())).unwrap();
    let answering = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        // Until the client hangs up: a reset would hide what was answered.
        stream.read_to_end(&mut Vec::new()).await
    });
    let error = Client::new(options(base)).unwrap().api_key().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
    assert!(answering.await.is_ok());
}

#[tokio::test]
async fn plain_http_beyond_this_host_is_refused_before_anything_is_sent() {
    let base = url::Url::parse("http://nas.example.com").unwrap();
    assert_eq!(Client::new(options(base.clone())).unwrap_err().kind(), ErrorKind::PlainHttp);
    assert!(Client::new(ClientOptions { allow_http: true, ..options(base) }).is_ok());
}

#[tokio::test]
async fn what_is_odd_in_the_description_of_a_key_or_a_site_is_unknown_and_no_error() {
    let key =
        json!({"name": 7, "permission_set": "full", "expires_at": 1_798_783_200, "user_id": "x", "path": []});
    let site = json!({"name": {}, "calculate_file_checksums_md5": "yes", "days_to_retain_backups": -1,
        "immutable_files_set_at": 3, "use_provided_modified_at": false});
    let (client, _server) = script(vec![Reply::json(200, &key), Reply::json(200, &site)]).await;
    let key = client.api_key().await.unwrap();
    assert_eq!((key.name, key.expires_at, key.user_id, key.path), (None, None, None, None));
    assert_eq!(key.permission_set.as_deref(), Some("full"));
    let site = client.site().await.unwrap();
    assert_eq!((site.name, site.checksums.md5, site.immutable_since), (None, None, None));
    assert_eq!(site.use_provided_modified_at, Some(false));
}

#[tokio::test]
async fn settings_of_the_site_are_read() {
    let (client, _server) = script(vec![Reply::json(
        200,
        &json!({"name": "Acme", "calculate_file_checksums_md5": true, "calculate_file_checksums_crc32": false,
            "legacy_checksums_mode": null, "use_provided_modified_at": false, "days_to_retain_backups": 30,
            "immutable_files_set_at": null}),
    )])
    .await;
    let site = client.site().await.unwrap();
    assert_eq!(
        (site.checksums.md5, site.checksums.crc32, site.checksums.legacy),
        (Some(true), Some(false), None)
    );
    assert_eq!((site.use_provided_modified_at, site.immutable_since), (Some(false), None));
}
