//! `--write`: what the site does with a small file, from its upload to its end.
//!
//! The file is `.filescomfs-test-XXXXXX`. It is deleted whatever happens in between, as far as the
//! caller may delete.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::check::Checklist;
use super::service::{Refusal, Service, Uploaded};
use super::settings::{ENABLE_CHECKSUMS, ENABLE_TIMES};
use crate::cli::exit_codes::ExitCode;
use crate::model::digest::{Crc32, ETag, Md5};
use crate::model::entry::Entry;
use crate::model::moment::Moment;
use crate::model::path::RemotePath;
use crate::remote::ErrorKind;

const SIZE: usize = 1024;
/// 9 September 2001: long ago, so that no clock gives it by chance.
const MTIME: Moment = Moment::from_seconds(1_000_000_000);
const METADATA: (&str, &str) = ("filescomfs.test", "kept");
/// Pauses between looks for the MD5, 5 seconds in all.
pub const PAUSES: &[Duration] = &[
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1500),
    Duration::from_millis(2000),
];

/// The probe file and where it may be.
pub struct Probe {
    name: RemotePath,
    renamed: RemotePath,
    /// Set before the completion that makes the file, so that an interruption leaves nothing.
    may_exist: bool,
    pauses: &'static [Duration],
}

impl Probe {
    /// A probe in `folder`, under a name that nobody uses.
    pub fn new(folder: &RemotePath, pauses: &'static [Duration]) -> Self {
        let name = format!(".filescomfs-test-{:06x}", rand::random::<u32>() & 0xff_ffff);
        let renamed = folder.join(&format!("{name}-renamed"));
        Self { name: folder.join(&name), renamed, may_exist: false, pauses }
    }

    /// Everything but the end. May be dropped at any await; [`Self::clean_up`] follows.
    pub async fn run<S: Service>(&mut self, service: &S, checks: &mut Checklist<'_>) {
        self.may_exist = true;
        let first = content(1);
        let Some(uploaded) = self.upload(service, &first, checks).await else { return };
        if !proven(&uploaded, &first, checks) {
            return;
        }
        self.digests(service, &uploaded.entry, &first, checks).await;
        kept(&uploaded.entry, checks);
        let second = content(2);
        let expected = match self.overwrite(service, &second, checks).await {
            true => second,
            false => first,
        };
        let place = match service.rename(&self.name, &self.renamed).await {
            Ok(()) => {
                checks.good("rename", "works");
                &self.renamed
            }
            Err(refusal) => {
                without("rename", refusal, "Programs that rename published files fail.", checks);
                &self.name
            }
        };
        read_back(service, place, &expected, checks).await;
    }

    async fn upload<S: Service>(
        &self,
        service: &S,
        bytes: &Bytes,
        checks: &mut Checklist<'_>,
    ) -> Option<Uploaded> {
        let metadata = BTreeMap::from([(METADATA.0.to_owned(), METADATA.1.to_owned())]);
        match service.upload(&self.name, bytes.clone(), MTIME, metadata).await {
            Ok(uploaded) => Some(uploaded),
            Err(refusal) => {
                let denied = matches!(refusal.kind, ErrorKind::Permission | ErrorKind::ReadOnly);
                let sentence = if denied { "permission denied: " } else { "" };
                let detail = format!("{sentence}{}", refusal.detail);
                checks.bad("write", refusal.kind.into(), detail, refusal.remedy);
                None
            }
        }
    }

    /// Does the site state digests, which, and after how long?
    async fn digests<S: Service>(
        &self,
        service: &S,
        completed: &Entry,
        sent: &Bytes,
        checks: &mut Checklist<'_>,
    ) {
        let begun = Instant::now();
        let mut entry = completed.clone();
        for pause in self.pauses {
            if entry.md5.is_some() {
                break;
            }
            tokio::time::sleep(*pause).await;
            match service.stat(&self.name).await {
                Ok(Some(now)) => entry = now,
                Ok(None) => {}
                Err(refusal) => {
                    checks.warn("checksums", refusal.detail, refusal.remedy);
                    return;
                }
            }
        }
        let seconds = begun.elapsed().as_secs_f32();
        let crc32 = match entry.crc32 {
            Some(crc32) if crc32 != Crc32(crc32fast::hash(sent)) => {
                mismatch("checksums", "the CRC32 that Files.com states", checks);
                return;
            }
            Some(_) => "CRC32 too",
            None => "no CRC32",
        };
        match entry.md5 {
            Some(md5) if md5 != Md5::of(sent) => {
                mismatch("checksums", "the MD5 that Files.com states", checks)
            }
            Some(_) => {
                checks.good("checksums", format!("MD5 is stated after {seconds:.1} s, and is right; {crc32}"))
            }
            None => {
                let detail = format!("checksums are not enabled: no MD5 within {seconds:.1} s; {crc32}");
                checks.warn("checksums", detail, ENABLE_CHECKSUMS);
            }
        }
    }

    async fn overwrite<S: Service>(&self, service: &S, bytes: &Bytes, checks: &mut Checklist<'_>) -> bool {
        match service.upload(&self.name, bytes.clone(), MTIME, BTreeMap::new()).await {
            Ok(_) => {
                checks.good("overwrite", "works");
                true
            }
            Err(refusal) => {
                let remedy = format!(
                    "Programs that rewrite files fail, and a file that changed is not backed up again. {}",
                    refusal.remedy
                );
                checks.bad("overwrite", refusal.kind.into(), refusal.detail, remedy);
                false
            }
        }
    }

    /// Deletes the file under both of its names.
    pub async fn clean_up<S: Service>(&self, service: &S, checks: &mut Checklist<'_>) {
        if !self.may_exist {
            return;
        }
        for path in [&self.name, &self.renamed] {
            // Asked first: a file that is not there cannot show whether deleting is allowed.
            let deleted = match service.stat(path).await {
                Ok(None) => continue,
                Ok(Some(_)) => service.delete(path).await,
                Err(refusal) => Err(refusal),
            };
            match deleted {
                Ok(()) => checks.good("delete", "works; the test file is gone"),
                Err(refusal) => {
                    let left = format!("The test file {path} may be left. Programs that prune fail.");
                    without("delete", refusal, &left, checks);
                }
            }
        }
    }
}

fn content(version: u8) -> Bytes {
    let mut bytes = vec![version; SIZE];
    bytes[..16].copy_from_slice(&rand::random::<[u8; 16]>());
    bytes.into()
}

/// Is the file that was completed the one that was sent?
fn proven(uploaded: &Uploaded, sent: &Bytes, checks: &mut Checklist<'_>) -> bool {
    if uploaded.entry.size != sent.len() as u64 {
        mismatch("write", "the size that Files.com states", checks);
        return false;
    }
    match &uploaded.etag {
        ETag::Md5(md5) if *md5 == Md5::of(sent) => {
            checks.good("write", "1 KiB uploaded; the storage's ETag is its MD5");
            true
        }
        ETag::Md5(_) => {
            mismatch("write", "the MD5 that the storage answered", checks);
            false
        }
        ETag::Compared(_) => {
            checks.good("write", "1 KiB uploaded; the storage compared its MD5");
            true
        }
        ETag::Composite { .. } | ETag::Opaque(_) => {
            let remedy = "Enable MD5 in Data Governance → File Integrity, or use a folder in Files.com's own \
                          storage: here a close has only a weak proof.";
            checks.warn("write", "1 KiB uploaded; the storage's ETag is no MD5", remedy);
            true
        }
    }
}

fn kept(entry: &Entry, checks: &mut Checklist<'_>) {
    match entry.provided {
        Some(mtime) if mtime == MTIME => checks.good("times", "the given modification time is kept"),
        _ => checks.warn("times", "the given modification time is not kept", ENABLE_TIMES),
    }
    match entry.metadata.get(METADATA.0).map(String::as_str) {
        Some(value) if value == METADATA.1 => checks.good("metadata", "kept at the upload"),
        _ => checks.warn(
            "metadata",
            "not kept at the upload",
            "Modes and owners cost one more API call per file; --metadata=mtime does without.",
        ),
    }
}

async fn read_back<S: Service>(service: &S, path: &RemotePath, sent: &Bytes, checks: &mut Checklist<'_>) {
    match service.read(path).await {
        Ok(bytes) if bytes == *sent => checks.good("read", "what comes back is what was sent"),
        Ok(_) => mismatch("read", "what comes back", checks),
        Err(refusal) => {
            let code = ExitCode::from(refusal.kind);
            checks.bad("read", code, refusal.detail, refusal.remedy);
        }
    }
}

fn mismatch(name: &'static str, what: &str, checks: &mut Checklist<'_>) {
    let remedy = "Run the test again. If this stays, something between this host and Files.com changes data: \
                  do not trust it with a backup.";
    checks.bad(
        name,
        ExitCode::Verification,
        format!("checksum mismatch: {what} is not what was sent"),
        remedy,
    );
}

/// A right that some backups do without.
fn without(name: &'static str, refusal: Refusal, consequence: &str, checks: &mut Checklist<'_>) {
    checks.warn(name, refusal.detail, format!("{consequence} {}", refusal.remedy));
}
