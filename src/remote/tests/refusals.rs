//! Refusals in the words of all who may refuse: the API, the storage, the proxies in front of them, and
//! whatever else stands between.

use bytes::Bytes;
use serde_json::json;

use super::super::{Error, ErrorKind};
use super::*;

/// The error of a stat that is answered so.
async fn refused(reply: Reply) -> Error {
    let (client, _server) = hurried(move |_| reply.clone()).await;
    client.stat(&path("a")).await.unwrap_err()
}

/// The error of a part that is answered so.
async fn part_refused(reply: Reply) -> Error {
    let (client, _server) = hurried(move |request| match request.method.as_str() {
        "PUT" => reply.clone(),
        _ => {
            let url = format!("{}/storage/o?X-Amz-Expires=900", request.base);
            Reply::json(200, &json!([{"ref": "put-1", "upload_uri": url}]))
        }
    })
    .await;
    let slot = client.begin_upload(&path("a"), Some(1)).await.unwrap().first;
    client.put_part(&slot, Bytes::from_static(b"x")).await.unwrap_err()
}

const NGINX: &str = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1>\
                     </center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n";

#[tokio::test]
async fn a_page_of_a_proxy_is_judged_by_its_status_and_never_by_its_words() {
    for (status, kind) in [
        (500, ErrorKind::Unavailable),
        (502, ErrorKind::Unavailable),
        (503, ErrorKind::Unavailable),
        (504, ErrorKind::Unavailable),
        (429, ErrorKind::RateLimited),
        (401, ErrorKind::Intercepted),
        (403, ErrorKind::Intercepted),
        (404, ErrorKind::SiteNotFound),
        (413, ErrorKind::Intercepted),
        (407, ErrorKind::Intercepted),
        (418, ErrorKind::Protocol),
    ] {
        let page = Reply::new(status, "text/html; charset=utf-8", NGINX).header("Server", "nginx");
        let error = refused(page).await;
        assert_eq!(error.kind(), kind, "{status}: {error}");
        let line = error.to_string();
        assert!(line.contains("answered with a web page") && !line.contains("nginx"), "{line}");
        assert!(
            line.contains("[request 9c7da79351a2d47df0bc91dc08a68802]"),
            "its request id is kept: {line}"
        );
    }
    // JSON in a page of HTML, and HTML that calls itself JSON, tell nothing.
    let disguised = r#"{"type": "not-found", "error": "Not Found."}"#;
    assert_eq!(refused(Reply::new(404, "text/html", disguised)).await.kind(), ErrorKind::SiteNotFound);
    assert_eq!(refused(Reply::new(502, "application/json", NGINX)).await.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn answers_without_words_are_judged_by_their_status() {
    for (status, kind) in [
        (405, ErrorKind::SiteNotFound),
        (401, ErrorKind::Intercepted),
        (500, ErrorKind::Unavailable),
        (418, ErrorKind::Protocol),
    ] {
        let error = refused(Reply::new(status, "", "").without_content_type()).await;
        assert_eq!(error.kind(), kind, "{status}");
        assert!(error.to_string().contains("refused without a word"), "{error}");
    }
}

#[tokio::test]
async fn the_envelope_is_read_with_all_its_fields_and_with_the_least() {
    let challenge = json!({"error": "2FA", "http-code": 401, "instance": "i", "title": "Two Factor Authentication Error",
        "type": "not-authenticated/two-factor-authentication-error",
        "data": {"partial_session_id": "secret", "two_factor_authentication_methods": ["u2f"],
            "u2f_sign_requests": [{"app_id": "x", "sign_request": {"version": "U2F_V2"}}]},
        "errors": [{"type": "401-two-factor-authentication-error", "http-code": 401, "data": {}}]});
    let error = refused(Reply::json(401, &challenge)).await;
    assert_eq!(error.kind(), ErrorKind::SecondFactor);
    assert!(!error.to_string().contains("secret"), "{error}");
    for body in [
        json!({"type": "not-authenticated/invalid-credentials"}),
        json!({"type": "not-authenticated/invalid-credentials", "error": null, "http-code": null, "instance": null}),
        json!({"type": "not-authenticated/invalid-credentials", "error": ["odd"], "http-code": "odd", "data": []}),
    ] {
        assert_eq!(refused(Reply::json(401, &body)).await.kind(), ErrorKind::Authentication, "{body}");
    }
    // Without a type there is a title, and else the status.
    let untyped = json!({"error": "Not Found", "http-code": 404, "title": "Not Found"});
    let (client, _server) = script(vec![Reply::json(404, &untyped)]).await;
    assert_eq!(client.stat(&path("a")).await.unwrap(), None);
    let of_no_group = json!({"error": "No.", "http-code": 401, "title": "No"});
    assert_eq!(refused(Reply::json(401, &of_no_group)).await.kind(), ErrorKind::Authentication);
    // Others speak JSON, too.
    for stranger in
        [json!({"error": "No."}), json!({"type": "about:blank", "title": "Forbidden", "status": 403})]
    {
        assert_eq!(refused(Reply::json(403, &stranger)).await.kind(), ErrorKind::Intercepted, "{stranger}");
    }
    let error =
        refused(Reply::json(422, &json!({"type": "processing-failure/brand-new", "error": "Ä\u{7}\nB"})))
            .await;
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("Ä B (HTTP 422, processing-failure/brand-new)"), "one line: {error}");
}

#[tokio::test]
async fn the_older_plain_text_of_the_wrong_region_names_the_right_host() {
    let told = "You have connected to a URL that is not the one of your site.";
    let reply = Reply::new(403, "text/plain", told).header("X-Files-Host", "acme-eu.files.com");
    let error = refused(reply).await;
    assert_eq!((error.kind(), error.right_host()), (ErrorKind::WrongHost, Some("acme-eu.files.com")));
    assert_eq!(refused(Reply::new(403, "text/plain", "Go away.")).await.kind(), ErrorKind::Intercepted);
}

#[tokio::test]
async fn the_storage_is_understood_in_whatever_form_its_xml_comes() {
    let expired = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AccessDenied</Code><Message>Request has \
                   expired</Message><X-Amz-Expires>60</X-Amz-Expires><Expires>2025-05-23T17:32:05Z</Expires>\
                   <ServerTime>2025-05-23T17:40:00Z</ServerTime><RequestId>R</RequestId><HostId>H</HostId></Error>";
    let spaced = "<?xml version=\"1.0\"?>\r\n<Error xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\r\n  <Code>\r\n    \
                  SlowDown\r\n  </Code>\r\n  <Message>Reduce your request rate &amp; wait.</Message>\r\n</Error>";
    let table = [
        (Reply::new(403, "application/xml", expired), ErrorKind::UrlExpired, "Request has expired"),
        (Reply::new(503, "text/xml", spaced), ErrorKind::RateLimited, "SlowDown"),
        (Reply::new(503, "application/xml", spaced).chunked(), ErrorKind::RateLimited, "SlowDown"),
        (Reply::xml(400, "BrandNew", "No."), ErrorKind::Refused, "BrandNew"),
        (Reply::xml(500, "BrandNew", "No."), ErrorKind::Unavailable, "BrandNew"),
        (Reply::new(503, "application/xml", "<Error><Code>Slow"), ErrorKind::Unavailable, "HTTP 503"),
        (Reply::new(403, "application/xml", ""), ErrorKind::Intercepted, "HTTP 403"),
        (Reply::new(503, "text/html", NGINX), ErrorKind::Unavailable, "a web page"),
        (
            Reply::json(
                403,
                &json!({"type": "upload_request_expired", "error": "Expired.", "http-code": "403"}),
            ),
            ErrorKind::UrlExpired,
            "upload_request_expired",
        ),
    ];
    for (reply, kind, words) in table {
        let error = part_refused(reply.clone()).await;
        assert_eq!(error.kind(), kind, "{reply:?}: {error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn of_two_retry_after_the_first_counts_and_garbage_is_none() {
    let busy =
        |after: &str| Reply::error(429, "rate-limited/too-many-requests", "No.").header("Retry-After", after);
    // Longer than all patience: an error at once. The second line would have been kept.
    let (client, server) = hurried(move |_| busy("10").also("Retry-After", "0")).await;
    assert_eq!(client.stat(&path("a")).await.unwrap_err().kind(), ErrorKind::RateLimited);
    assert_eq!(server.seen().len(), 1);
    let (client, server) = hurried(move |_| busy("soon")).await;
    assert_eq!(client.stat(&path("a")).await.unwrap_err().kind(), ErrorKind::RateLimited);
    assert!(server.seen().len() > 1, "tried again after a pause of our own");
}

#[tokio::test]
async fn a_refusal_that_is_cut_off_or_endless_still_has_its_status() {
    let cut = Reply::error(422, "processing-failure/destination-exists", "No.").cut_after(20);
    assert_eq!(refused(cut).await.kind(), ErrorKind::Protocol);
    let endless = Reply::new(503, "text/html", "x".repeat(1 << 20));
    assert_eq!(refused(endless).await.kind(), ErrorKind::Unavailable);
}
