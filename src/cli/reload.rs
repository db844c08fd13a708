//! `reload`: a new key is tried, and takes the place of the old one where it is good.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::drain::{SLACK, named};
use super::exit_codes::{ExitCode, Failure};
use super::{plain, print};
use crate::mount::asking::Talk;
use crate::mount::control::{ControlError, Request};
use crate::remote::KINDS;

/// The answer, as it travels.
#[derive(Debug, Deserialize)]
struct Answer {
    reloaded: bool,
    /// Of what was not taken: the kind of the refusal, if Files.com was asked.
    kind: Option<String>,
    message: Option<String>,
    key_expires_at: Option<String>,
}

/// Has the mount read its credentials again.
pub fn run(typed: &Path, timeout: Duration) -> Result<ExitCode, Failure> {
    let mount = Talk::with(&named(typed)?)?;
    let timeout_ms = timeout.as_millis().try_into().unwrap_or(u64::MAX);
    let answer = mount.ask(&Request::Reload { timeout_ms }, timeout.saturating_mul(2) + SLACK)?;
    let Answer { reloaded, kind, message, key_expires_at } =
        serde_json::from_value(answer).map_err(|_| ControlError::Garbled)?;
    if !reloaded {
        let why = plain(&message.unwrap_or_default());
        return Err(Failure::new(code(kind.as_deref()), format!("the credentials stay as they were: {why}")));
    }
    let end = key_expires_at.map(|end| format!("; the key ends at {}", plain(&end)));
    print(&format!("The new credentials are good, and in use{}.\n", end.unwrap_or_default()))?;
    Ok(ExitCode::Done)
}

/// What was not asked of Files.com is the configuration's fault.
fn code(kind: Option<&str>) -> ExitCode {
    let Some(kind) = kind else { return ExitCode::Usage };
    let row = KINDS.iter().find(|row| format!("{:?}", row.kind) == kind);
    row.map_or(ExitCode::Failed, |row| row.kind.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_ends_with_the_code_of_its_kind() {
        let codes =
            ["Authentication", "Network", "NotFound", "Permission", "Strange"].map(|kind| code(Some(kind)));
        use ExitCode::{Authentication, Failed, Folder, Permission, Site, Usage};
        assert_eq!(codes, [Authentication, Site, Folder, Permission, Failed]);
        assert_eq!(code(None), Usage);
    }
}
