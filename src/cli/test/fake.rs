//! A service of the imagination, and the checklist against it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::Plan;
use super::check::{Check, Checklist, Verdict};
use super::service::{Refusal, Service, Uploaded};
use crate::cli::exit_codes::ExitCode;
use crate::model::digest::{ETag, Md5};
use crate::model::entry::{Entry, Kind};
use crate::model::moment::Moment;
use crate::model::path::RemotePath;
use crate::remote::{ApiKey, ErrorKind, Session, Site};

/// Files, and the calls that are refused.
#[derive(Default)]
struct Fake {
    files: RefCell<BTreeMap<RemotePath, Vec<u8>>>,
    refused: BTreeMap<&'static str, ErrorKind>,
    states_md5: bool,
    forgets_times: bool,
    flips_a_byte: bool,
    hangs_on_rename: bool,
    key: ApiKey,
}

impl Fake {
    fn refusing(call: &'static str, kind: ErrorKind) -> Self {
        Self { refused: [(call, kind)].into(), states_md5: true, ..Self::default() }
    }

    fn allow(&self, call: &str) -> Result<(), Refusal> {
        match self.refused.get(call) {
            Some(kind) => {
                Err(Refusal { kind: *kind, detail: format!("{call} refused"), remedy: "fix it".to_owned() })
            }
            None => Ok(()),
        }
    }

    fn entry(&self, path: &RemotePath, kind: Kind, bytes: &[u8]) -> Entry {
        Entry { kind, size: bytes.len() as u64, ..Entry::folder(path.name().to_owned()) }
    }
}

impl Service for Fake {
    async fn api_key(&self) -> Result<ApiKey, Refusal> {
        self.allow("api_key").map(|()| self.key.clone())
    }
    async fn log_in(&self) -> Result<Session, Refusal> {
        self.allow("log_in").map(|()| Session::default())
    }
    async fn site(&self) -> Result<Site, Refusal> {
        self.allow("site").map(|()| Site::default())
    }
    fn clock_skew(&self) -> Option<i64> {
        Some(0)
    }
    async fn probe_list(&self, _: &RemotePath) -> Result<(), Refusal> {
        self.allow("list")
    }
    async fn stat(&self, path: &RemotePath) -> Result<Option<Entry>, Refusal> {
        self.allow("stat")?;
        if path.name() == "backups" {
            return Ok(Some(self.entry(path, Kind::Folder, b"")));
        }
        Ok(self.files.borrow().get(path).map(|bytes| {
            let md5 = self.states_md5.then(|| Md5::of(bytes));
            Entry { md5, ..self.entry(path, Kind::File, bytes) }
        }))
    }
    async fn upload(
        &self,
        path: &RemotePath,
        bytes: Bytes,
        mtime: Moment,
        metadata: BTreeMap<String, String>,
    ) -> Result<Uploaded, Refusal> {
        let there = self.files.borrow().contains_key(path);
        self.allow(if there { "overwrite" } else { "upload" })?;
        let mut stored = bytes.to_vec();
        if self.flips_a_byte {
            stored[7] ^= 1;
        }
        let provided = (!self.forgets_times).then_some(mtime);
        let entry = Entry { provided, metadata, ..self.entry(path, Kind::File, &stored) };
        let etag = ETag::Md5(Md5::of(&stored));
        self.files.borrow_mut().insert(path.clone(), stored);
        Ok(Uploaded { entry, etag })
    }
    async fn rename(&self, from: &RemotePath, to: &RemotePath) -> Result<(), Refusal> {
        self.allow("rename")?;
        let file = self.files.borrow_mut().remove(from);
        self.files.borrow_mut().extend(file.map(|file| (to.clone(), file)));
        if self.hangs_on_rename {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
    async fn read(&self, path: &RemotePath) -> Result<Vec<u8>, Refusal> {
        self.allow("read")?;
        Ok(self.files.borrow().get(path).cloned().unwrap_or_default())
    }
    async fn delete(&self, path: &RemotePath) -> Result<(), Refusal> {
        self.allow("delete")?;
        self.files.borrow_mut().remove(path);
        Ok(())
    }
}

const NO_PAUSE: &[Duration] = &[Duration::ZERO; 2];

/// The lines and the exit code of `test --write` against this service.
async fn tested(fake: &Fake) -> (Vec<Check>, ExitCode) {
    tested_until(fake, std::future::pending()).await
}

async fn tested_until(fake: &Fake, stop: impl Future<Output = ()>) -> (Vec<Check>, ExitCode) {
    let mut checks = Checklist::new(|_| {});
    let folder = RemotePath::parse("backups").unwrap();
    let plan =
        Plan { folder, has_key: true, encrypted: true, write: true, read_only: false, pauses: NO_PAUSE };
    super::stages(fake, &plan, stop, &mut checks).await;
    (checks.checks().to_vec(), checks.code())
}

fn line<'a>(checks: &'a [Check], name: &str) -> &'a Check {
    checks.iter().find(|check| check.name == name).unwrap_or_else(|| panic!("no line {name} in {checks:?}"))
}

#[tokio::test]
async fn a_good_site_passes_and_keeps_nothing() {
    let fake = Fake { states_md5: true, ..Fake::default() };
    let (checks, code) = tested(&fake).await;
    assert_eq!(code, ExitCode::Done);
    assert!(checks.iter().all(|check| check.verdict == Verdict::Good), "{checks:?}");
    for name in [
        "site",
        "clock",
        "credentials",
        "folder",
        "write",
        "checksums",
        "overwrite",
        "rename",
        "read",
        "delete",
    ] {
        line(&checks, name);
    }
    assert!(fake.files.borrow().is_empty());
}

#[tokio::test]
async fn the_common_failures_have_their_own_sentence_and_code() {
    for (call, kind, name, sentence, code) in [
        (
            "api_key",
            ErrorKind::Authentication,
            "credentials",
            "authentication failure",
            ExitCode::Authentication,
        ),
        ("api_key", ErrorKind::SiteNotFound, "site", "site not found", ExitCode::Site),
        ("api_key", ErrorKind::HostUnknown, "site", "its name has no address", ExitCode::Site),
        ("api_key", ErrorKind::Protocol, "site", "no Files.com site", ExitCode::Site),
        ("api_key", ErrorKind::Tls, "site", "trusted", ExitCode::Site),
        ("list", ErrorKind::Permission, "folder", "permission denied", ExitCode::Permission),
        ("list", ErrorKind::NotFound, "folder", "folder not found", ExitCode::Folder),
        ("upload", ErrorKind::Permission, "write", "permission denied", ExitCode::Permission),
    ] {
        let (checks, found) = tested(&Fake::refusing(call, kind)).await;
        let line = line(&checks, name);
        assert_eq!((found, line.verdict), (code, Verdict::Bad(code)), "{call} {kind:?}");
        assert!(line.detail.contains(sentence), "{}", line.detail);
        assert!(line.remedy.is_some());
    }
}

#[tokio::test]
async fn a_changed_byte_is_a_checksum_mismatch_and_leaves_nothing() {
    let fake = Fake { flips_a_byte: true, ..Fake::default() };
    let (checks, code) = tested(&fake).await;
    assert_eq!(code, ExitCode::Verification);
    assert!(line(&checks, "write").detail.contains("checksum mismatch"));
    assert!(fake.files.borrow().is_empty());
}

#[tokio::test]
async fn checksums_that_are_off_and_times_that_are_lost_are_warnings_with_a_remedy() {
    let (checks, code) = tested(&Fake { forgets_times: true, ..Fake::default() }).await;
    assert_eq!(code, ExitCode::Done);
    let checksums = line(&checks, "checksums");
    assert_eq!(checksums.verdict, Verdict::Warning);
    assert!(checksums.remedy.as_ref().unwrap().contains("Data Governance"));
    assert_eq!(line(&checks, "times").verdict, Verdict::Warning);
}

#[tokio::test]
async fn a_site_without_rename_and_delete_still_takes_backups() {
    for call in ["rename", "delete"] {
        let (checks, code) = tested(&Fake::refusing(call, ErrorKind::Permission)).await;
        assert_eq!((code, line(&checks, call).verdict), (ExitCode::Done, Verdict::Warning), "{call}");
        assert_eq!(line(&checks, "read").verdict, Verdict::Good, "{call}");
    }
}

#[tokio::test]
async fn a_site_that_lets_nothing_be_overwritten_takes_no_second_backup() {
    let (checks, code) = tested(&Fake::refusing("overwrite", ErrorKind::Permission)).await;
    assert_eq!(code, ExitCode::Permission);
    assert_eq!(line(&checks, "overwrite").verdict, Verdict::Bad(ExitCode::Permission));
    assert_eq!(line(&checks, "read").verdict, Verdict::Good, "the rest is looked at all the same");
}

#[tokio::test]
async fn an_interrupted_test_leaves_nothing() {
    let fake = Fake { states_md5: true, hangs_on_rename: true, ..Fake::default() };
    // The first look finds nothing to stop; the probe then hangs, and the next one stops it.
    let stop = async {
        while !fake.files.borrow().keys().any(|path| path.name().ends_with("-renamed")) {
            tokio::task::yield_now().await;
        }
    };
    let (checks, code) = tested_until(&fake, stop).await;
    assert_eq!(code, ExitCode::Failed);
    line(&checks, "interrupted");
    assert!(fake.files.borrow().is_empty());
}

#[tokio::test]
async fn a_key_that_ends_soon_is_told() {
    let now = Moment::from(std::time::SystemTime::now()).seconds;
    for (days, verdict) in [
        (-1, Verdict::Bad(ExitCode::Authentication)),
        (3, Verdict::Warning),
        (29, Verdict::Warning),
        (90, Verdict::Good),
    ] {
        let expires_at = Some(Moment::from_seconds(now + days * 86400 + 60));
        let key = ApiKey { expires_at, ..ApiKey::default() };
        let (checks, _) = tested(&Fake { states_md5: true, key, ..Fake::default() }).await;
        assert_eq!(line(&checks, "expiry").verdict, verdict, "{days}");
    }
}
