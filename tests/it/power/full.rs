//! A disk that finds out in fsync that it has no room.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

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
