//! A disk that finds out in fsync that it has no room, or that it cannot keep what it was given.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use filescomfs::emulator::{Effect, Fault};

use super::{Defect, Losses, Supply};
use crate::crash::daemon::{Daemon, ask};
use crate::stage::{Stage, told};

fn written_and_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[test]
fn a_sync_without_room_fails_that_file_and_no_other() {
    let stage = Stage::in_memory(|_| {});
    let supply = Supply::of(Losses { seed: 1, defect: None }, &stage);
    for options in [&[][..], &["--close", "journaled"]] {
        let mut daemon = Daemon::start(&stage, "mnt", Supply::STATE, options, &[]);
        assert!(daemon.answers().unwrap(), "it died");
        let at = |name: &str| daemon.point.join(name);
        written_and_synced(&at("kept"), b"kept").unwrap();
        supply.set_defect(Some(Defect::Refuses(libc::ENOSPC)));
        let failed = written_and_synced(&at("dropped"), b"some of it is gone").unwrap_err();
        assert_eq!(failed.raw_os_error(), Some(libc::ENOSPC));
        supply.set_defect(None);

        let again = File::options().append(true).open(at("dropped")).unwrap().sync_all();
        assert_eq!(again.unwrap_err().raw_os_error(), Some(libc::ENOSPC), "the disk may have dropped it");
        written_and_synced(&at("other"), b"other").unwrap();
        let output = ask(&stage, "sync", &daemon.point);
        assert_eq!(output.status.code(), Some(8), "{}", told(&output));
        assert_eq!(stage.stored("other").as_deref(), Some(&b"other"[..]));
        assert_eq!(stage.stored("dropped"), None);

        written_and_synced(&at("dropped"), b"written again").unwrap();
        let output = ask(&stage, "sync", &daemon.point);
        assert!(output.status.success(), "{}", told(&output));
        assert_eq!(stage.stored("dropped").as_deref(), Some(&b"written again"[..]));
        for name in ["kept", "dropped", "other"] {
            fs::remove_file(at(name)).unwrap();
        }
        assert!(ask(&stage, "umount", &daemon.point).status.success());
        daemon.ended().unwrap();
    }
}

#[test]
fn a_log_of_the_journal_that_could_not_be_synced_once_ends_every_promise_of_the_mount() {
    let stage = Stage::in_memory(|_| {});
    let supply = Supply::of(Losses { seed: 1, defect: None }, &stage);
    let mut daemon = Daemon::start(&stage, "mnt", Supply::STATE, &["--close", "journaled"], &[]);
    assert!(daemon.answers().unwrap(), "it died");
    let at = |name: &str| daemon.point.join(name);
    stage.site.inject(Fault { times: 0, ..Fault::on("begin_upload", Effect::Stall) });
    written_and_synced(&at("kept"), b"kept").unwrap();

    supply.set_defect(Some(Defect::RefusesLogOnce(libc::EIO)));
    let failed = written_and_synced(&at("dropped"), b"its fact is gone").unwrap_err();
    assert_eq!(failed.raw_os_error(), Some(libc::EIO));
    // The disk answers again; what it dropped, nobody knows.
    let refused = written_and_synced(&at("other"), b"other").unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EROFS));
    assert_eq!(fs::read(at("kept")).unwrap(), b"kept");
    let output = stage.filescomfs(["status", "--json"]).arg(&daemon.point).output().unwrap();
    assert!(told(&output).contains("the journal cannot be written"), "{}", told(&output));
}
