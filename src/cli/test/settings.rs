//! Settings of the site that matter to a backup, where the caller may read them.

use super::check::Checklist;
use super::service::Service;
use crate::remote::{Checksums, ErrorKind};

/// How checksums are switched on.
pub const ENABLE_CHECKSUMS: &str = "Enable MD5 in Data Governance → File Integrity. Until then a close is \
                                    verified through the storage's ETags.";
/// How given times are switched on.
pub const ENABLE_TIMES: &str = "Let uploaders set the modification time in the site's settings; else rsync \
                                sends files again on each run unless metadata is kept.";

/// Reads the settings; where that is not allowed, `--write` judges by behaviour.
pub async fn check<S: Service>(
    service: &S,
    learned: Option<Checksums>,
    write: bool,
    checks: &mut Checklist<'_>,
) {
    let site = match service.site().await {
        Ok(site) => site,
        Err(refusal) => {
            if let Some(learned) = learned {
                tell_checksums(learned, checks);
            }
            let why = match refusal.kind {
                ErrorKind::Permission => "only an administrator may read them".to_owned(),
                _ => refusal.detail,
            };
            if write {
                checks.good("settings", format!("{why}; judged by behaviour below"));
            } else {
                checks.warn("settings", why, "Add --write: a small file shows how the site behaves.");
            }
            return;
        }
    };
    tell_checksums(site.checksums, checks);
    match site.use_provided_modified_at {
        Some(false) => checks.warn("times", "given modification times are not kept", ENABLE_TIMES),
        Some(true) => checks.good("times", "given modification times are kept"),
        None => {}
    }
    if site.immutable_since.is_some() {
        let remedy = "Backups that only add files work. Do not prune, and do not rewrite files in place.";
        checks.warn("immutable", "files can be neither changed nor deleted", remedy);
    }
}

fn tell_checksums(checksums: Checksums, checks: &mut Checklist<'_>) {
    match (checksums.md5, checksums.crc32) {
        (Some(true), _) => checks.good("checksums", "MD5 is on"),
        (Some(false), Some(true)) => checks.warn("checksums", "CRC32 alone is on", ENABLE_CHECKSUMS),
        (Some(false), _) if checksums.legacy == Some(true) => {
            checks.warn("checksums", "left to an older rule of the site", ENABLE_CHECKSUMS);
        }
        (Some(false), _) => checks.warn("checksums", "checksums are not enabled", ENABLE_CHECKSUMS),
        (None, _) => {}
    }
}
