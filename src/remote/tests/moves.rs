//! Renames: done at once, done later, done without an answer.

use super::super::ErrorKind;
use super::*;
use serde_json::json;

fn state(status: &str, moved: u64) -> Reply {
    Reply::json(
        200,
        &json!({"id": 7, "path": "a", "dest_path": "b", "failure_message": "disk on fire", "files_moved": moved,
            "files_total": 10, "operation": "move", "status": status, "log_url": null}),
    )
}

fn pending() -> Reply {
    Reply::json(201, &json!({"status": "pending", "file_migration_id": 7}))
}

#[tokio::test]
async fn a_move_that_is_done_at_once_needs_one_call() {
    let (client, server) = script(vec![Reply::json(201, &json!({"status": "completed"}))]).await;
    client.rename(&path("a"), &path("d/b"), true).await.unwrap();
    assert_eq!(server.asked(), ["POST /api/rest/v1/file_actions/move/a"]);
    assert_eq!(server.seen()[0].json(), json!({"destination": "d/b", "overwrite": true}));
}

#[tokio::test]
async fn a_move_that_goes_on_is_awaited_whatever_its_state_is_called() {
    let states = [pending(), state("in_progress", 1), state("brand-new", 2), state("complete", 10)];
    let (client, server) = script(states.into()).await;
    client.rename(&path("a"), &path("b"), false).await.unwrap();
    assert_eq!(server.asked()[1], "GET /api/rest/v1/file_migrations/7");
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn a_move_that_fails_or_is_cancelled_says_why() {
    for end in ["failed", "cancelled"] {
        let (client, _server) = script(vec![pending(), state(end, 0)]).await;
        let error = client.rename(&path("a"), &path("b"), false).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.to_string().contains("disk on fire"), "{error}");
    }
}

#[tokio::test]
async fn a_move_without_progress_is_given_up_as_unknown() {
    let (client, _server) = hurried(|request| match request.method.as_str() {
        "POST" => pending(),
        _ if request.target.contains("migrations") => state("in_progress", 3),
        _ => Reply::json(200, &file("a", 1)),
    })
    .await;
    assert_eq!(
        client.rename(&path("a"), &path("b"), false).await.unwrap_err().kind(),
        ErrorKind::OutcomeUnknown
    );
}

#[tokio::test]
async fn a_lost_answer_is_settled_by_a_look_at_both_ends() {
    let (client, server) =
        script(vec![Reply::lost(), Reply::not_found(), Reply::json(200, &file("b", 1))]).await;
    client.rename(&path("a"), &path("b"), true).await.unwrap();
    assert_eq!(
        server.asked()[1..],
        ["GET /api/rest/v1/file_actions/metadata/a", "GET /api/rest/v1/file_actions/metadata/b"]
    );
}

#[tokio::test]
async fn a_move_that_did_not_arrive_is_asked_for_again() {
    let (client, server) = script(vec![
        Reply::new(502, "text/html", "<html>"),
        Reply::json(200, &file("a", 1)),
        Reply::json(200, &file("b", 1)),
        Reply::json(201, &json!({"status": "completed"})),
    ])
    .await;
    client.rename(&path("a"), &path("b"), true).await.unwrap();
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn a_move_that_was_done_after_all_is_a_success() {
    let (client, _server) = script(vec![
        Reply::lost(),
        Reply::json(200, &file("a", 1)),
        Reply::not_found(),
        Reply::not_found(),
        Reply::not_found(),
        Reply::json(200, &file("b", 1)),
    ])
    .await;
    client.rename(&path("a"), &path("b"), true).await.unwrap();
}

#[tokio::test]
async fn what_is_in_the_way_is_told() {
    let (client, server) =
        script(vec![Reply::error(422, "processing-failure/destination-exists", "The destination exists.")])
            .await;
    assert_eq!(client.rename(&path("a"), &path("b"), false).await.unwrap_err().errno(), libc::EEXIST);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_move_whose_progress_may_not_be_seen_is_judged_by_its_ends() {
    let (client, _server) =
        script(vec![pending(), Reply::not_found(), Reply::not_found(), Reply::json(200, &file("b", 1))])
            .await;
    client.rename(&path("a"), &path("b"), false).await.unwrap();
}

#[tokio::test]
async fn a_second_migration_that_fails_is_not_believed_while_the_first_may_have_been_made() {
    let (client, server) = script(vec![
        Reply::new(503, "text/html", "<html>"),
        Reply::json(200, &folder("a")),
        Reply::not_found(),
        pending(),
        state("failed", 0),
        Reply::not_found(),
        Reply::json(200, &folder("b")),
    ])
    .await;
    client.rename(&path("a"), &path("b"), false).await.unwrap();
    assert_eq!(server.seen().len(), 7);
}

#[tokio::test]
async fn a_move_that_is_answered_without_a_word_or_with_other_words_is_looked_at() {
    for reply in [
        Reply::new(204, "", ""),
        Reply::new(200, "text/html", "<html>Welcome</html>"),
        Reply::json(200, &json!({})),
        Reply::json(200, &json!([])),
        Reply::error(429, "rate-limited/too-many-requests", "Slow down."),
    ] {
        let done = vec![reply.clone(), Reply::not_found(), Reply::json(200, &file("b", 1))];
        let (client, server) = script(done).await;
        client.rename(&path("a"), &path("b"), true).await.unwrap();
        assert_eq!(server.seen().len(), 3, "{reply:?}");
        let undone = [reply.clone(), Reply::json(200, &file("a", 1)), Reply::not_found()];
        let (client, server) =
            script(undone.into_iter().chain([Reply::json(201, &json!({"status": "completed"}))]).collect())
                .await;
        client.rename(&path("a"), &path("b"), true).await.unwrap();
        assert_eq!(server.seen().len(), 4, "{reply:?}");
    }
}
