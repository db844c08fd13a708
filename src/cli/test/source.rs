//! Is SOURCE what is meant, and does it make an address?

use url::Url;

use super::check::Checklist;
use crate::cli::exit_codes::{ExitCode, Failure};
use crate::config::{ConfigError, Source, Spelling};

/// Tells how the source is understood, and remarks on a spelling that says more than is needed.
pub fn understood(source: &Source, base: &Url, checks: &mut Checklist<'_>) {
    let meant = match &source.storage {
        Some(name) => format!("storage {name}: {base} folder {}", source.folder),
        None => format!("{base} folder {}", source.folder),
    };
    let subdomain = base.host_str().and_then(|host| host.split('.').next()).unwrap_or_default();
    match source.spelling {
        Spelling::FilesUrl => checks.warn(
            "source",
            format!("{meant} (given as a full URL)"),
            format!("Works; the subdomain alone is meant: {subdomain}"),
        ),
        Spelling::FilesDomain => checks.warn(
            "source",
            format!("{meant} (given with .files.com)"),
            format!("Works; the subdomain alone is meant: {subdomain}"),
        ),
        Spelling::Subdomain | Spelling::CustomDomain | Spelling::Url => checks.good("source", meant),
    }
}

/// A source that makes no address, or credentials that cannot be read.
pub fn refused(name: &'static str, error: ConfigError, checks: &mut Checklist<'_>) {
    let remedy = match &error {
        ConfigError::Site(_) => "SOURCE is NAME[:/FOLDER], and NAME a subdomain such as mysite.",
        _ => "See filescomfs mount --help.",
    };
    let Failure { code, message } = error.into();
    debug_assert_ne!(code, ExitCode::Done);
    checks.bad(name, code, message, remedy);
}
