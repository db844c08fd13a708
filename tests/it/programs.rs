//! Programs of all kinds, as people use them on a mount: git, SQLite, rdiff-backup.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;

use rusqlite::Connection;

use crate::stage::{Stage, noise, plant_tree, run};

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = run(Command::new("git")
        .current_dir(folder)
        .args(["-c", "user.name=Backup", "-c", "user.email=backup@example.com", "-c", "commit.gpgsign=false"])
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null"));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn commit_all(repository: &Path) {
    git(repository, &["add", "."]);
    git(repository, &["commit", "-qm", "All that is here"]);
}

#[test]
fn git_works_in_a_mount_and_its_repository_is_sound_in_the_next_one() {
    let mut stage = Stage::new();
    let origin = stage.path("origin");
    fs::create_dir(&origin).unwrap();
    git(&origin, &["init", "-q", "-b", "main"]);
    for n in 0..8 {
        fs::write(origin.join(format!("file {n}")), noise(n, 3000)).unwrap();
    }
    commit_all(&origin);
    let mount = stage.mount(&["--close", "journaled"]);
    let cloned = mount.path("cloned");
    git(&mount.point, &["clone", "-q", origin.to_str().unwrap(), "cloned"]);
    fs::write(cloned.join("file 0"), "changed").unwrap();
    fs::create_dir(cloned.join("deep")).unwrap();
    fs::write(cloned.join("deep/new"), "new").unwrap();
    commit_all(&cloned);
    git(&cloned, &["checkout", "-q", "-b", "side", "HEAD~1"]);
    git(&cloned, &["checkout", "-q", "main"]);
    git(&cloned, &["gc", "-q", "--prune=now"]);
    git(&cloned, &["fsck", "--strict"]);
    assert_eq!(git(&cloned, &["status", "--porcelain"]), "");
    mount.umount();

    let mount = stage.mount(&[]);
    let cloned = mount.path("cloned");
    git(&cloned, &["fsck", "--strict"]);
    assert_eq!(git(&cloned, &["log", "--format=%s"]).lines().count(), 2);
    assert_eq!(git(&cloned, &["show", "main:file 0"]), "changed");
    let back = stage.path("back");
    git(&stage.path(""), &["clone", "-q", cloned.to_str().unwrap(), back.to_str().unwrap()]);
    assert_eq!(fs::read(back.join("deep/new")).unwrap(), b"new");
    for n in 1..8 {
        assert!(fs::read(back.join(format!("file {n}"))).unwrap() == noise(n, 3000), "file {n}");
    }
    mount.umount();
}

fn table(path: &Path, journal_mode: &str) -> Connection {
    let database = Connection::open(path).unwrap();
    let mode: String =
        database.query_row(&format!("PRAGMA journal_mode={journal_mode}"), [], |row| row.get(0)).unwrap();
    assert_eq!(mode, journal_mode);
    database
}

/// With its rollback journals: a file that is made, deleted, emptied or kept beside every transaction.
#[test]
fn an_sqlite_database_is_kept_through_commits_and_rollbacks() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--close", "journaled"]);
    let sum = |database: &Connection| -> i64 {
        database.query_row("SELECT sum(n) FROM t", [], |row| row.get(0)).unwrap()
    };
    for mode in ["delete", "truncate", "persist"] {
        let path = mount.path(&format!("{mode}.db"));
        let mut database = table(&path, mode);
        database.execute_batch("CREATE TABLE t (n INTEGER, bytes BLOB)").unwrap();
        for n in 0..6 {
            let change = database.transaction().unwrap();
            for row in 0..20 {
                change
                    .execute("INSERT INTO t VALUES (?1, ?2)", (n * 20 + row, noise(row as u64, 500)))
                    .unwrap();
            }
            // Every third change is taken back.
            if n % 3 == 2 { change.rollback().unwrap() } else { change.commit().unwrap() }
        }
        database.execute_batch("DELETE FROM t WHERE n < 10; VACUUM").unwrap();
        let other = Connection::open(&path).unwrap();
        assert_eq!(sum(&other), sum(&database));
    }
    mount.umount();
    let copies = stage.path("copies");
    fs::create_dir(&copies).unwrap();
    for mode in ["delete", "truncate", "persist"] {
        // What Files.com holds is a sound database by itself.
        let copy = copies.join(format!("{mode}.db"));
        fs::write(&copy, stage.stored(&format!("{mode}.db")).unwrap()).unwrap();
        let database = Connection::open(&copy).unwrap();
        let sound: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        let expected: i64 =
            (0..6).filter(|n| n % 3 != 2).flat_map(|n| n * 20..n * 20 + 20).filter(|n| *n >= 10).sum();
        assert_eq!((sound.as_str(), sum(&database)), ("ok", expected), "{mode}");
    }
    let mount = stage.mount(&[]);
    run(Command::new("cp").arg("-a").arg(mount.path("delete.db")).arg(stage.path("again.db")));
    assert_eq!(
        sum(&Connection::open(mount.path("delete.db")).unwrap()),
        sum(&Connection::open(stage.path("again.db")).unwrap())
    );
    mount.umount();
}

/// It probes what the filesystem can do before it begins: links, locks, names, owners, ACLs.
#[test]
fn rdiff_backup_finds_out_what_the_mount_can_do_and_backs_up() {
    for close in ["verified", "journaled"] {
        let mut stage = Stage::new();
        let source = stage.path("source");
        plant_tree(&source);
        std::os::unix::fs::symlink("docs", source.join("link")).unwrap();
        let mount = stage.mount(&["--close", close]);
        let rdiff = |mount: &Path, arguments: &[&Path]| {
            let mut command = Command::new("rdiff-backup");
            run(command.args(arguments).current_dir(mount))
        };
        rdiff(&mount.point, &[Path::new("backup"), &source, Path::new("repository")]);
        fs::write(source.join("docs/file 1.dat"), "another version").unwrap();
        // It tells increments apart by the second.
        let first = std::time::SystemTime::now();
        crate::stage::wait_until("a second is over", || first.elapsed().unwrap().as_millis() > 1100);
        rdiff(&mount.point, &[Path::new("backup"), &source, Path::new("repository")]);
        mount.umount();
        let fresh = stage.mount(&[]);
        rdiff(&fresh.point, &[Path::new("verify"), Path::new("repository")]);
        let back = stage.path("back");
        rdiff(&fresh.point, &[Path::new("restore"), Path::new("repository"), &back]);
        // It restores no times of links.
        run(Command::new("diff").args(["-r", "--no-dereference"]).args([&source, &back]));
        fresh.umount();
    }
}

#[test]
fn a_program_that_runs_is_not_emptied() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    for n in 0..8 {
        let program = mount.path(&format!("sleep{n}"));
        fs::copy("/bin/sleep", &program).unwrap();
        let mut running = Command::new(&program).arg("60").spawn().unwrap();
        let emptied = fs::OpenOptions::new().read(true).custom_flags(libc::O_TRUNC).open(&program);
        let ended = running.try_wait().unwrap();
        running.kill().unwrap();
        running.wait().unwrap();
        assert_eq!(emptied.unwrap_err().raw_os_error(), Some(libc::ETXTBSY));
        assert!(ended.is_none(), "it lost its bytes: {ended:?}");
    }
    mount.umount();
}
