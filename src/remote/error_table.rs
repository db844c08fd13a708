//! Two tables: which kind of failure a type of the API is, and what each kind means for a system
//! call and for a person.
//!
//! Types are written `group/name`. A type that is not listed counts as its group, so that types
//! which the service adds later land somewhere sensible. HTTP statuses decide nothing where a type
//! is stated: the service has answered the same type with different statuses over the years.

use ErrorKind::*;

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Key, session or password refused.
    Authentication,
    /// The account wants a second factor, which no mount can give.
    SecondFactor,
    /// The site insists on another host.
    WrongHost,
    /// The caller may not do this here.
    Permission,
    /// Nothing may be changed: a read-only session, or a site whose files are immutable.
    ReadOnly,
    /// There is no such file or folder, or the caller may not know of it.
    NotFound,
    /// What answered is no Files.com site, or the site is gone.
    SiteNotFound,
    /// The host name has no address.
    HostUnknown,
    /// Something is there already.
    Exists,
    /// The folder that should hold it is missing.
    ParentMissing,
    /// The folder is not empty.
    NotEmpty,
    /// A folder, where a file was meant.
    IsFolder,
    /// A file, where a folder was meant.
    NotFolder,
    /// A folder cannot be moved into itself.
    IntoItself,
    /// Both ends are in different storage places: copy instead.
    CrossStorage,
    /// The service does not store this name.
    NameRefused,
    /// Name or path is too long.
    TooLong,
    /// A rule of the folder refuses files like this one.
    RuleRefused,
    /// Somebody has locked it.
    Locked,
    /// No room left in the storage.
    Quota,
    /// The account is overdue or its trial is over.
    Account,
    /// Too many requests; tried again inside the call.
    RateLimited,
    /// Cannot be done just now; tried again inside the call.
    Unavailable,
    /// A remote server mount, or a feature that this place does not have.
    Unsupported,
    /// The upload is forgotten or was refused as a whole: begin it afresh with all parts.
    UploadLost,
    /// The signed URL is not accepted any more: ask for another one. Callers bound how often.
    UrlExpired,
    /// The bytes at the other end are another version than the one that was opened.
    VersionChanged,
    /// The answer was lost after the call may have been carried out: look before doing it again.
    OutcomeUnknown,
    /// Larger than the service takes.
    TooLarge,
    /// The request is refused as malformed: a mistake of this program.
    BadRequest,
    /// The service gave up on the request for a reason of its own.
    Refused,
    /// No connection, or it broke; tried again inside the call.
    Network,
    /// Nothing came for too long; tried again inside the call.
    Timeout,
    /// No trusted encrypted connection.
    Tls,
    /// Plain http to a host that is not this one.
    PlainHttp,
    /// The answer was not understood.
    Protocol,
}

/// What one kind of failure means.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The kind.
    pub kind: ErrorKind,
    /// What a system call answers.
    pub errno: i32,
    /// Its name (`"EACCES"`), for documents.
    pub errno_name: &'static str,
    /// What a person can do about it: one or two sentences.
    pub remedy: &'static str,
}

macro_rules! rows {
    ($($kind:ident $errno:ident $remedy:literal)*) => {
        &[$(Row { kind: $kind, errno: libc::$errno, errno_name: stringify!($errno), remedy: $remedy }),*]
    };
}

/// Every kind with its errno and its remedy, in the order of [`ErrorKind`].
pub const KINDS: &[Row] = rows! {
    Authentication EACCES "Check the API key or password: it may be mistyped, disabled or expired. Data that is not yet uploaded is kept."
    SecondFactor EACCES "Use an API key: keys are not asked for a second factor."
    WrongHost EIO "Give the host that the site is served from as SOURCE."
    Permission EACCES "Ask the site's administrator for the missing permission on this folder, or use a key that has it."
    ReadOnly EROFS "Mount with --read-only, or use a key and a site that allow changes."
    NotFound ENOENT "Check the path. Files.com says 'not found' also where a permission is missing."
    SiteNotFound EIO "Check the site name: the subdomain alone (mysite), a custom domain of the site, or its full URL."
    HostUnknown EIO "Check the spelling of the site name and the name resolution of this host."
    Exists EEXIST "Remove or rename what is there."
    ParentMissing ENOENT "Create the parent folder first."
    NotEmpty ENOTEMPTY "Delete what the folder holds first."
    IsFolder EISDIR "Name a file."
    NotFolder ENOTDIR "Name a folder."
    IntoItself EINVAL "Choose a destination outside the folder that is moved."
    CrossStorage EXDEV "Copy and delete instead of moving; mv(1) does so by itself."
    NameRefused EINVAL "Rename the file: Files.com does not store this name."
    TooLong ENAMETOOLONG "Shorten the name or the path."
    RuleRefused EPERM "A folder setting refuses this file; change the setting or store it elsewhere."
    Locked EBUSY "Wait until the lock is released, or remove it in the web interface."
    Quota ENOSPC "Free space on Files.com or raise the quota."
    Account EDQUOT "The Files.com account is overdue or its trial has ended: settle it with Files.com."
    RateLimited EAGAIN "Files.com limits the rate of requests. Lower --max-uploads, or try again later."
    Unavailable EAGAIN "Files.com cannot do this at the moment. Try again later."
    Unsupported ENOTSUP "This folder is on a remote server mount, which lacks the feature. Use a folder in Files.com's own storage."
    UploadLost EIO "The upload is begun afresh. If this stays, report it with the request id."
    UrlExpired EIO "A fresh URL is asked for. If this stays, check the clock of this host."
    VersionChanged ESTALE "The file was changed elsewhere: open it again."
    OutcomeUnknown EIO "The outcome is looked up before anything is repeated. Data that is not yet uploaded is kept."
    TooLarge EFBIG "The file is larger than Files.com takes."
    BadRequest EIO "Files.com did not accept the request. Please report this with the request id."
    Refused EIO "Files.com could not process this. Try again later; if it stays, give the request id to its support."
    Network EIO "Check the network connection of this host, and status.files.com."
    Timeout ETIMEDOUT "Check the network connection of this host, or raise --network-timeout."
    Tls EIO "Check the site name, the clock of this host and its CA certificates; a proxy may intercept the connection."
    PlainHttp EIO "Use https. Plain http would show the key to the network; --allow-http insists on it."
    Protocol EIO "The answer was not one of Files.com's API. Check the site name; a proxy may have answered in its place."
};

/// The row of a kind.
pub(super) fn row(kind: ErrorKind) -> &'static Row {
    // The table is in the order of the enum; a test holds it to that.
    &KINDS[kind as usize]
}

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
    ("bad-request/invalid-upload-part-size", UploadLost),
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
    // Trying again would only prolong it.
    ("rate-limited/too-many-login-attempts", Authentication),
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
    ("BadDigest", Unavailable),
    ("BlobNotFound", VersionChanged),
    ("DatabaseTimeout", Unavailable),
    ("EntityTooLarge", TooLarge),
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
        404 => NotFound,
        400 | 405 | 409 | 422 => Refused,
        other => status_kind(other),
    }
}

/// The kind of an answer that is not in a form of the service.
pub(super) fn status_kind(status: u16) -> ErrorKind {
    match status {
        401 => Authentication,
        403 => Permission,
        404 | 405 => SiteNotFound,
        408 | 500 | 502..=504 | 509 => Unavailable,
        412 | 416 => VersionChanged,
        413 => TooLarge,
        429 => RateLimited,
        300..=399 => WrongHost,
        _ => Protocol,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_row_at_its_place() {
        for (place, row) in KINDS.iter().enumerate() {
            assert_eq!(row.kind as usize, place, "{:?}", row.kind);
            assert!(row.remedy.ends_with('.'), "{:?}: a remedy is a sentence", row.kind);
        }
        assert_eq!(KINDS.len(), Protocol as usize + 1);
    }

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
