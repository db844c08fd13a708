//! User name and password: the session behind every call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::super::{Client, ClientOptions, Credentials, ErrorKind, Secret};
use super::*;
use serde_json::json;

fn login() -> Credentials {
    Credentials::Login { username: "ann".into(), password: Secret::from(PASSWORD.to_owned()) }
}

async fn logged_in(answer: impl FnMut(&Request) -> Reply + Send + 'static) -> (Client, Server) {
    let server = Server::start(answer).await;
    let client = Client::new(ClientOptions { credentials: login(), ..options(server.base()) }).unwrap();
    (client, server)
}

fn session(id: &str) -> Reply {
    Reply::json(
        201,
        &json!({"id": id, "language": null, "max_dir_listing_size": 100_000, "ssl_required": true,
            "timeout_at": "2025-05-23T20:51:16-04:00", "calculate_file_checksums_crc32": false,
            "calculate_file_checksums_md5": true, "legacy_checksums_mode": true}),
    )
}

#[tokio::test]
async fn the_first_call_logs_in_and_the_next_ones_do_not() {
    let (client, server) = logged_in(|request| match request.is("POST", "/api/rest/v1/sessions") {
        true => session("s1"),
        false => Reply::json(200, &file("a", 1)),
    })
    .await;
    client.stat(&path("a")).await.unwrap();
    client.stat(&path("a")).await.unwrap();
    let seen = server.seen();
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[0].json(), json!({"username": "ann", "password": PASSWORD}));
    assert!(
        !seen[0].headers.contains_key("x-filesapi-key") && !seen[0].headers.contains_key("x-filesapi-auth")
    );
    assert_eq!(seen[2].headers["x-filesapi-auth"], "s1");
}

#[tokio::test]
async fn a_session_that_expires_is_renewed_once_for_all_who_wait() {
    let logins = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&logins);
    let expired = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&expired);
    let (client, _server) = logged_in(move |request| {
        if request.is("POST", "/api/rest/v1/sessions") {
            return session(&format!("s{}", counted.fetch_add(1, Ordering::SeqCst)));
        }
        match request.headers["x-filesapi-auth"].as_str() {
            "s0" if now.load(Ordering::SeqCst) => {
                Reply::error(401, "not-authenticated/invalid-session", "Your session has expired.")
            }
            _ => Reply::json(200, &file("a", 1)),
        }
    })
    .await;
    client.stat(&path("a")).await.unwrap();
    expired.store(true, Ordering::SeqCst);
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.stat(&path("a")).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap().unwrap();
    }
    assert_eq!(logins.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_session_that_is_refused_although_it_is_fresh_is_an_error() {
    let (client, server) = logged_in(|request| match request.is("POST", "/api/rest/v1/sessions") {
        true => session("s"),
        false => Reply::error(401, "not-authenticated/invalid-session", "No."),
    })
    .await;
    assert_eq!(client.stat(&path("a")).await.unwrap_err().kind(), ErrorKind::Authentication);
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn a_refused_password_is_not_tried_again_at_once() {
    let (client, server) = logged_in(|_| {
        Reply::error(401, "not-authenticated/invalid-username-or-password", "Invalid username or password")
    })
    .await;
    for _ in 0..3 {
        assert_eq!(client.stat(&path("a")).await.unwrap_err().kind(), ErrorKind::Authentication);
    }
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn only_a_refused_password_is_remembered() {
    let nothing_about_the_password = [
        Reply::new(403, "text/html", "<html>Blocked</html>"),
        Reply::error(429, "rate-limited/too-many-login-attempts", "Slow down.").header("Retry-After", "0"),
        Reply::error(422, "service-unavailable/site-disabled", "Maintenance."),
        Reply::new(407, "text/html", "<html>Log in to the proxy</html>"),
    ];
    for reply in nothing_about_the_password {
        let mut answers = [reply.clone()].into_iter();
        let (client, _server) = logged_in(move |request| match request.is("POST", "/api/rest/v1/sessions") {
            true => answers.next().unwrap_or_else(|| session("s1")),
            false => Reply::json(200, &file("a", 1)),
        })
        .await;
        client.stat(&path("a")).await.unwrap_or_else(|error| panic!("{reply:?}: {error}"));
    }
    // Not even where it lasts for longer than a call.
    let blocked = Arc::new(AtomicBool::new(true));
    let now = Arc::clone(&blocked);
    let (client, _server) = logged_in(move |request| match request.is("POST", "/api/rest/v1/sessions") {
        true if now.load(Ordering::SeqCst) => Reply::new(403, "text/html", "<html>Blocked</html>"),
        true => session("s1"),
        false => Reply::json(200, &file("a", 1)),
    })
    .await;
    assert_eq!(client.stat(&path("a")).await.unwrap_err().kind(), ErrorKind::Intercepted);
    blocked.store(false, Ordering::SeqCst);
    client.stat(&path("a")).await.unwrap();
}

#[tokio::test]
async fn a_login_that_is_asked_for_tells_what_the_site_computes() {
    let (client, _server) = logged_in(|_| session("s1")).await;
    let session = client.log_in().await.unwrap();
    assert_eq!((session.checksums.md5, session.checksums.crc32), (Some(true), Some(false)));
    assert!(session.timeout_at.is_some() && !session.read_only);
    assert_eq!(
        stage(|_| Reply::lost()).await.0.log_in().await.unwrap_err().kind(),
        ErrorKind::Authentication
    );
}

#[tokio::test]
async fn what_answers_a_login_without_a_word_is_no_site() {
    let (client, _server) = logged_in(|_| Reply::new(405, "", "").without_content_type()).await;
    assert_eq!(client.log_in().await.unwrap_err().kind(), ErrorKind::SiteNotFound);
}

#[tokio::test]
async fn a_key_is_replaced_without_losing_a_call() {
    let (client, server) = stage(|request| match request.headers["x-filesapi-key"].as_str() {
        "new" => Reply::json(200, &file("a", 1)),
        _ => Reply::error(401, "not-authenticated/invalid-credentials", "No."),
    })
    .await;
    assert_eq!(client.stat(&path("a")).await.unwrap_err().kind(), ErrorKind::Authentication);
    assert_eq!(server.seen().len(), 1, "a refused key is not tried twice");
    client.replace_credentials(Credentials::ApiKey(Secret::from("new".to_owned())));
    assert!(client.stat(&path("a")).await.unwrap().is_some());
}
