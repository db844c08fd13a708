//! Uploads: parts and their completion.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::super::{Completion, ErrorKind, PartSlot, Sought, UploadRef};
use super::*;
use crate::model::digest::{ETag, Md5};
use crate::model::moment::Moment;
use serde_json::{Value, json};

/// The answer to `begin_upload` as it was recorded in 2025, for part `number`.
fn part(request: &Request, number: u32) -> Value {
    json!([{"send": {"partsize": "required-header Content-Length", "partdata": "body"}, "action": "put/write",
        "ask_about_overwrites": false, "available_parts": 10_000, "expires": "2025-05-23T17:46:05Z",
        "headers": {}, "http_method": "PUT", "next_partsize": 6_291_456, "parallel_parts": true,
        "retry_parts": true, "parameters": {}, "part_number": number, "partsize": 5_242_880,
        "ref": "put-13456071235",
        "upload_uri": format!("{}/storage/o?X-Amz-Expires=900&partNumber={number}&X-Amz-Signature=5161", request.base)}])
}

/// Begins an upload at a server that then answers PUTs from `puts`.
async fn begun(puts: Vec<Reply>) -> (Client, Server, PartSlot) {
    let mut puts = puts.into_iter();
    let (client, server) = stage(move |request| match request.method.as_str() {
        "PUT" => puts.next().unwrap(),
        _ => Reply::json(200, &part(request, 1)),
    })
    .await;
    let upload = client.begin_upload(&path("a b"), Some(5)).await.unwrap();
    (client, server, upload.first)
}

fn stored(bytes: &[u8]) -> Reply {
    Reply::bytes(200, b"", &Md5::of(bytes).to_string()).without_content_type()
}

#[tokio::test]
async fn a_part_travels_to_its_signed_url_without_credentials() {
    let (client, server, slot) = begun(vec![stored(b"hello")]).await;
    let etag = client.put_part(&slot, Bytes::from_static(b"hello")).await.unwrap();
    assert_eq!(etag, ETag::Md5(Md5::of(b"hello")));
    let seen = server.seen();
    assert_eq!(seen[0].json(), json!({"mkdir_parents": true, "part": 1, "size": 5}));
    assert_eq!((seen[1].target.split('?').next(), &seen[1].body[..]), (Some("/storage/o"), &b"hello"[..]));
    assert_eq!(seen[1].headers["content-length"], "5");
    for header in ["x-filesapi-key", "x-filesapi-auth", "transfer-encoding", "content-type"] {
        assert!(!seen[1].headers.contains_key(header), "{header}");
    }
}

#[tokio::test]
async fn an_empty_file_still_has_its_part() {
    let (client, server, slot) = begun(vec![stored(b"")]).await;
    assert_eq!(client.put_part(&slot, Bytes::new()).await.unwrap(), ETag::Md5(Md5::of(b"")));
    assert_eq!(server.seen()[1].headers["content-length"], "0");
}

#[tokio::test]
async fn the_start_tells_how_to_go_on() {
    let (client, server) = stage(|request| match request.json()["ref"].is_null() {
        true => Reply::json(200, &part(request, 1)),
        false => Reply::json(200, &part(request, 2)),
    })
    .await;
    let upload = client.begin_upload(&path("a"), Some(1 << 30)).await.unwrap();
    assert_eq!((upload.parallel_parts, upload.recommended_part_size), (true, 5_242_880));
    let text = upload.reference.to_string();
    let second = client.begin_part(&path("a"), &text.parse().unwrap(), 2).await.unwrap();
    assert_eq!((second.number, second.is_expired()), (2, false));
    assert_eq!(server.seen()[1].json(), json!({"ref": "put-13456071235", "part": 2}));
}

#[tokio::test]
async fn instructions_that_would_store_something_else_are_refused() {
    let odd = [
        ("http_method", json!("POST")),
        ("parameters", json!({"key": "x"})),
        ("send", json!({"file": "multipart"})),
        ("upload_uri", json!("ftp://storage/o")),
        ("upload_uri", Value::Null),
        ("part_number", json!(9)),
        ("ref", json!(null)),
    ];
    for (field, value) in odd {
        let (client, _server) = stage(move |request| {
            let mut answer = part(request, 1);
            answer[0][field] = value.clone();
            Reply::json(200, &answer)
        })
        .await;
        let error = client.begin_upload(&path("a"), Some(1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{field}");
    }
}

#[tokio::test]
async fn a_part_is_sent_again_after_what_is_transient() {
    let puts = vec![
        Reply::lost(),
        Reply::xml(503, "SlowDown", "Please reduce your request rate."),
        Reply::xml(400, "RequestTimeout", "Your socket connection was not read in time."),
        Reply::xml(500, "InternalError", "We encountered an internal error."),
        stored(b"hello"),
    ];
    let (client, server, slot) = begun(puts).await;
    client.put_part(&slot, Bytes::from_static(b"hello")).await.unwrap();
    assert_eq!(server.seen().iter().filter(|request| request.body == b"hello").count(), 5);
}

#[tokio::test]
async fn what_the_storage_refuses_has_its_kind() {
    let table = [
        (Reply::xml(403, "AccessDenied", "Request has expired"), ErrorKind::UrlExpired),
        (Reply::xml(403, "SignatureDoesNotMatch", "No."), ErrorKind::UrlExpired),
        (Reply::error(403, "upload_request_expired", "Expired."), ErrorKind::UrlExpired),
        (Reply::xml(404, "NoSuchUpload", "Gone."), ErrorKind::UploadLost),
        (Reply::xml(400, "EntityTooLarge", "Too big."), ErrorKind::PartSize),
        (Reply::xml(403, "StorageQuotaExceeded", "Full."), ErrorKind::Quota),
    ];
    for (reply, kind) in table {
        let (client, server, slot) = begun(vec![reply]).await;
        let error = client.put_part(&slot, Bytes::from_static(b"hello")).await.unwrap_err();
        assert_eq!((error.kind(), server.seen().len()), (kind, 2), "{error}");
    }
}

#[tokio::test]
async fn a_part_without_a_digest_is_opaque() {
    let (client, _server, slot) = begun(vec![Reply::new(200, "", "")]).await;
    let etag = client.put_part(&slot, Bytes::from_static(b"hello")).await.unwrap();
    assert_eq!(etag, ETag::Opaque("null".into()));
}

#[tokio::test]
async fn a_part_travels_with_its_md5_and_an_etag_of_encrypted_bytes_is_none() {
    let digits = Md5::of(b"other").to_string();
    let answered = |encryption: &str| {
        stored(b"hello").header("ETag", &digits).header("x-amz-server-side-encryption", encryption)
    };
    for (encryption, etag) in [
        ("AES256", ETag::parse(&digits)),
        ("aws:kms", ETag::compared(&digits)),
        ("aws:kms:dsse", ETag::compared(&digits)),
    ] {
        let (client, server, slot) = begun(vec![answered(encryption)]).await;
        assert_eq!(client.put_part(&slot, Bytes::from_static(b"hello")).await.unwrap(), etag, "{encryption}");
        assert_eq!(server.seen()[1].headers["content-md5"], "XUFAKrxLKna5cZ2REBfFkg==");
    }
}

#[tokio::test]
async fn an_upload_that_the_service_has_forgotten_is_lost() {
    let (client, _server) =
        script(vec![Reply::error(404, "not-found/file-upload-not-found", "File Upload Not Found")]).await;
    let reference: UploadRef = "put-1".parse().unwrap();
    let error = client.begin_part(&path("a"), &reference, 2).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UploadLost);
}

fn completion() -> Completion {
    Completion {
        reference: "put-1".parse().unwrap(),
        etags: vec![(1, ETag::Md5(Md5::of(b"a"))), (2, ETag::Opaque("null".into()))],
        size: 2,
        mtime: Some(Moment { seconds: 1_694_819_073, nanos: 134_508_722 }),
        metadata: BTreeMap::from([("filescomfs".to_owned(), "1 mode=600".to_owned())]),
    }
}

#[tokio::test]
async fn the_completion_names_every_part_and_brings_the_attributes_along() {
    let (client, server) = script(vec![Reply::json(201, &file("B/4.text", 2))]).await;
    let entry = client.complete_upload(&path("B/4.text"), &completion(), &sought()).await.unwrap();
    assert_eq!((entry.size, entry.md5), (2, None));
    assert_eq!(server.asked(), ["POST /api/rest/v1/files/B/4.text"]);
    assert_eq!(
        server.seen()[0].json(),
        json!({"action": "end", "ref": "put-1", "size": 2, "mkdir_parents": true,
            "etags": [{"etag": Md5::of(b"a").to_string(), "part": "1"}, {"etag": "null", "part": "2"}],
            "provided_mtime": "2023-09-15T23:04:33Z", "custom_metadata": {"filescomfs": "1 mode=600"}})
    );
}

fn sought() -> Sought {
    Sought { size: 2, md5: Md5::of(b"ab"), object: ETag::Opaque("o".into()), replaces: None }
}

/// The file that the completion makes, once its MD5 is known.
fn made() -> Reply {
    let mut made = file("a", 2);
    made["md5"] = json!(Md5::of(b"ab").to_string());
    Reply::json(200, &made)
}

#[tokio::test]
async fn a_completion_that_may_have_been_done_is_looked_for_and_not_repeated() {
    let table = [
        Reply::lost(),
        Reply::new(502, "text/html", "<html>"),
        Reply::new(500, "text/plain", "oops"),
        Reply::error(429, "rate-limited/too-many-requests", "Slow down."),
        Reply::json(201, &file("a", 2)).cut_after(10),
        Reply::new(201, "application/json", "{\"path\":"),
        Reply::new(200, "text/html", "<html>Welcome</html>"),
        Reply::new(204, "", ""),
        Reply::json(200, &json!({})),
        Reply::json(201, &json!({"path": "a", "size": "large"})),
        Reply::json(201, &file("elsewhere/a", 2)),
        Reply::error(422, "processing-failure/already-completed", "Already completed."),
        Reply::error(422, "service-unavailable/migration-in-progress", "Later."),
    ];
    for reply in table {
        let (client, server) = script(vec![reply.clone(), made()]).await;
        let entry = client.complete_upload(&path("a"), &completion(), &sought()).await.unwrap();
        assert_eq!((entry.size, server.seen().len()), (2, 2), "{reply:?}");
    }
}

#[tokio::test]
async fn a_completion_that_does_not_show_is_asked_for_again_and_its_second_refusal_is_looked_at() {
    let other = || Reply::json(200, &file("a", 3));
    let done = Reply::error(422, "processing-failure/already-completed", "Already completed.");
    let (client, server) =
        script(vec![Reply::lost(), other(), Reply::lost(), other(), done.clone(), made()]).await;
    client.complete_upload(&path("a"), &completion(), &sought()).await.unwrap();
    assert_eq!(server.seen().len(), 6);
    // Somebody else replaced it right after: that is told, once.
    let (client, server) = script(vec![Reply::lost(), other(), done, other()]).await;
    let error = client.complete_upload(&path("a"), &completion(), &sought()).await.unwrap_err();
    assert!(error.is_in_doubt() && server.seen().len() == 4, "{error}");
}

#[tokio::test]
async fn where_no_look_is_answered_the_network_is_to_blame_and_nothing_is_sent_afresh() {
    let mut first = true;
    let (client, _server) = hurried(move |request| match request.method.as_str() {
        "GET" => Reply::silence(),
        _ if std::mem::take(&mut first) => Reply::lost(),
        _ => Reply::error(422, "processing-failure/already-completed", "Already completed."),
    })
    .await;
    let error = client.complete_upload(&path("a"), &completion(), &sought()).await.unwrap_err();
    assert!(error.is_in_doubt() && super::super::is_out_of_reach(error.kind()), "{error}");
}

#[tokio::test]
async fn the_version_that_is_replaced_is_not_taken_for_the_new_one() {
    let old = crate::model::proof::Fingerprint {
        size: 2,
        created: super::super::wire::from_api_time("2025-05-23T17:31:05Z"),
        changed: None,
        md5: None,
        crc32: None,
    };
    let sought = Sought { replaces: Some(old), ..sought() };
    let mut newer = file("a", 2);
    newer["created_at"] = json!("2025-05-23T17:31:06Z");
    let (client, server) = script(vec![Reply::lost(), made(), Reply::json(201, &newer)]).await;
    client.complete_upload(&path("a"), &completion(), &sought).await.unwrap();
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn a_completion_that_certainly_was_not_done_is_repeated() {
    let (client, server) = script(vec![
        Reply::error(422, "service-unavailable/site-disabled", "Maintenance."),
        Reply::json(200, &file("a", 2)),
    ])
    .await;
    client.complete_upload(&path("a"), &completion(), &sought()).await.unwrap();
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_completion_that_is_refused_says_what_to_do() {
    let table = [
        ("bad-request/invalid-etags", ErrorKind::UploadLost),
        ("not-found/file-upload-not-found", ErrorKind::UploadLost),
        ("processing-failure/invalid-filename", ErrorKind::NameRefused),
        ("not-authorized/write-permission-required", ErrorKind::Permission),
    ];
    for (api_type, kind) in table {
        let (client, server) = script(vec![Reply::error(422, api_type, "No.")]).await;
        let error = client.complete_upload(&path("a"), &completion(), &sought()).await.unwrap_err();
        assert_eq!((error.kind(), server.seen().len()), (kind, 1), "{api_type}");
    }
}

#[tokio::test]
async fn a_part_that_nobody_takes_is_a_timeout() {
    let (client, _server) = hurried(|request| match request.method.as_str() {
        "PUT" => Reply::silence(),
        _ => Reply::json(200, &part(request, 1)),
    })
    .await;
    let slot = client.begin_upload(&path("a"), Some(5)).await.unwrap().first;
    let error = client.put_part(&slot, Bytes::from_static(b"hello")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
}

#[tokio::test]
async fn a_part_that_stalls_is_sent_again_while_there_is_time() {
    let mut puts = [Reply::silence(), stored(b"hello")].into_iter();
    let (client, server) = hurried(move |request| match request.method.as_str() {
        "PUT" => puts.next().unwrap(),
        _ => Reply::json(200, &part(request, 1)),
    })
    .await;
    let slot = client.begin_upload(&path("a"), Some(5)).await.unwrap().first;
    client.put_part(&slot, Bytes::from_static(b"hello")).await.unwrap();
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn a_part_that_the_service_takes_only_once_is_not_sent_twice() {
    let (client, server) = stage(|request| match request.method.as_str() {
        "PUT" => Reply::lost(),
        _ => {
            let mut answer = part(request, 1);
            answer[0]["retry_parts"] = false.into();
            Reply::json(200, &answer)
        }
    })
    .await;
    let slot = client.begin_upload(&path("a"), Some(5)).await.unwrap().first;
    let error = client.put_part(&slot, Bytes::from_static(b"hello")).await.unwrap_err();
    assert_eq!((error.kind(), server.seen().len()), (ErrorKind::UploadLost, 2), "{error}");
}
