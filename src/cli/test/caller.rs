//! Is the site there, do the clocks agree, and who are we to it?

use super::Plan;
use super::check::Checklist;
use super::service::{Refusal, Service};
use crate::cli::exit_codes::ExitCode;
use crate::model::moment::Moment;
use crate::remote::{ApiKey, Checksums, ErrorKind, Session};

/// Signed URLs live for 60 seconds: clocks that differ by more break downloads.
const BEARABLE_SKEW: u64 = 30;
/// From here on the end of a key is told.
const SOON_DAYS: i64 = 30;
const DAY: i64 = 86400;

/// What the login tells of the site's checksums, where it was one.
pub type LearnedChecksums = Option<Checksums>;

/// Asks the first question. `None`: nothing further can be asked.
pub async fn check<S: Service>(
    service: &S,
    plan: &Plan,
    now: Moment,
    checks: &mut Checklist<'_>,
) -> Option<LearnedChecksums> {
    if plan.has_key {
        let key = service.api_key().await;
        reached(service, plan, key.as_ref().err(), checks)?;
        match key {
            Ok(key) => tell_key(&key, now, checks),
            Err(refusal) => return refused(refusal, checks),
        }
        return Some(None);
    }
    let session = service.log_in().await;
    reached(service, plan, session.as_ref().err(), checks)?;
    match session {
        Ok(session) => {
            tell_session(&session, plan.read_only, checks);
            Some(Some(session.checksums))
        }
        Err(refusal) => refused(refusal, checks),
    }
}

/// `None` where the site did not answer as a site of Files.com does.
fn reached<S: Service>(
    service: &S,
    plan: &Plan,
    refusal: Option<&Refusal>,
    checks: &mut Checklist<'_>,
) -> Option<()> {
    if let Some(refusal) = refusal
        && let Some(sentence) = unreachable(refusal.kind)
    {
        let code = match refusal.kind {
            ErrorKind::PlainHttp => ExitCode::Usage,
            _ => ExitCode::Site,
        };
        checks.bad("site", code, format!("{sentence}: {}", refusal.detail), &refusal.remedy);
        return None;
    }
    let connection = if plan.encrypted { "over TLS, with a trusted certificate" } else { "not encrypted" };
    checks.good("site", format!("reached, {connection}"));
    match service.clock_skew() {
        Some(skew) if skew.unsigned_abs() > BEARABLE_SKEW => checks.warn(
            "clock",
            format!(
                "this host's clock is {} s {}",
                skew.unsigned_abs(),
                if skew > 0 { "slow" } else { "fast" }
            ),
            "Let the clock be set by NTP: signed URLs live for a minute.",
        ),
        Some(skew) => checks.good("clock", format!("agrees ({skew:+} s)")),
        None => {}
    }
    Some(())
}

/// The ways in which a site cannot be spoken with, told apart.
fn unreachable(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::HostUnknown => "site not found: its name has no address",
        ErrorKind::SiteNotFound | ErrorKind::NotFound | ErrorKind::Protocol => {
            "site not found: what answers there is no Files.com site"
        }
        ErrorKind::WrongHost => "the site is served from another host",
        ErrorKind::Tls => "no trusted encrypted connection",
        ErrorKind::Timeout => "no answer in time",
        ErrorKind::Network => "no connection",
        ErrorKind::Intercepted => "something that is not Files.com refused",
        ErrorKind::Unavailable => "the site cannot answer at the moment",
        ErrorKind::PlainHttp => "plain http is refused",
        _ => return None,
    })
}

fn refused(refusal: Refusal, checks: &mut Checklist<'_>) -> Option<LearnedChecksums> {
    let sentence = match refusal.kind {
        ErrorKind::Authentication => "authentication failure",
        ErrorKind::SecondFactor => "authentication failure: a second factor is wanted",
        ErrorKind::Permission => "permission denied",
        _ => "not accepted",
    };
    let detail = format!("{sentence}: {}", refusal.detail);
    checks.bad("credentials", refusal.kind.into(), detail, refusal.remedy);
    None
}

fn tell_key(key: &ApiKey, now: Moment, checks: &mut Checklist<'_>) {
    let mut text = format!("API key {:?}", key.name.as_deref().unwrap_or("without a name"));
    for (word, value) in [
        (", permission set ", &key.permission_set),
        (", confined to /", &key.path),
        (", site ", &key.site_name),
    ] {
        if let Some(value) = value {
            text.push_str(&format!("{word}{value}"));
        }
    }
    checks.good("credentials", text);
    let Some(end) = key.expires_at else {
        checks.good("expiry", "the key has no end");
        return;
    };
    let days = (end.seconds - now.seconds).div_euclid(DAY);
    let remedy = "Make a new key in time; a running mount takes it up after: filescomfs reload MOUNTPOINT";
    match days {
        ..0 => checks.bad("expiry", ExitCode::Authentication, "the key has ended", "Make a new key."),
        0..SOON_DAYS => checks.warn("expiry", format!("the key ends in {days} days"), remedy),
        _ => checks.good("expiry", format!("the key ends in {days} days")),
    }
}

fn tell_session(session: &Session, read_only: bool, checks: &mut Checklist<'_>) {
    checks.good("credentials", "user name and password");
    if session.read_only && !read_only {
        let remedy = "Test and mount with --read-only, or use an account that may change files.";
        checks.bad("session", ExitCode::Permission, "permission denied: it may only read", remedy);
    }
}
