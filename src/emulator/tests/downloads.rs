//! Downloads, and the storage in general.

use super::*;
use std::time::Duration;

#[tokio::test]
async fn ranges_are_served_as_s3_does() {
    let site = Site::new();
    site.upload("f.txt", &[b"0123", b"4567", b"89"]).await;
    let url = site.download_url("f.txt").await;
    for (range, wanted, content_range) in [
        ("bytes=2-5", "2345", "bytes 2-5/10"),
        ("bytes=0-0", "0", "bytes 0-0/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-2", "89", "bytes 8-9/10"),
        ("bytes=8-100", "89", "bytes 8-9/10"),
    ] {
        let answer = site.fetch(&url, &[("range", range)]).await;
        assert_eq!((answer.status, answer.text().as_str()), (206, wanted), "{range}");
        assert_eq!(answer.header("content-range"), Some(content_range));
    }
    let beyond = site.fetch(&url, &[("range", "bytes=10-")]).await;
    assert_eq!((beyond.status, beyond.header("content-range")), (416, Some("bytes */10")));
    assert!(beyond.text().contains("<Code>InvalidRange</Code>"));
    let malformed = site.fetch(&url, &[("range", "bytes=0--1")]).await;
    assert_eq!((malformed.status, malformed.bytes.len()), (200, 10), "ignored, as rclone needs it");
    assert_eq!(malformed.header("accept-ranges"), Some("bytes"));
    assert_eq!(malformed.header("content-disposition"), Some("attachment; filename=\"f.txt\""));
}

#[tokio::test]
async fn an_empty_object_answers_416_to_any_range() {
    let site = Site::new();
    site.upload("f", &[b""]).await;
    let url = site.download_url("f").await;
    assert_eq!(site.fetch(&url, &[("range", "bytes=0-0")]).await.status, 416);
    let whole = site.fetch(&url, &[]).await;
    assert_eq!((whole.status, whole.header("content-length")), (200, Some("0")));
}

#[tokio::test]
async fn if_match_pins_the_version() {
    let site = Site::new();
    site.upload("f", &[b"one"]).await;
    let url = site.download_url("f").await;
    let etag = composite(&[b"one"]);
    assert_eq!(site.fetch(&url, &[("if-match", &etag)]).await.status, 200);
    let other = site.fetch(&url, &[("if-match", "\"other\"")]).await;
    assert_eq!(other.status, 412);
    assert!(other.text().contains("<Code>PreconditionFailed</Code>"));
}

#[tokio::test]
async fn urls_carry_their_life_and_expire() {
    let site = Site::new();
    let slot = site.begin("f", json!({})).await;
    let up = slot["upload_uri"].as_str().unwrap();
    assert!(up.contains("X-Amz-Expires=900") && up.contains("X-Amz-Date="));
    site.emulator.advance(Duration::from_secs(899));
    assert_eq!(site.put_part(&slot, b"x").await.status, 200);
    site.emulator.advance(Duration::from_secs(2));
    let late = site.put_part(&slot, b"x").await;
    assert_eq!(late.status, 403);
    assert!(late.text().contains("<Code>AccessDenied</Code><Message>Request has expired</Message>"));
    let again = site.begin("f", json!({"ref": slot["ref"], "part": 1})).await;
    assert_eq!(site.put_part(&again, b"x").await.status, 200);
    site.complete("f", json!({"action": "end", "ref": slot["ref"]})).await;

    let down = site.download_url("f").await;
    assert!(down.contains("X-Amz-Expires=60"));
    site.emulator.advance(Duration::from_secs(61));
    let late = site.fetch(&down, &[]).await;
    assert_eq!((late.status, late.header("content-type")), (403, Some("application/xml")));
}

#[tokio::test]
async fn a_url_is_good_for_what_was_signed_and_nothing_else() {
    let site = Site::new();
    site.upload("f", &[b"one"]).await;
    let url = site.download_url("f").await;
    let forged = url.replace("X-Amz-Expires=60", "X-Amz-Expires=6000");
    assert!(site.fetch(&forged, &[]).await.text().contains("SignatureDoesNotMatch"));
    assert_eq!(Answer::of(site.client.head(&url)).await.status, 403, "HEAD was not signed");
    assert_eq!(Answer::of(site.client.put(&url).body("x")).await.status, 403);
    let bare = url.split('?').next().unwrap();
    assert_eq!(site.fetch(bare, &[]).await.status, 403);
    assert_eq!(site.fetch(&url, &[("x-filesapi-key", "ignored")]).await.status, 200);
}

#[tokio::test]
async fn a_url_serves_its_version_after_the_path_is_gone() {
    let site = Site::new();
    site.upload("f", &[b"one"]).await;
    let url = site.download_url("f").await;
    site.upload("f", &[b"two"]).await;
    assert_eq!(site.fetch(&url, &[]).await.bytes, b"one");
    site.delete("f").await;
    assert_eq!(site.fetch(&url, &[]).await.bytes, b"one");
}

#[tokio::test]
async fn a_download_of_a_folder_is_refused_and_of_nothing_not_found() {
    let site = Site::new();
    site.mkdir("d").await;
    let folder = site.get("files/d").await;
    assert_eq!((folder.status, folder.kind()), (422, "bad-request/cannot-download-directory"));
    assert_eq!(site.get("files/no").await.kind(), "not-found");
    site.emulator.change(|settings| settings.bad_request_status = 400);
    assert_eq!(site.get("files/d").await.status, 400, "as it was recorded in 2022");
}

#[tokio::test]
async fn actions_of_files_give_no_url_or_lead_there() {
    let site = Site::new();
    site.upload("a name", &[b"x"]).await;
    assert!(site.get("files/a%20name?action=stat").await.json.get("download_uri").is_none());
    let redirect = site.get("files/a%20name?action=redirect").await;
    assert_eq!(redirect.status, 302);
    let answer = site.fetch(redirect.header("location").unwrap(), &[]).await;
    assert_eq!(answer.header("content-disposition"), Some("attachment; filename*=UTF-8''a%20name"));
}

#[tokio::test]
async fn json_escapes_ampersands_in_urls() {
    let site = Site::new();
    site.upload("f", &[b"x"]).await;
    let raw = site.get("files/f").await.text();
    assert!(raw.contains("\\u0026X-Amz-Date") && !raw.contains('&'));
}

#[tokio::test]
async fn the_storage_wants_a_length_and_checks_content_md5() {
    let site = Site::new();
    let slot = site.begin("f", json!({})).await;
    let url = slot["upload_uri"].as_str().unwrap();
    let bad = site.client.put(url).header("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==").body("x");
    assert!(Answer::of(bad).await.text().contains("<Code>BadDigest</Code>"));
    let good = super::super::hex::base64(&<md5::Md5 as md5::Digest>::digest(b"x"));
    assert_eq!(Answer::of(site.client.put(url).header("content-md5", good).body("x")).await.status, 200);
    let pieces = futures_util::stream::iter([Ok::<_, std::io::Error>("x")]);
    let chunked = site.client.put(url).body(reqwest::Body::wrap_stream(pieces));
    assert_eq!(Answer::of(chunked).await.status, 411);
}

#[tokio::test]
async fn signed_urls_lead_to_a_proxy_in_front_where_there_is_one() {
    let site = Site::new();
    site.upload("f", &[b"x"]).await;
    let direct = site.download_url("f").await;
    site.emulator.change(|settings| settings.storage_url = Some("https://front.example.com/".into()));
    let fronted = site.download_url("f").await;
    let path = fronted.strip_prefix("https://front.example.com").unwrap();
    let base = direct.split("/objects").next().unwrap();
    assert_eq!(
        site.fetch(&format!("{base}{path}"), &[]).await.bytes,
        b"x",
        "what the proxy passes on is good"
    );
}
