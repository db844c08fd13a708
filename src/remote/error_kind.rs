//! Kinds of failure, and what each means for a system call and for a person.

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
    /// Something refused that is not Files.com: a proxy, a firewall, a portal. Tried again inside the call, a few times.
    Intercepted,
    /// The storage takes no part of this size: begin the upload afresh with parts of the size that was granted.
    PartSize,
    /// The storage compared a part with its MD5 and refused it: it was damaged on the way.
    Damaged,
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
    RateLimited EIO "Files.com limits the rate of requests. Lower --max-uploads, or try again later."
    Unavailable EIO "Files.com cannot do this at the moment. Try again later."
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
    Intercepted EIO "Something between this host and Files.com refused: a proxy, a firewall or a login page of the network. Let it pass requests to the site and to its storage. Data that is not yet uploaded is kept."
    PartSize EIO "The upload is begun afresh with smaller parts. If this stays, report it with the request id."
    Damaged EIO "The part is sent again. If this stays, something on the way changes bytes: the memory of this host, its network, or a proxy."
};

/// The row of a kind.
pub(super) fn row(kind: ErrorKind) -> &'static Row {
    // The table is in the order of the enum; a test holds it to that.
    &KINDS[kind as usize]
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
        assert_eq!(KINDS.len(), Damaged as usize + 1);
    }
}
