//! Which names are the same, and which are refused.

use super::super::NameRule;
use super::super::names::key;
use super::*;

#[test]
fn the_published_samples_of_the_newer_rule_hold() {
    let same = |a: &str, b: &str| key(NameRule::Collation, a) == key(NameRule::Collation, b);
    for (a, b) in [
        ("ABC", "abc"),
        ("Æ", "ae"),
        ("Ø", "o"),
        ("Ł", "l"),
        ("Đ", "d"),
        ("Ð", "d"),
        ("ß", "ss"),
        ("ẞ", "ss"),
        ("İ", "i"),
        ("Þ", "þ"),
        ("Ŋ", "ŋ"),
        ("ſ", "s"),
        ("ς", "Σ"),
        ("x\u{301}", "x"),
        ("a\u{fe0f}", "a"),
        ("a\u{ad}\u{200b}\u{feff}", "a"),
        ("a\u{1}\u{1f}\u{7f}\u{9f}", "a"),
        ("x\u{a0}", "x "),
        ("x\u{3000}y", "x y"),
        ("ﬁ", "fi"),
        ("①", "1"),
        ("²", "2"),
        ("か", "ガ"),
        ("は", "パ"),
        ("あ", "ァ"),
        ("／", "/"),
        ("Résumé.txt", "resume.txt"),
        ("Straße", "strasse"),
        ("훯", "\u{1112}\u{116f}\u{11b6}"),
    ] {
        assert!(same(a, b), "{a:?} is {b:?}");
    }
    for (a, b) in [
        ("ı", "i"),
        ("report.txt", "report.txt "),
        ("a", "a\t"),
        ("a", "a\n"),
        ("Þ", "th"),
        ("ŧ", "t"),
        ("a-b", "ab"),
        ("a b", "ab"),
        ("😂", "❤"),
    ] {
        assert!(!same(a, b), "{a:?} is not {b:?}");
    }
}

#[test]
fn the_published_vectors_of_the_older_rule_hold() {
    for (name, wanted) in [
        ("FiLeNaMe.TxT", "filename.txt"),
        ("FÎŁĘÑÂMÉ.TXT", "filename.txt"),
        ("space_at_end ", "space_at_end"),
        (" space_at_beginning", " space_at_beginning"),
        ("ÞþŊŋŦŧ", "þþŋŋŧŧ"),
        ("two_code_points_a\u{328}", "two_code_points_a"),
        ("ŨũŪūŬŭŮůŰűŲųŴŵŶŷŸŹźŻżŽž", "uuuuuuuuuuuuwwyyyzzzzzz"),
        ("ĴĵĶķĹĺĻļĽľŁłŃńŅņŇňŉŌōŎŏŐőŒœ", "jjkkllllllllnnnnnnʼnoooooooeoe"),
    ] {
        assert_eq!(String::from_utf8(key(NameRule::Latin, name)).unwrap(), wanted, "{name}");
    }
}

#[tokio::test]
async fn lookups_ignore_case_and_accents_and_answer_the_stored_spelling() {
    let site = Site::new();
    site.upload("Docs/Résumé.txt", &[b"one"]).await;
    let found = site.stat("docs/RESUME.TXT").await;
    assert_eq!(found.json["path"], "Docs/Résumé.txt");
    let replaced = site.upload("DOCS/resume.txt", &[b"two"]).await;
    assert_eq!((replaced.status, replaced.json["path"].as_str()), (200, Some("Docs/Résumé.txt")));
    site.emulator.change(|settings| settings.overwrite_respells = true);
    assert_eq!(site.upload("docs/RESUME.txt", &[b"three"]).await.json["path"], "Docs/RESUME.txt");
}

#[tokio::test]
async fn the_rule_of_comparison_can_be_changed() {
    let site = Site::new();
    site.emulator.put("か", b"");
    assert_eq!(site.stat("%E3%82%AB").await.status, 200, "katakana finds hiragana");
    site.emulator.change(|settings| settings.names = NameRule::Latin);
    assert_eq!(site.stat("%E3%82%AB").await.status, 404);
    assert_eq!(site.stat("%E3%81%8B").await.status, 200);
}

#[tokio::test]
async fn paths_come_with_encoded_slashes_and_slashes_at_the_ends() {
    let site = Site::new();
    site.upload("a/b c", &[b"x"]).await;
    for path in ["a%2Fb%20c", "a/b%20c/", "/a/b%20c"] {
        assert_eq!(site.stat(path).await.json["path"], "a/b c", "{path}");
    }
}

#[tokio::test]
async fn names_that_cannot_be_stored_are_refused() {
    let site = Site::new();
    let long = "n".repeat(513);
    for (path, kind) in [
        ("tail%20", "bad-request/path-cannot-have-trailing-whitespace"),
        ("back%5Cslash", "processing-failure/invalid-filename"),
        ("nul%00", "processing-failure/invalid-filename"),
        ("a%2F..%2Fb", "bad-request/invalid-path"),
        ("%FF", "bad-request/invalid-input-encoding"),
        (long.as_str(), "processing-failure/filename-too-long"),
    ] {
        assert_eq!(site.mkdir(path).await.kind(), kind, "{path}");
    }
    assert_eq!(site.mkdir(&"ü".repeat(512)).await.status, 201, "characters count, not bytes");
    assert_eq!(
        site.mkdir(&vec!["n".repeat(500); 11].join("/")).await.kind(),
        "processing-failure/path-too-long"
    );
    assert_eq!(site.upload("tail%20", &[b""]).await.status, 201, "a file may end in white space");
    assert_eq!(site.stat("tail").await.status, 404);
}
