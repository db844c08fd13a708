use std::os::unix::fs::FileExt;

use proptest::prelude::*;

use super::*;

#[test]
fn a_disk_that_could_not_sync_a_file_is_not_believed_when_it_is_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), dir.path()).unwrap();
    let [bad, good] = [(); 2].map(|()| store.create().unwrap());
    let file = store.file(bad).unwrap();
    // What cannot be synced at all.
    store.keep(bad, Arc::new(File::open("/dev/null").unwrap()));
    let first = store.sync(bad).unwrap_err();
    store.keep(bad, file);
    assert_eq!(store.sync(bad).unwrap_err().raw_os_error(), first.raw_os_error());
    store.sync(good).unwrap();
    store.remove(bad);
    assert!(store.unsynced(bad).is_none() && store.unsynced(good).is_none());
}

#[test]
fn what_is_owed_survives_a_restart_and_what_is_cached_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let (state, cache) = (dir.path().join("state"), dir.path().join("cache"));
    let (store, left) = Store::open(&state, &cache).unwrap();
    assert_eq!(left, Left::default());
    let [owed, proven] = [(); 2].map(|()| store.create().unwrap());
    for id in [owed, proven] {
        store.file(id).unwrap().write_all_at(b"bytes", 0).unwrap();
    }
    assert!(store.to_cache(proven).unwrap());
    drop(store);
    let (store, left) = Store::open(&state, &cache).unwrap();
    assert_eq!((left.spooled, left.cached), (HashMap::from([(owed, 5)]), HashSet::from([proven])));
    store.remove_cached(proven).unwrap();
    assert!(store.file(proven).is_err());
    let aside = store.set_aside(owed).unwrap();
    assert_eq!(fs::read(aside).unwrap(), b"bytes");
}

proptest! {
    #[test]
    fn the_books_of_the_spool_are_what_the_disk_says(
        steps in prop::collection::vec((0usize..4, 0u8..7, 0u64..300_000, 0usize..50_000), 1..60)
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(dir.path(), dir.path()).unwrap();
        let mut ids = [(); 4].map(|()| store.create().unwrap());
        for (at, what, offset, count) in steps {
            let id = ids[at];
            let file = store.file(id).unwrap();
            match what {
                0 | 1 => file.write_all_at(&vec![1; count], offset).unwrap(),
                2 => file.set_len(offset).unwrap(),
                3 => {
                    store.remove(id);
                    store.remove(id);
                    ids[at] = store.create().unwrap();
                }
                4 => drop(store.to_cache(id)),
                5 => store.to_spool(id).unwrap(),
                _ => store.sync(id).unwrap_or(()),
            }
            store.measure(id, &file);
        }
        let there = |folder: &Path| -> u64 {
            let found = fs::read_dir(folder).unwrap();
            found.map(|entry| super::taken(&entry.unwrap().metadata().unwrap())).sum()
        };
        prop_assert_eq!(store.spooled(), there(&store.spool));
        drop(store);
        let (store, _) = Store::open(dir.path(), dir.path()).unwrap();
        prop_assert_eq!(store.spooled(), there(&store.spool), "after a restart");
    }
}

#[test]
fn what_is_copied_to_another_disk_is_found_whole_and_by_its_new_name() {
    let (memory, dir) = (tempfile::tempdir_in("/dev/shm").unwrap(), tempfile::tempdir().unwrap());
    let devices = [&memory, &dir].map(|dir| dir.path().metadata().unwrap().dev());
    assert_ne!(devices[0], devices[1], "this test wants two disks");
    fs::create_dir(memory.path().join("spool")).unwrap();
    fs::write(memory.path().join("spool/0000000000000001.half"), "of a mount that died").unwrap();
    let (store, _) = Store::open(memory.path(), dir.path()).unwrap();
    assert_eq!(fs::read_dir(&store.spool).unwrap().count(), 0);
    let bytes = vec![7; 8 << 20];
    for _ in 0..20 {
        let id = store.create_cached().unwrap();
        store.file(id).unwrap().write_all_at(&bytes, 0).unwrap();
        let is_over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    store.opened().pop(&id);
                    assert_eq!(store.file(id).unwrap().metadata().unwrap().len(), bytes.len() as u64);
                }
            });
            store.to_spool(id).unwrap();
            is_over.store(true, Ordering::Relaxed);
        });
        store.file(id).unwrap().write_all_at(b"new", 0).unwrap();
        assert!(fs::read(place(&store.spool, id)).unwrap().starts_with(b"new"));
        store.remove(id);
    }
}

#[test]
fn an_open_file_follows_its_move() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), dir.path()).unwrap();
    let id = store.create_cached().unwrap();
    let file = store.file(id).unwrap();
    store.to_spool(id).unwrap();
    store.to_spool(id).unwrap();
    file.write_all_at(b"x", 0).unwrap();
    assert_eq!(fs::read(place(&store.spool, id)).unwrap(), b"x");
}
