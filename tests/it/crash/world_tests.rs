//! The judge refuses what it must, and nothing else.

use std::rc::Rc;

use super::world::*;

fn file(bytes: &[u8]) -> Seen {
    Seen::File { bytes: bytes.to_vec(), mode: 0o644, time: 5 }
}

fn sight<const N: usize>(seen: [(&str, Seen); N]) -> Sight {
    seen.map(|(path, seen)| (path.to_owned(), seen)).into()
}

fn make(world: &mut World, change: &Change<'_>) -> Option<Id> {
    let planned = world.plan(change).expect("it may happen");
    let made = planned.made;
    world.happened(planned);
    made
}

fn create(world: &mut World, path: &str) -> Id {
    let id = make(world, &Change::Create { path, mode: 0o644 }).expect("a file");
    world.resize(id, 0);
    id
}

/// `f` with "old", acknowledged, and then "old and new", not acknowledged.
fn two_versions() -> (World, Id) {
    let mut world = World::default();
    let id = create(&mut world, "f");
    world.write(id, 0, b"old");
    world.published(id);
    world.write(id, 3, b" and new");
    (world, id)
}

#[test]
fn acknowledged_bytes_that_are_missing_older_or_mixed_are_refused() {
    let (mut world, id) = two_versions();
    assert!(world.found(&sight([("f", file(b"old"))])).is_ok());
    assert!(world.found(&sight([("f", file(b"old and new"))])).is_ok());
    for wrong in [&b""[..], b"ol", b"old and", b"new and old", b"old and new "] {
        assert!(world.found(&sight([("f", file(wrong))])).is_err(), "{wrong:?}");
    }
    assert!(world.found(&sight([])).is_err(), "it is missing");
    world.synced(id);
    assert!(world.found(&sight([("f", file(b"old"))])).is_err(), "older than what fsync has answered for");
}

#[test]
fn what_was_never_acknowledged_may_be_missing_and_is_looked_for() {
    let mut world = World::default();
    let id = create(&mut world, "f");
    world.write(id, 0, b"bytes");
    let (_, unpublished) = world.found(&sight([])).unwrap();
    assert_eq!(unpublished, [("f".to_owned(), Rc::new(b"bytes".to_vec()))]);
}

#[test]
fn a_power_cut_may_mix_what_was_not_acknowledged_and_nothing_else() {
    let (mut world, id) = two_versions();
    world.write(id, 0, b"OLD");
    assert!(world.found(&sight([("f", file(b"OlD and"))])).is_err(), "the power has not failed");
    world.power_failed();
    for allowed in [&b"old"[..], b"OLD", b"OlD and", b"old\0\0\0\0 new"] {
        let (after, _) = world.found(&sight([("f", file(allowed))])).expect("it is allowed");
        assert!(after.found(&sight([("f", file(b"oLD"))])).is_err(), "it is what is there now");
    }
    for wrong in [&b""[..], b"ol", b"axe", b"old and new!"] {
        assert!(world.found(&sight([("f", file(wrong))])).is_err(), "{wrong:?}");
    }
    world.synced(id);
    assert!(world.found(&sight([("f", file(b"old and new"))])).is_err(), "older than fsync");
}

#[test]
fn a_write_in_flight_may_have_begun_and_nothing_else() {
    let (mut world, id) = two_versions();
    world.synced(id);
    world.may_write(id, 0, b"NEW".to_vec());
    for allowed in [&b"old and new"[..], b"Nld and new", b"NEd and new", b"NEW and new"] {
        assert!(world.found(&sight([("f", file(allowed))])).is_ok(), "{allowed:?}");
    }
    assert!(world.found(&sight([("f", file(b"oEW and new"))])).is_err());
}

#[test]
fn names_that_came_back_doubled_or_stayed_are_refused() {
    let (mut world, id) = two_versions();
    world.synced(id);
    make(&mut world, &Change::Mkdir("d"));
    make(&mut world, &Change::Rename { from: "f", to: "d/g" });
    let moved = || file(b"old and new");
    assert!(world.found(&sight([("d", Seen::Folder), ("d/g", moved())])).is_ok());
    assert!(world.found(&sight([("d", Seen::Folder), ("d/g", moved()), ("f", moved())])).is_err());
    assert!(world.found(&sight([("d", Seen::Folder), ("f", moved())])).is_err(), "it was answered");
    let planned = world.plan(&Change::Rename { from: "d/g", to: "h" }).unwrap();
    world.may_have_happened(planned);
    for allowed in ["d/g", "h"] {
        assert!(world.found(&sight([("d", Seen::Folder), (allowed, moved())])).is_ok());
    }
    assert!(world.found(&sight([("d", Seen::Folder), ("d/g", moved()), ("h", moved())])).is_err());
    make(&mut world, &Change::Unlink("h"));
    assert!(world.found(&sight([("d", Seen::Folder), ("h", moved())])).is_err(), "it was deleted");
}

#[test]
fn attributes_of_an_acknowledged_file_are_the_newest_and_in_flight_one_of_two() {
    let (mut world, id) = two_versions();
    world.set_mode(id, 0o600);
    world.published(id);
    let with = |mode| Seen::File { bytes: b"old and new".to_vec(), mode, time: 5 };
    assert!(world.found(&sight([("f", with(0o600))])).is_ok());
    assert!(world.found(&sight([("f", with(0o644))])).is_err());
    world.set_mode(id, 0o755);
    for mode in [0o600, 0o755] {
        assert!(world.found(&sight([("f", with(mode))])).is_ok(), "{mode:o}");
    }
    assert!(world.found(&sight([("f", with(0o644))])).is_err());
    world.changed(id);
    assert!(world.found(&sight([("f", with(0o755))])).is_ok());
    assert!(world.found(&sight([("f", with(0o600))])).is_err());
    world.write(id, 0, b"x");
    world.set_mode(id, 0o700);
    world.changed(id);
    for mode in [0o700, 0o755] {
        assert!(world.found(&sight([("f", with(mode))])).is_ok(), "its bytes are still to be acknowledged");
    }
}

#[test]
fn what_replaces_another_before_it_is_acknowledged_leaves_one_of_the_two() {
    let (mut world, _) = two_versions();
    let new = create(&mut world, "new");
    world.write(new, 0, b"other");
    make(&mut world, &Change::Rename { from: "new", to: "f" });
    for allowed in [&b"old"[..], b"old and new", b"other"] {
        assert!(world.found(&sight([("f", file(allowed))])).is_ok(), "{allowed:?}");
    }
    assert!(world.found(&sight([])).is_err(), "neither is there");
}
