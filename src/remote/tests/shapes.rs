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
    let (client, _server) = script(vec![
        Reply::new(204, "", "").without_content_type(),
        Reply::new(204, "application/json", ""),
        Reply::json(200, &json!({})),
    ])
    .await;
    for _ in 0..3 {
        client.delete(&path("a")).await.unwrap();
    }
}
