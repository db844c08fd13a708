//! Names of all of Unicode: the published vectors of both comparison rules, and every character there is.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};

use super::attributes::{Defaults, Shape};
use super::comparison::Keys;
use super::ino::{ContentId, Ino};
use super::moment::Moment;
use super::name::{from_remote, to_remote, to_remote_twin};
use super::node::{Body, File};
use super::path::RemotePath;
use super::tree::Tree;

/// The published vectors: what is asked about, and its key under rule A. The keys under rule B are those
/// of the texts in the third place, where they are not those of the second.
const VECTORS: &[(&str, &str, Option<&str>)] = &[
    ("filename.txt", "filename.txt", None),
    ("FiLeNaMe.TxT", "filename.txt", None),
    ("FILENAME.TXT", "filename.txt", None),
    ("FÎŁĘÑÂMÉ.TXT", "filename.txt", None),
    ("Fïłèńämê.Txt", "filename.txt", None),
    ("a/b/c.txt", "a/b/c.txt", None),
    ("A\\B\\C.TXT", "a/b/c.txt", None),
    ("A/B\\C.TXT", "a/b/c.txt", None),
    ("//a/b//c.txt", "a/b/c.txt", None),
    ("a/b/c.txt  ", "a/b/c.txt", Some("a/b/c.txt  ")),
    ("a/b/c.txt\t", "a/b/c.txt", Some("a/b/c.txt\t")),
    ("a/b/c.txt\n", "a/b/c.txt", Some("a/b/c.txt\n")),
    ("a/b/c.txt\r", "a/b/c.txt", Some("a/b/c.txt\r")),
    (" space_at_beginning", " space_at_beginning", None),
    ("space_at_end ", "space_at_end", Some("space_at_end ")),
    ("tab\tseparated", "tab\tseparated", None),
    ("<title>hello</hello>", "<title>hello</hello>", None),
    ("안녕하세요", "안녕하세요", None),
    ("こんにちは", "こんにちは", None),
    ("今日は", "今日は", None),
    ("longest_unicode_character_﷽", "longest_unicode_character_﷽", None),
    ("invalid_null_byte_before\0after", "invalid_null_byte_beforeafter", None),
    ("a/b/c/../../hello", "a/b/c/hello", None),
    ("a/b/c/././hello", "a/b/c/hello", None),
    ("remote/../path/to/file.txt", "remote/path/to/file.txt", None),
    ("/../../remote\\path//./to/file.txt", "remote/path/to/file.txt", None),
    ("one_code_point_ą", "one_code_point_a", None),
    ("two_code_points_a\u{328}", "two_code_points_a", None),
    ("one_code_point_\u{d6ef}", "one_code_point_\u{d6ef}", Some("one_code_point_\u{1112}\u{116f}\u{11b6}")),
    ("three_code_points_\u{1112}\u{116f}\u{11b6}", "three_code_points_\u{d6ef}", None),
    ("ÞþŊŋŦŧ", "þþŋŋŧŧ", None),
    (
        "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝßàáâãäåæçèéêëìíîïðñòóôõöøùúûüýÿ",
        "aaaaaaaeceeeeiiiidnoooooouuuuyssaaaaaaaeceeeeiiiidnoooooouuuuyy",
        None,
    ),
    (
        "ĀāĂăĄąĆćĈĉĊċČčĎďĐđĒēĔĕĖėĘęĚěĜĝĞğĠġĢģĤĥĦħĨĩĪīĬĭĮįİĲĳ",
        "aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiiijij",
        None,
    ),
    (
        "ĴĵĶķĹĺĻļĽľŁłŃńŅņŇňŉŌōŎŏŐőŒœŔŕŖŗŘřŚśŜŝŞşŠšŢţŤť",
        "jjkkllllllllnnnnnnʼnoooooooeoerrrrrrsssssssstttt",
        None,
    ),
    ("ŨũŪūŬŭŮůŰűŲųŴŵŶŷŸŹźŻżŽž", "uuuuuuuuuuuuwwyyyzzzzzz", None),
    (
        "😂❤️😍🤣😊🙏💕😭😘👍😅👏😁♥️🔥💔💖💙😢🤔😆🙄💪😉☺️👌🤗",
        "😂❤️😍🤣😊🙏💕😭😘👍😅👏😁♥️🔥💔💖💙😢🤔😆🙄💪😉☺️👌🤗",
        Some("😂❤😍🤣😊🙏💕😭😘👍😅👏😁♥🔥💔💖💙😢🤔😆🙄💪😉☺👌🤗"),
    ),
    (
        "💜😔😎😇🌹🤦🎉💞✌️✨🤷😱😌🌸🙌😋💗💚😏💛🙂💓🤩😄😀🖤😃💯🙈👇🎶😒🤭❣️",
        "💜😔😎😇🌹🤦🎉💞✌️✨🤷😱😌🌸🙌😋💗💚😏💛🙂💓🤩😄😀🖤😃💯🙈👇🎶😒🤭❣️",
        Some("💜😔😎😇🌹🤦🎉💞✌✨🤷😱😌🌸🙌😋💗💚😏💛🙂💓🤩😄😀🖤😃💯🙈👇🎶😒🤭❣"),
    ),
    ("emoji_‼️", "emoji_!!\u{fe0f}", Some("emoji_!!")),
    ("<title>hello<:hello>.txt", "<title>hello<:hello>.txt", None),
    ("twodotfile..txt", "twodotfile..txt", None),
    ("three/.../dots_path", "three/.../dots_path", None),
    (".", "", None),
    ("..", "", None),
    ("./..", "", None),
    ("../..", "", None),
    ("./.", "", None),
    ("../.", "", None),
    ("./../.", "", None),
    (".././..", "", None),
];

/// The names of a path, as the official clients read one. No name of ours holds what they drop.
fn names(path: &str) -> Vec<String> {
    let path = path.replace('\0', "").replace('\\', "/");
    let names = path.split('/').filter(|name| !["", ".", ".."].contains(name));
    names.map(str::to_owned).collect()
}

fn collated(path: &str) -> Vec<Vec<u8>> {
    names(path).iter().map(|name| Keys::of(name).collated).collect()
}

#[test]
fn the_published_vectors_hold_under_both_rules() {
    assert_eq!(VECTORS.len(), 49);
    for (path, latin, other) in VECTORS {
        let keys: Vec<String> = names(path).iter().map(|name| Keys::of(name).latin).collect();
        assert_eq!(keys.join("/"), *latin, "rule A of {path:?}");
        assert_eq!(collated(path), collated(other.unwrap_or(latin)), "rule B of {path:?}");
    }
}

fn text(name: &str) -> &OsStr {
    OsStr::new(name)
}

#[test]
fn every_character_comes_back_alone_and_beside_others() {
    let letters = ["", "x", "‛", "é", "か"];
    for (n, c) in ('\u{1}'..=char::MAX).filter(|c| *c != '/').enumerate() {
        let beside = letters[n % letters.len()];
        for name in [c.to_string(), format!("{beside}{c}"), format!("{c}{beside}")] {
            if [".", ".."].contains(&name.as_str()) {
                continue;
            }
            let remote = to_remote(text(&name)).unwrap();
            assert_eq!(from_remote(&remote).as_deref(), Some(text(&name)), "{name:?} as {remote:?}");
            assert!(
                !remote.contains(['\\', '\0']) && !remote.ends_with([' ', '\t', '\r', '\n']),
                "{remote:?}"
            );
        }
        // What stands for it beside a sibling: every character below U+3000, and some of the others.
        if c != '.' && (c < '\u{3000}' || n % 61 == 0) {
            let twin = to_remote_twin(text(&c.to_string())).unwrap();
            assert_eq!(from_remote(&twin).as_deref(), Some(text(&c.to_string())), "{c:?} as {twin:?}");
        }
    }
}

/// One folder with a file for every character of the first plane: thousands of them are one name there.
#[test]
fn a_folder_of_all_characters_has_as_many_names_on_files_com() {
    let mut tree = Tree::new(RemotePath::ROOT, Defaults::with_umask(0o022, 0, 0), Moment::default());
    let (mut latin, mut collated, mut twins) = (HashSet::new(), HashSet::new(), 0);
    for c in ('\u{1}'..='\u{ffff}').filter(|c| !['/', '.'].contains(c)) {
        let name = OsString::from(c.to_string());
        let remote = tree.remote_name(Ino::ROOT, &name, None).unwrap();
        let keys = Keys::of(&remote);
        assert!(latin.insert(keys.latin) && collated.insert(keys.collated), "{remote:?} is another's name");
        assert_eq!(from_remote(&remote).as_ref(), Some(&name));
        twins += u32::from(to_remote(&name).unwrap() != remote);
        let body = Body::File(File::created(ContentId(1), false));
        let attributes = tree.defaults.new_entry(Shape::File, Moment::default());
        tree.insert(Ino::ROOT, name, remote, attributes, body).unwrap();
    }
    assert!(twins > 5_000, "only {twins} characters look like others");
}
