//! Which kind of failure a type of the API, a code of the storage or a bare status is.
//!
//! Types are written `group/name`. A type that is not listed counts as its group, so that types
//! which the service adds later land somewhere sensible. HTTP statuses decide nothing where a type
//! is stated: the service has answered the same type with different statuses over the years.

use super::error_kind::ErrorKind::{self, *};

/// Types of the API, and the kind of failure each is. A name without `/` is a group, or one of the
/// few types that have none.
pub const API_TYPES: &[(&str, ErrorKind)] = &[
    ("bad-request", BadRequest),
    ("bad-request/cannot-download-directory", IsFolder),
    ("bad-request/cant-move-with-multiple-locations", CrossStorage),
    ("bad-request/destination-same", Exists),
    ("bad-request/destination-site-mismatch", CrossStorage),
    ("bad-request/folder-must-not-be-a-file", NotFolder),
    ("bad-request/folders-not-allowed", IsFolder),
    ("bad-request/invalid-etags", UploadLost),
    ("bad-request/invalid-input-encoding", NameRefused),
    ("bad-request/invalid-path", NameRefused),
    ("bad-request/invalid-upload-offset", UploadLost),
    ("bad-request/invalid-upload-part-gap", UploadLost),
    ("bad-request/invalid-upload-part-size", PartSize),
    ("bad-request/part-number-too-large", TooLarge),
    ("bad-request/path-cannot-have-trailing-whitespace", NameRefused),
    ("bad-request/request-body-too-large", TooLarge),
    ("bad-request/request-params-contain-invalid-character", NameRefused),
    ("download_request_expired", UrlExpired),
    ("not-authenticated", Authentication),
    ("not-authenticated/additional-authentication-required", SecondFactor),
    ("not-authenticated/lockout-region-mismatch", WrongHost),
    ("not-authenticated/one-time-password-incorrect", SecondFactor),
    ("not-authenticated/two-factor-authentication-error", SecondFactor),
    ("not-authorized", Permission),
    ("not-authorized/api-key-is-disabled", Authentication),
    ("not-authorized/password-change-required", Authentication),
    ("not-authorized/read-only-session", ReadOnly),
    ("not-authorized/site-files-are-immutable", ReadOnly),
    ("not-authorized/two-factor-authentication-required", SecondFactor),
    ("not-found", NotFound),
    ("not-found/file-upload-not-found", UploadLost),
    ("not-found/site-not-found", SiteNotFound),
    ("processing-failure", Refused),
    ("processing-failure/agent-unavailable", Unavailable),
    ("processing-failure/already-completed", OutcomeUnknown),
    ("processing-failure/behavior-not-allowed-on-remote-server", Unsupported),
    ("processing-failure/buffered-upload-disabled-for-this-destination", Unsupported),
    ("processing-failure/configuration-locked-path", Locked),
    ("processing-failure/could-not-create-parent", ParentMissing),
    ("processing-failure/destination-exists", Exists),
    ("processing-failure/destination-folder-limited", RuleRefused),
    ("processing-failure/destination-parent-conflict", IntoItself),
    ("processing-failure/destination-parent-does-not-exist", ParentMissing),
    ("processing-failure/download-identity-unavailable", VersionChanged),
    ("processing-failure/file-locked", Locked),
    ("processing-failure/file-not-uploaded", UploadLost),
    ("processing-failure/file-pending-processing", Unavailable),
    ("processing-failure/file-too-big-to-decrypt", TooLarge),
    ("processing-failure/file-too-big-to-encrypt", TooLarge),
    ("processing-failure/file-uploaded-to-wrong-region", UploadLost),
    ("processing-failure/filename-too-long", TooLong),
    ("processing-failure/folder-locked", Locked),
    ("processing-failure/folder-not-empty", NotEmpty),
    ("processing-failure/invalid-file-type", RuleRefused),
    ("processing-failure/invalid-filename", NameRefused),
    ("processing-failure/metadata-not-supported-on-remotes", Unsupported),
    ("processing-failure/path-too-long", TooLong),
    ("processing-failure/remote-entry-read-only", ReadOnly),
    ("processing-failure/resource-locked", Locked),
    ("processing-failure/subfolder-locked", Locked),
    ("processing-failure/sync-in-progress", Locked),
    ("processing-failure/updates-not-allowed-for-remotes", Unsupported),
    ("rate-limited", RateLimited),
    ("service-unavailable", Unavailable),
    ("site-configuration", Account),
    ("site-configuration/no-account-for-site", SiteNotFound),
    ("site-configuration/site-was-removed", SiteNotFound),
    ("upload_request_expired", UrlExpired),
];

/// Codes of the storage's XML errors. A refused signature is one that ran out, as far as anyone can
/// tell from here: asking for a fresh URL settles it, or not.
pub const STORAGE_CODES: &[(&str, ErrorKind)] = &[
    ("AccessDenied", UrlExpired),
    ("AuthenticationFailed", UrlExpired),
    ("BadDigest", Damaged),
    ("BlobNotFound", VersionChanged),
    ("DatabaseTimeout", Unavailable),
    ("EntityTooLarge", PartSize),
    ("EntityTooSmall", UploadLost),
    ("ExpiredToken", UrlExpired),
    ("InternalError", Unavailable),
    ("InvalidPart", UploadLost),
    ("InvalidRange", VersionChanged),
    ("NoSuchKey", VersionChanged),
    ("NoSuchUpload", UploadLost),
    ("PreconditionFailed", VersionChanged),
    ("RequestLimitExceeded", RateLimited),
    ("RequestTimeout", Unavailable),
    ("ServiceUnavailable", Unavailable),
    ("SignatureDoesNotMatch", UrlExpired),
    ("SlowDown", RateLimited),
    ("StorageQuotaExceeded", Quota),
    ("TemporarilyUnavailable", Unavailable),
];

/// The kind of a type of the API: its own row, else that of its group.
pub(super) fn api_kind(api_type: &str) -> Option<ErrorKind> {
    let find = |wanted: &str| API_TYPES.iter().find(|(name, _)| *name == wanted).map(|(_, kind)| *kind);
    find(api_type).or_else(|| find(api_type.split_once('/')?.0))
}

/// The kind of a code of the storage.
pub(super) fn storage_kind(code: &str) -> Option<ErrorKind> {
    STORAGE_CODES.iter().find(|(name, _)| *name == code).map(|(_, kind)| *kind)
}

/// The kind of an answer in the service's own form whose type is not known. Its 404 is a missing file,
/// while the 404 of a stranger tells nothing about files.
pub(super) fn untyped_kind(status: u16) -> ErrorKind {
    match status {
        401 => Authentication,
        403 => Permission,
        404 => NotFound,
        400 | 405 | 409 | 422 => Refused,
        413 => TooLarge,
        other => status_kind(other),
    }
}

/// The kind of an answer that is not in a form of the service. What a stranger refuses says nothing of the key, of
/// permissions or of a file: whoever answers may be in the way today and gone tomorrow.
pub(super) fn status_kind(status: u16) -> ErrorKind {
    match status {
        401 | 403 | 407 | 413 | 451 | 511 => Intercepted,
        404 | 405 => SiteNotFound,
        408 | 500 | 502..=504 | 509 => Unavailable,
        412 | 416 => VersionChanged,
        429 => RateLimited,
        300..=399 => WrongHost,
        _ => Protocol,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_type_is_listed_twice() {
        for table in [API_TYPES, STORAGE_CODES] {
            assert!(table.windows(2).all(|pair| pair[0].0 < pair[1].0), "the tables are sorted");
        }
    }

    #[test]
    fn an_unknown_type_counts_as_its_group() {
        assert_eq!(api_kind("not-found/nested-not-found"), Some(NotFound));
        assert_eq!(api_kind("not-authorized/something-new"), Some(Permission));
        assert_eq!(api_kind("not-found/file-upload-not-found"), Some(UploadLost));
        assert_eq!(api_kind("brand-new/thing"), None);
    }
}
