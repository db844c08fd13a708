//! What stands below the options in `--help`.

/// Below the list of commands.
pub const TOP: &str = "\
Examples:
  filescomfs test mysite:/backups --api-key-file key --write
  filescomfs mount mysite:/backups /mnt/backup --api-key-file key
  filescomfs run /mnt/backup -- rsync -a /home/ /mnt/backup/home/
  filescomfs status /mnt/backup
  filescomfs umount /mnt/backup

In /etc/fstab (both forms work):
  mysite:/backups /mnt/backup filescomfs      api-key-file=/etc/filescomfs/key,_netdev 0 0
  mysite:/backups /mnt/backup fuse.filescomfs api-key-file=/etc/filescomfs/key,_netdev 0 0

Exit codes:
  0 done                     3 key or password refused    6 permission denied
  1 failed                   4 site not found             7 verification failed
  2 wrong usage or config    5 folder not found           8 something is still owed
                                                          9 only weakly verified";

/// Below the options of `mount`.
pub const MOUNT: &str = "\
Exit code 0 means: mounted, the key is good, the folder can be read.

Credentials are taken from the first of: --api-key-file, --credentials, the named storage,
$CREDENTIALS_DIRECTORY (filescomfs.api-key or filescomfs), FILES_API_KEY, FILES_USERNAME with
FILES_PASSWORD. A secret is never an argument.

Examples:
  filescomfs mount mysite:/backups /mnt/backup --api-key-file /etc/filescomfs/key
  filescomfs mount vault /mnt/backup -o ro,cache-size=50G
  filescomfs mount -f http://127.0.0.1:4041 /mnt/test

In /etc/fstab:
  mysite:/backups /mnt/backup filescomfs api-key-file=/etc/filescomfs/key,_netdev 0 0";

/// Below the options of `sync`.
pub const SYNC: &str = "\
Exit code 0: everything (or everything under PATH) that was closed is on Files.com, verified. Files that are
open for writing are named; --strict counts them as owed.
Exit code 1: the path is not the mount that answers: unmounted, covered, or seen from elsewhere.
Exit code 8: something is still owed, and listed with the reason.
Exit code 9, with --manifest: everything is on Files.com, but the files listed on standard error could
only be compared by size or CRC32. They are not in the manifest.

The manifest lists, with paths relative to PATH, every file that this mount or earlier ones with the
same state folder uploaded and verified, in the version that Files.com has now. Files that others put
there and symbolic links are not in it; how many there are is told on standard error. It replaces FILE
in one step, and only when nothing is owed.

The line that a cron job needs on a mount with close=journaled:
  rsync -a /home/ /mnt/backup/home/ && filescomfs sync /mnt/backup
or, in one: filescomfs run /mnt/backup -- rsync -a /home/ /mnt/backup/home/

What was uploaded, to be compared after a restore:
  filescomfs sync /mnt/backup home --manifest /var/backups/home.md5
  cd /restored/home && md5sum -c --quiet /var/backups/home.md5";

/// Below the options of `held`.
pub const HELD: &str = "\
A file is held when Files.com refused it for good: a name or a rule, a missing permission, bytes that
arrived damaged three times. Its bytes are kept on this machine, across restarts, until it is written,
deleted or renamed in the mount, or until a person decides here. It is held, too, when the local disk
could not keep its bytes: retry does not help then, write it again. What an earlier mount left is held
when a file is where its folder was: move that file away, and retry. PATHs are below the mountpoint, or
absolute paths inside it.

Exit code 0: done; of retry: Files.com has everything now. Exit code 8: something is still held or owed.

Examples:
  filescomfs held /mnt/backup list
  filescomfs held /mnt/backup retry reports
  filescomfs held /mnt/backup export /var/tmp/held
  filescomfs held /mnt/backup discard reports/a.pdf";

/// Below the options of `recover`.
pub const RECOVER: &str = "\
Nothing has to be recovered by hand: to mount again with the same state folder uploads what is owed, and
sets aside what is not understood. This command is for those who want to look first, or who cannot mount
any more. It is refused while a mount uses the folder.

Without --plan, files of the spool that the journal does not know are moved to the folder quarantine of
the state folder, and with --export the files that are owed are copied. Nothing is deleted, nothing is
uploaded, and what is owed stays owed.

Examples:
  filescomfs recover /var/lib/filescomfs/mysite-backups-0f9ac1d2 --plan
  filescomfs recover /var/lib/filescomfs/mysite-backups-0f9ac1d2 --export /var/tmp/rescued";

/// Below the options of `run`.
pub const RUN: &str = "\
The exit code is the larger of the command's and that of sync: 0 only if both are. A command that a
signal ended counts as 128 and the number of the signal, one that cannot be started as 126 or 127, as in
a shell; then nothing is waited for. It is 1 where the path is not that mount any more, or is covered: what
was written then lies elsewhere. Files that are open for writing at the end are named, and do not change the
code (--strict). SIGINT, SIGTERM and SIGHUP are passed on to the command; after one,
what is owed is told and not waited for.

The line that a cron job needs, for every tool and in both modes of close:
  filescomfs run /mnt/backup -- rsync -a /home/ /mnt/backup/home/";

/// Below the arguments of `reload`.
pub const RELOAD: &str = "\
The credentials are read where the mount found them: the same file, storage or environment of its process.
Exit code 0: they are good, and in use. Otherwise the mount goes on with those of before:
2 nothing to read, 3 refused, 4 Files.com could not be asked, 5 or 6 not good for this folder.

SIGHUP does the same, and says the outcome in the log.";

/// Below the options of `umount`.
pub const UMOUNT: &str = "\
Exit code 8: something is still owed, or that cannot be asked, and it is still mounted; or it is
unmounted (as with --lazy), and its process has not ended yet. Exit code 1: something else is mounted over
it, and stays.

Where /sbin/umount.filescomfs is a link to the program, plain umount of what root mounted does the same.";

/// Below the options of `test`.
pub const TEST: &str = "\
What is tested is what `mount` would do: with the options of the storage, too. Exit code 0: this is good for
a backup, as far as was looked; 6: the key may not write there, or not overwrite (--read-only asks for less).
This machine is looked at as well: FUSE, MOUNTPOINT, the local disk, descriptors.

Examples:
  filescomfs test mysite --api-key-file key
  filescomfs test vault:/backups --write";

/// Sections of the manual behind the options, as roff.
pub const MANUAL: &str = r#".SH "EXIT STATUS"
@EXIT_STATUS@
.PP
.BR mount (8)
knows 32 as "mount failure"; \fBmount.filescomfs\fR keeps the codes above, which mount(8) hands on.
.SH ENVIRONMENT
.TP
\fBFILES_API_KEY\fR
API key, where neither an option, nor the storage, nor systemd gives credentials.
.TP
\fBFILES_USERNAME\fR, \fBFILES_PASSWORD\fR
User name and password, where there is no key.
.TP
\fBCREDENTIALS_DIRECTORY\fR
Set by systemd (LoadCredential=): \fIfilescomfs.api\-key\fR holds the key alone, \fIfilescomfs\fR is as for \fB\-\-credentials\fR.
.TP
\fBFILESCOMFS_LOG\fR
What is logged: error, warn, info (default), debug, or a filter such as filescomfs::remote=debug.
.TP
\fBXDG_CONFIG_HOME\fR, \fBXDG_CACHE_HOME\fR, \fBXDG_STATE_HOME\fR, \fBXDG_RUNTIME_DIR\fR
Where users other than root keep the files below.
.TP
\fBHTTPS_PROXY\fR, \fBNO_PROXY\fR
The usual proxy settings.
.SH FILES
.TP
\fI/etc/filescomfs/config.toml\fR, \fI~/.config/filescomfs/config.toml\fR
Named storages; mode 0600. \fB[storage.NAME]\fR with \fBsite\fR, one of \fBapi_key_file\fR, \fBcredentials_file\fR, \fBapi_key\fR, \fBusername\fR with \fBpassword\fR, and optionally \fBfolder\fR and \fBoptions\fR (as after \fB\-o\fR).
.TP
\fI/var/lib/filescomfs/ID\fR, \fI~/.local/state/filescomfs/ID\fR
What is owed to Files.com, and the log. Not to be deleted.
.TP
\fI/var/cache/filescomfs/ID\fR, \fI~/.cache/filescomfs/ID\fR
What may be thrown away.
.TP
\fI/run/filescomfs\fR, \fI$XDG_RUNTIME_DIR/filescomfs\fR
Sockets by which \fBstatus\fR, \fBsync\fR, \fBrun\fR, \fBheld\fR, \fBrefresh\fR, \fBreload\fR and \fBumount\fR speak with mounts.
.TP
\fI/sbin/mount.filescomfs\fR, \fI/sbin/umount.filescomfs\fR
Links to the program, by which \fBmount\fR(8) and \fBumount\fR(8) call it.
.SH EXAMPLES
.nf
filescomfs test mysite:/backups \-\-api\-key\-file key \-\-write
filescomfs mount mysite:/backups /mnt/backup \-\-api\-key\-file key
filescomfs run /mnt/backup \-\- rsync \-a /home/ /mnt/backup/home/
filescomfs umount /mnt/backup
.fi
.PP
A line of \fI/etc/fstab\fR:
.PP
.nf
mysite:/backups /mnt/backup filescomfs api\-key\-file=/etc/filescomfs/key,_netdev 0 0
.fi
"#;
