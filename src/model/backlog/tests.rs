use proptest::prelude::*;

use super::*;
use crate::model::entry::{Entry, Kind};
use crate::model::proof::Fingerprint;

fn at(text: &str) -> RemotePath {
    RemotePath::parse(text).unwrap()
}

fn delete(path: &str) -> Step {
    let version = Fingerprint { size: 1, created: None, changed: None, md5: None, crc32: None };
    Step::Delete { path: at(path), version }
}

fn rename(from: &str, to: &str) -> Step {
    Step::Move { from: at(from), to: at(to), overwrite: false }
}

#[test]
fn a_folder_is_deleted_after_what_was_in_it_and_strangers_do_not_wait() {
    let mut backlog = Backlog::default();
    let inside = [backlog.push(delete("d/a")), backlog.push(delete("d/b"))];
    let folder = backlog.push(Step::RemoveFolder(at("d")));
    let other = backlog.push(delete("dd"));
    assert_eq!(backlog.ready(), [inside[0], inside[1], other]);
    assert!(backlog.begin(inside[0]).is_some() && backlog.begin(inside[0]).is_none());
    backlog.remove(inside[0]);
    assert!(!backlog.is_ready(folder));
    backlog.failed(inside[1], Failure::plain(libc::EIO));
    assert_eq!(backlog.ready(), [inside[1], other]);
    backlog.remove(inside[1]);
    assert_eq!(backlog.ready(), [folder, other]);
}

#[test]
fn names_that_files_com_takes_for_one_are_one_place() {
    let mut backlog = Backlog::default();
    let first = backlog.push(delete("Docs/README"));
    assert_eq!(backlog.last_at(&at("docs/readme")), Some(first));
    assert_eq!(backlog.last_at(&at("DÓCS")), Some(first));
    let second = backlog.push(rename("docs", "other"));
    assert!(!backlog.is_ready(second));
}

#[test]
fn what_was_made_and_deleted_again_is_nothing() {
    let mut backlog = Backlog::default();
    let made = backlog.push(Step::Make(at("lock")));
    assert_eq!((backlog.unmade(&at("lock")), backlog.unmade(&at("other"))), (Some(made), None));
    let inside = backlog.push(Step::Make(at("lock/in")));
    assert_eq!(backlog.unmade(&at("lock")), None, "something in it goes first");
    assert_eq!(backlog.unmade(&at("lock/in")), Some(inside));
    backlog.remove(inside);
    backlog.begin(made);
    assert_eq!(backlog.unmade(&at("lock")), None, "Files.com was asked");
}

#[test]
fn a_folder_is_looked_for_wherever_a_move_may_have_brought_it() {
    let mut backlog = Backlog::default();
    let first = backlog.push(rename("a", "b"));
    let second = backlog.push(rename("b", "c"));
    assert_eq!(backlog.origin(&at("c/x")), Origin::There(at("a/x")));
    let there = |path| Origin::There(at(path));
    let places = [(0, there("a/x")), (first + 1, there("b/x"))];
    assert_eq!(backlog.places(&at("c/x")), places, "the second move was never asked for");
    assert_eq!(backlog.places(&at("d")), [(0, there("d"))]);
    let listed = vec![Entry::folder("kept".into()), Entry::folder("moved".into())];
    backlog.push(rename("c/x/moved", "elsewhere"));
    let seen = backlog.replay(second + 1, &there("c/x"), listed);
    assert_eq!(seen.iter().map(Seen::name).collect::<Vec<_>>(), ["kept"]);
}

#[test]
fn a_path_leads_back_through_the_renames_that_wait() {
    let mut backlog = Backlog::default();
    backlog.push(rename("a", "b"));
    backlog.push(Step::Make(at("new")));
    let last = backlog.push(rename("b/x", "c"));
    let there = |path| Origin::There(at(path));
    assert_eq!(backlog.origin(&at("c/f")), there("a/x/f"));
    assert_eq!(backlog.origin(&at("b/y")), there("a/y"));
    assert_eq!(backlog.origin(&at("bb")), there("bb"));
    assert_eq!(backlog.origin(&at("new/f")), Origin::MadeBy(2, at("new/f")));
    backlog.remove(last);
    assert_eq!(backlog.origin(&at("c")), there("c"));
}

#[test]
fn a_listing_is_led_through_the_steps() {
    let entry = |name: &str| Entry { kind: Kind::File, size: 1, ..Entry::folder(name.to_owned()) };
    let mut backlog = Backlog::default();
    for step in [
        delete("old/gone"),
        rename("old/a", "old/b"),
        Step::Make(at("old/new")),
        rename("old", "d"),
        rename("other/x", "d/x"),
        rename("d/b", "d/c"),
        Step::Make(at("made")),
        rename("d/away", "made/away"),
    ] {
        backlog.push(step);
    }
    let origin = backlog.origin(&at("d"));
    assert_eq!(origin, Origin::There(at("old")));
    let listed = ["gone", "a", "stays", "away"].map(entry).to_vec();
    let seen = backlog.replay(0, &origin, listed);
    let listing = ["c", "stays"].map(|name| Seen::Listed(entry(name)));
    let elsewhere = |places: &[&str], name: &str, listed| {
        let places = places.iter().map(|place| at(place)).collect();
        Seen::Elsewhere { places, name: name.into(), listed }
    };
    let others = [Seen::Made("new".into()), elsewhere(&["other/x"], "x", None)];
    assert!(seen.len() == 4 && listing.iter().chain(&others).all(|entry| seen.contains(entry)), "{seen:?}");
    // The first two were taken while the question was under way.
    let seen = backlog.replay(0, &origin, ["b", "x"].map(entry).to_vec());
    let moved = elsewhere(&["other/x"], "x", Some(entry("x")));
    assert!(seen.len() == 3 && seen.contains(&Seen::Listed(entry("c"))) && seen.contains(&moved), "{seen:?}");
    let made = &backlog.places(&at("made"))[0];
    let made = backlog.replay(made.0, &made.1, Vec::new());
    assert_eq!(made, [elsewhere(&["old/away"], "away", None)]);
    let gone = backlog.replay(0, &backlog.origin(&at("d")), Vec::new());
    let renamed = elsewhere(&["old/a", "old/b"], "c", None);
    assert!(gone.contains(&renamed), "neither name is listed, as in the middle of a move: {gone:?}");
}

#[test]
fn what_is_held_is_not_begun_until_a_person_says_so() {
    let mut backlog = Backlog::default();
    let step = backlog.push(delete("f"));
    backlog.begin(step);
    backlog.hold(step, Failure::plain(libc::EACCES));
    assert_eq!((backlog.ready(), backlog.last_at(&at("f"))), (vec![], Some(step)));
    assert!(!backlog.changes_within(&RemotePath::ROOT));
    let after = backlog.push(rename("g", "f"));
    let last = backlog.push(delete("g/x"));
    assert_eq!(backlog.built_upon(step), [last, after, step]);
    backlog.remove(last);
    backlog.remove(after);
    backlog.release(step);
    assert!(backlog.changes_within(&RemotePath::ROOT) && !backlog.changes_within(&at("g")));
    assert_eq!(backlog.begin(step).map(|(_, doubtful)| doubtful), Some(true));
}

#[test]
fn only_what_leads_to_a_path_keeps_others_from_it() {
    let mut backlog = Backlog::default();
    let refused = backlog.push(rename("a", "b"));
    backlog.push(delete("b/x"));
    backlog.push(Step::Make(at("d")));
    backlog.begin(refused);
    backlog.hold(refused, Failure::plain(libc::EACCES));
    let in_the_way =
        |backlog: &Backlog, path| backlog.refusal_before(&at(path)).map(|(step, _)| step.clone());
    assert_eq!(in_the_way(&backlog, "d/f"), None, "its folder is made without a person's help");
    assert_eq!(in_the_way(&backlog, "b/x"), Some(rename("a", "b")));
    assert_eq!(in_the_way(&backlog, "a/new"), Some(rename("a", "b")));
    backlog.release(refused);
    assert_eq!((in_the_way(&backlog, "b/x"), backlog.stuck().len()), (None, 0));
}

#[test]
fn an_answer_is_old_once_something_ended_that_shows_in_it() {
    let mut backlog = Backlog::default();
    let steps = ["d/a", "d/sub/b", "other/c"].map(|path| backlog.push(delete(path)));
    let asked = backlog.ended();
    backlog.remove(steps[1]);
    backlog.remove(steps[2]);
    assert!(!backlog.has_changed(&at("d"), asked), "nothing of it shows there");
    assert!(backlog.has_changed(&at("d/sub"), asked) && backlog.has_changed(&at("OTHER"), asked));
    backlog.remove(steps[0]);
    assert!(backlog.has_changed(&at("d"), asked) && !backlog.has_changed(&at("d"), backlog.ended()));

    let asked = backlog.ended();
    let move_ = backlog.pass(&at("x/f"), &at("y/sub/f"));
    let passing =
        |backlog: &Backlog| ["x", "y/sub", "x/f/in", "y", ""].map(|path| backlog.is_passing(&at(path)));
    assert_eq!(passing(&backlog), [true, true, true, false, false]);
    backlog.passed(move_);
    assert_eq!(passing(&backlog), [false; 5]);
    assert!(backlog.has_changed(&at("x"), asked) && !backlog.has_changed(&at("z"), asked));
    for _ in 0..5000 {
        let step = backlog.push(delete("elsewhere/x"));
        backlog.remove(step);
    }
    assert!(backlog.has_changed(&at("z"), asked), "too long ago to be told");
}

fn copy(from: &str, to: &str) -> Step {
    let version = Fingerprint { size: 1, created: None, changed: None, md5: None, crc32: None };
    Step::Copy { from: at(from), to: at(to), version }
}

#[test]
fn until_a_copy_is_made_its_bytes_are_at_the_source() {
    let mut backlog = Backlog::default();
    backlog.push(rename("old", "new"));
    let number = backlog.push(copy("new/f", "d/g"));
    backlog.push(rename("d", "e"));
    assert_eq!(backlog.origin(&at("e/g")), Origin::There(at("old/f")));
    assert_eq!(backlog.origin(&at("new/f")), Origin::There(at("old/f")), "which stays");
    assert_eq!(backlog.destiny(number, &at("d/g")), at("e/g"));
    assert!(!backlog.is_ready(number), "the rename of the source goes first");
}

#[test]
fn copies_of_a_copy_are_of_its_version_once_it_is_made() {
    let mut backlog = Backlog::default();
    let first = backlog.push(copy("a", "b"));
    let unrelated = backlog.push(copy("a", "z"));
    let second = backlog.push(copy("b", "c"));
    backlog.push(rename("c", "d/c"));
    let third = backlog.push(copy("d/c", "e"));
    let made = Fingerprint { size: 2, created: None, changed: None, md5: None, crc32: None };
    let of = |from, to| Step::Copy { from: at(from), to: at(to), version: made };
    let changed = backlog.copy_is_made(first, &at("b"), made);
    assert_eq!(changed, [(second, of("b", "c")), (third, of("d/c", "e"))]);
    let step = |number| backlog.get(number).unwrap().step.clone();
    assert_eq!([step(second), step(unrelated)], [of("b", "c"), copy("a", "z")]);
}

#[test]
fn what_may_have_been_made_is_in_doubt_until_it_ends_or_is_refused() {
    let mut backlog = Backlog::default();
    backlog.restore(1, rename("d/b", "d/q"));
    let after = backlog.push(rename("d/q/f", "d/x"));
    let other = backlog.push(delete("other"));
    let doubts = |backlog: &Backlog| ["d/x", "d/q/f", "other"].map(|path| backlog.is_in_doubt(&at(path)));
    assert_eq!(doubts(&backlog), [true, true, false]);
    backlog.begin(other);
    assert_eq!(doubts(&backlog), [true, true, true]);
    backlog.begin(1);
    backlog.hold(1, Failure::plain(libc::EACCES));
    assert_eq!(doubts(&backlog), [false, false, true]);
    backlog.release(1);
    backlog.remove(1);
    assert_eq!(doubts(&backlog), [false, false, true]);
    assert_eq!(
        backlog.places(&at("d/x")),
        [(0, Origin::There(at("d/q/f"))), (after + 1, Origin::There(at("d/x")))]
    );
}

#[test]
fn a_copy_is_seen_in_its_folder_before_and_after_it_is_made() {
    let mut backlog = Backlog::default();
    backlog.push(copy("d/f", "d/g"));
    backlog.push(copy("x/f", "d/h"));
    let file = |name: &str| Entry { kind: Kind::File, ..Entry::folder(name.to_owned()) };
    let there = Origin::There(at("d"));
    let seen = backlog.replay(0, &there, vec![file("f")]);
    let elsewhere = Seen::Elsewhere { places: vec![at("x/f"), at("d/h")], name: "h".into(), listed: None };
    assert_eq!(seen, [Seen::Listed(file("f")), Seen::Listed(file("g")), elsewhere]);
    let listed = vec![file("f"), file("g"), file("h")];
    let after = backlog.replay(0, &there, listed.clone());
    assert_eq!(after, listed.into_iter().map(Seen::Listed).collect::<Vec<_>>());
}

proptest! {
    /// The index answers what a look at all steps would, and a step is ready when no earlier one is
    /// in its way.
    #[test]
    fn the_index_agrees_with_a_walk(
        paths in prop::collection::vec(("[ab](/[ab]){0,2}", "[ab](/[ab]){0,2}", any::<bool>()), 1..12),
        taken in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        question in "[ab](/[ab]){0,3}",
    ) {
        let mut backlog = Backlog::default();
        for (from, to, is_move) in &paths {
            backlog.push(if *is_move { rename(from, to) } else { delete(from) });
        }
        for index in taken {
            backlog.remove(index.index(paths.len()) as u64 + 1);
        }
        let question = at(&question);
        let relates = |path: &RemotePath| path.below(&question).is_some() || question.below(path).is_some();
        let walked = backlog.iter().filter(|(_, pending)| pending.step.paths().any(relates)).last();
        for (number, pending) in backlog.iter() {
            let touches = |path: &RemotePath| {
                let relates = |other: &RemotePath| path.below(other).or(other.below(path)).is_some();
                backlog.iter().any(|(other, step)| other < number && step.step.paths().any(relates))
            };
            prop_assert_eq!(backlog.is_ready(number), !pending.step.paths().any(touches));
        }
        prop_assert_eq!(backlog.last_at(&question), walked.map(|(number, _)| number));
    }
}
