//! Faults on request.

use super::super::{Effect, Fault};
use super::*;

fn error(kind: &str, retry_after: Option<&str>) -> Effect {
    Effect::Error { kind: kind.into(), status: None, retry_after: retry_after.map(str::to_owned) }
}

#[tokio::test]
async fn refusals_come_with_and_without_retry_after() {
    let site = Site::new();
    for after in [Some("5"), Some("Fri, 31 Dec 1999 23:59:59 GMT"), None] {
        site.emulator.inject(Fault::on("list", error("rate-limited/too-many-requests", after)));
        let answer = site.get("folders/").await;
        assert_eq!((answer.status, answer.header("retry-after")), (429, after));
        assert_eq!(answer.kind(), "rate-limited/too-many-requests");
    }
    assert_eq!(site.get("folders/").await.status, 200, "a fault is spent");
    site.emulator.inject(Fault::on("list", error("service-unavailable/site-disabled", None)));
    assert_eq!(site.get("folders/").await.status, 422, "never 503");
}

#[tokio::test]
async fn a_proxy_in_front_answers_html() {
    let site = Site::new();
    site.emulator.inject(Fault::on_any(Effect::Proxy { status: 502 }));
    let answer = site.get("folders/").await;
    assert_eq!((answer.status, answer.header("content-type")), (502, Some("text/html")));
    assert!(answer.text().starts_with("<html>"));
}

#[tokio::test]
async fn a_connection_is_reset_before_or_after_the_effect() {
    let site = Site::new();
    site.emulator.inject(Fault::on("mkdir", Effect::Reset).path("before"));
    site.emulator.inject(Fault::on("mkdir", Effect::Reset).path("after").after_effect());
    for path in ["before", "after"] {
        let request = site.request("POST", &format!("folders/{path}")).header("x-filesapi-key", "k");
        assert!(request.send().await.is_err(), "{path}");
    }
    assert_eq!(site.stat("before").await.status, 404);
    assert_eq!(site.stat("after").await.status, 200);
    assert_eq!(site.emulator.requests()[1].status, 0);
}

#[tokio::test]
async fn an_answer_is_replaced_literally() {
    let site = Site::new();
    let body = r#"[{"path":"../../etc/passwd","type":"file","size":-1}"#;
    site.emulator.inject(Fault::on(
        "list",
        Effect::Answer {
            status: 200,
            headers: vec![
                ("content-type".into(), "application/json".into()),
                ("x-files-cursor".into(), "again".into()),
            ],
            body: body.into(),
        },
    ));
    let answer = site.get("folders/").await;
    assert_eq!((answer.text().as_str(), answer.header("x-files-cursor")), (body, Some("again")));
}

#[tokio::test]
async fn a_flipped_part_has_an_honest_etag_and_a_badly_stored_one_a_false_etag() {
    let site = Site::new();
    site.emulator.inject(Fault::on("part", Effect::FlipPart));
    let slot = site.begin("f", json!({})).await;
    let etag = site.put_part(&slot, b"hello").await.header("etag").unwrap().to_owned();
    assert_eq!(etag, format!("\"{}\"", md5(b"iello")));

    site.emulator.inject(Fault::on("part", Effect::FlipStored));
    let completion = site.send_parts("g", &[b"hello"]).await;
    assert_eq!(completion["etags"][0]["etag"], md5(b"hello"));
    assert_eq!(site.complete("g", completion).await.status, 201);
    assert_eq!(site.emulator.read("g").unwrap(), b"iello");
    assert_eq!(site.stat("g").await.json["md5"], md5(b"iello"));
    let object = site.fetch(&site.download_url("g").await, &[]).await;
    assert_eq!(object.header("etag"), Some(composite(&[b"iello"]).as_str()));
}

#[tokio::test]
async fn a_part_is_cut_off_or_arrives_short() {
    let site = Site::new();
    site.emulator.inject(Fault::on("part", Effect::CutPart { at: 2 }));
    let slot = site.begin("f", json!({})).await;
    let url = slot["upload_uri"].as_str().unwrap();
    assert!(site.client.put(url).body("hello").send().await.is_err());
    assert_eq!(site.emulator.requests().last().unwrap().status, 0);
    let nothing = site.complete("f", json!({"action": "end", "ref": slot["ref"]})).await;
    assert_eq!(nothing.kind(), "processing-failure/file-not-uploaded");
    site.emulator.inject(Fault::on("part", Effect::TruncatePart { at: 2 }));
    let etag = site.put_part(&slot, b"hello").await.header("etag").unwrap().to_owned();
    assert_eq!(etag, format!("\"{}\"", md5(b"he")));
    site.complete("f", json!({"action": "end", "ref": slot["ref"]})).await;
    assert_eq!(site.emulator.read("f").unwrap(), b"he");
}

#[tokio::test]
async fn an_order_that_nothing_can_meet_is_refused_with_what_there_is() {
    let site = Site::new();
    let order = |body: &'static str| {
        let url = format!("{}/admin/faults", site.emulator.base_url());
        Answer::of(site.client.post(url).body(body))
    };
    for (body, words) in [
        (r#"{"kind": "upload", "what": "reset"}"#, "kinds are: list, stat, begin_upload"),
        (r#"{"kind": "list", "what": "flip_part"}"#, "kind part only"),
        (r#"{"what": "migration_hangs"}"#, "move or copy"),
        (r#"{"kind": "part", "what": "explode"}"#, "expected one of `answer`, `error`, `storage`"),
        (r#"{"kind": "part", "often": 3, "what": "reset"}"#, "unknown field `often`, expected one of"),
        (r#"{"kind": "part"}"#, "missing field `what`"),
        ("not JSON", "expected"),
    ] {
        let answer = order(body).await;
        assert_eq!(answer.status, 422, "{body}");
        assert!(answer.json["error"].as_str().unwrap().contains(words), "{body}: {}", answer.text());
    }
    assert_eq!(site.emulator.waiting_faults(), []);
}

#[tokio::test]
async fn an_answer_is_late_or_never_comes() {
    let site = Site::new();
    site.emulator.inject(Fault::on("list", Effect::Delay { ms: 300 }));
    let start = std::time::Instant::now();
    assert_eq!(site.get("folders/").await.status, 200);
    assert!(start.elapsed().as_millis() >= 300);
    site.emulator.inject(Fault::on("mkdir", Effect::Stall).path("before"));
    site.emulator.inject(Fault::on("mkdir", Effect::Stall).path("after").after_effect());
    for path in ["before", "after"] {
        let request = site.request("POST", &format!("folders/{path}")).header("x-filesapi-key", "k");
        let limit = std::time::Duration::from_millis(300);
        assert!(request.timeout(limit).send().await.unwrap_err().is_timeout(), "{path}");
    }
    // The client gave up, perhaps before this machine had a moment for the effect.
    while site.stat("after").await.status != 200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(site.stat("before").await.status, 404);
}

#[tokio::test]
async fn a_request_is_held_until_it_is_let_go_or_enough_wait_together() {
    let site = Site::new();
    let held = async |count: usize| {
        while site.emulator.held() != count {
            tokio::task::yield_now().await;
        }
    };
    site.emulator.inject(Fault::on("mkdir", Effect::Hold { until: 0 }).times(0));
    let one = tokio::spawn(site.request("POST", "folders/one").header("x-filesapi-key", "k").send());
    held(1).await;
    assert_eq!(site.stat("one").await.status, 404, "nothing is done of it yet");
    site.emulator.clear_faults();
    assert_eq!(one.await.unwrap().unwrap().status(), 201);
    held(0).await;

    site.emulator.inject(Fault::on("list", Effect::Hold { until: 2 }).times(0));
    let both = tokio::join!(site.get("folders/"), site.get("folders/one"));
    assert_eq!((both.0.status, both.1.status), (200, 200));
    assert_eq!(site.get("folders/").await.status, 200, "the order is over");

    // Whoever gives up is not waited for.
    site.emulator.inject(Fault::on("list", Effect::Hold { until: 2 }).times(0));
    let limit = std::time::Duration::from_millis(100);
    let request = site.request("GET", "folders/").header("x-filesapi-key", "k").timeout(limit);
    assert!(request.send().await.unwrap_err().is_timeout());
    held(0).await;
}

#[tokio::test]
async fn downloads_are_flipped_and_cut() {
    let site = Site::new();
    site.upload("f", &[b"hello ", b"world"]).await;
    let url = site.download_url("f").await;
    site.emulator.inject(Fault::on("fetch", Effect::FlipBody { at: 6 }));
    assert_eq!(site.fetch(&url, &[]).await.bytes, b"hello vorld");
    site.emulator.inject(Fault::on("fetch", Effect::TruncateBody { at: 3 }));
    let cut = site.client.get(&url).send().await.unwrap();
    assert_eq!(cut.content_length(), Some(11));
    assert!(cut.bytes().await.is_err());
    site.emulator.inject(Fault::on("fetch", Effect::WrongEtag { etag: Some("other".into()) }));
    assert_eq!(site.fetch(&url, &[]).await.header("etag"), Some("\"other\""));
}

#[tokio::test]
async fn a_stalled_body_sends_what_it_sends_and_then_nothing() {
    let site = Site::new();
    site.upload("f", &[b"hello world"]).await;
    let url = site.download_url("f").await;
    site.emulator.inject(Fault::on("fetch", Effect::StallBody { at: 5 }));
    let mut stalled = site.client.get(&url).send().await.unwrap();
    assert_eq!(stalled.chunk().await.unwrap().unwrap(), "hello");
    drop(stalled);
    assert_eq!(site.fetch(&url, &[]).await.bytes, b"hello world");
}

#[tokio::test]
async fn the_storage_refuses_in_xml() {
    let site = Site::new();
    let effect = Effect::Storage { status: 503, code: "SlowDown".into(), retry_after: Some("1".into()) };
    site.emulator.inject(Fault::on("part", effect).path("f").times(2));
    let slot = site.begin("f", json!({})).await;
    for status in [503, 503, 200] {
        assert_eq!(site.put_part(&slot, b"x").await.status, status);
    }
    site.emulator.inject(Fault::on("part", Effect::ExpireUrl));
    assert!(site.put_part(&slot, b"x").await.text().contains("Request has expired"));
    site.emulator.inject(Fault::on("part", Effect::Reset).after_effect());
    let url = slot["upload_uri"].as_str().unwrap();
    assert!(site.client.put(url).body("stored all the same").send().await.is_err());
    site.complete("f", json!({"action": "end", "ref": slot["ref"]})).await;
    assert_eq!(site.emulator.read("f").unwrap(), b"stored all the same");
}

#[tokio::test]
async fn a_key_is_revoked_and_sessions_end_in_the_middle() {
    let site = Site::new();
    let login = json!({"username": "a", "password": "b"});
    let login = Answer::of(site.request("POST", "sessions").json(&login)).await;
    let id = login.json["id"].as_str().unwrap();
    site.emulator.inject(Fault::on("list", Effect::ExpireSessions));
    let answer = Answer::of(site.request("GET", "folders/").header("x-filesapi-auth", id)).await;
    assert_eq!(answer.kind(), "not-authenticated/invalid-session");
    site.emulator.inject(Fault::on("stat", Effect::RevokeKey));
    assert_eq!(site.stat("x").await.kind(), "not-authenticated/invalid-credentials");
    assert_eq!(site.get("folders/").await.status, 401);
}

#[tokio::test]
async fn a_completion_may_answer_another_path() {
    let site = Site::new();
    let effect = Effect::CompleteElsewhere { path: "short".into() };
    site.emulator.inject(Fault::on("complete", effect));
    assert_eq!(site.upload("a very long name", &[b"x"]).await.json["path"], "short");
}

#[tokio::test]
async fn requests_over_the_rate_are_refused() {
    let site = Site::with(|settings| {
        settings.requests_per_second = Some(0.001);
        settings.retry_after = Some("7".into());
    });
    assert_eq!(site.get("folders/").await.status, 200);
    let refused = site.get("folders/").await;
    assert_eq!(
        (refused.kind(), refused.header("retry-after")),
        ("rate-limited/too-many-requests", Some("7"))
    );
}

#[tokio::test]
async fn the_admin_door_does_what_the_rust_handle_does() {
    let site = Site::new();
    let admin = |method: Method, path: &str, body: &'static str| {
        Answer::of(site.client.request(method, format!("{}{path}", site.emulator.base_url())).body(body))
    };
    assert!(admin(Method::GET, "/", "").await.text().contains("/admin/faults"));
    assert_eq!(admin(Method::POST, "/admin/settings", r#"{"md5":false}"#).await.json["md5"], false);
    assert_eq!(admin(Method::POST, "/admin/settings", r#"{"no_such":1}"#).await.status, 422);
    let fault = r#"{"kind":"list","what":{"error":{"kind":"rate-limited/too-many-requests"}}}"#;
    assert_eq!(admin(Method::POST, "/admin/faults", fault).await.status, 200);
    assert_eq!(admin(Method::GET, "/admin/faults", "").await.json.as_array().unwrap().len(), 1);
    assert_eq!(site.get("folders/").await.status, 429);
    assert_eq!(admin(Method::POST, "/admin/faults", r#"{"kind":"list","what":"reset"}"#).await.status, 200);
    assert_eq!(admin(Method::DELETE, "/admin/faults", "").await.status, 200);
    assert_eq!(admin(Method::PUT, "/admin/files/a%20b", "hello").await.status, 200);
    assert_eq!(admin(Method::GET, "/admin/files", "").await.json["a b"]["md5"], md5(b"hello"));
    assert_eq!(site.get("folders/").await.names(), ["a b"]);
    let stats = admin(Method::GET, "/admin/stats", "").await.json;
    assert_eq!((&stats["list"], &stats["refused"]), (&json!(2), &json!(1)));
    assert_eq!(admin(Method::GET, "/admin/requests", "").await.json.as_array().unwrap().len(), 2);
    assert_eq!(admin(Method::DELETE, "/admin/files/a%20b", "").await.status, 200);
    assert!(site.emulator.files().is_empty());
    assert_eq!(admin(Method::DELETE, "/admin/files/a%20b", "").await.status, 404);
    assert_eq!(admin(Method::GET, "/admin/files", "").await.text(), "{}\n");
    let site_of_many = r#"{"path":"big","folders":3,"files":2,"bytes":5}"#;
    assert_eq!(admin(Method::POST, "/admin/tree", site_of_many).await.status, 200);
    assert_eq!(
        site.get("folders/big/folder-000002").await.names(),
        ["file-0000000004.dat", "file-0000000005.dat"]
    );
    assert_eq!((site.emulator.files().len(), site.emulator.folders().len()), (6, 4));
    assert_eq!(admin(Method::GET, "/admin/no-such-route", "").await.status, 404);
}

#[tokio::test]
async fn bytes_are_counted_where_they_pass_in_both_directions() {
    let site = Site::new();
    site.upload("f", &[b"hello"]).await;
    let url = site.download_url("f").await;
    site.fetch(&url, &[("range", "bytes=1-3")]).await;
    let stats = site.client.get(format!("{}/admin/stats", site.emulator.base_url()));
    let stats = Answer::of(stats).await.json;
    assert_eq!((&stats["line_in"], &stats["line_out"]), (&json!(5), &json!(3)));
}

#[tokio::test]
async fn a_length_may_be_a_lie() {
    let site = Site::new();
    let headers =
        vec![("content-length".into(), "100".into()), ("content-type".into(), "application/json".into())];
    site.emulator.inject(Fault::on("list", Effect::Answer { status: 200, headers, body: "[]".into() }));
    let request = site.request("GET", "folders/").header("x-filesapi-key", "k");
    let answer = request.send().await.unwrap();
    assert_eq!(answer.content_length(), Some(100));
    assert!(answer.bytes().await.is_err());
    assert_eq!(site.get("folders/").await.status, 200);
}
