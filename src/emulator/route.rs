//! From method and URL to what is wanted.
//!
//! Paths are decoded after routing, so `a%2Fb` and `a/b` are the same path, as for the service.

use percent_encoding::percent_decode_str;

use super::errors::ApiError;
use super::params::Params;

/// What is asked, and of which path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    /// The words of [`LoggedRequest::kind`](super::LoggedRequest::kind).
    pub(super) kind: &'static str,
    /// Decoded, without slashes at its ends.
    pub(super) path: String,
    /// The older form of beginning an upload, which answers one object instead of a list.
    pub(super) is_old_form: bool,
}

impl Route {
    /// `raw` is what follows `/api/rest/v1/` in the URL.
    pub(super) fn parse(method: &str, raw: &str) -> Result<Self, ApiError> {
        let raw = raw.trim_start_matches('/');
        let (head, rest) = raw.split_once('/').unwrap_or((raw, ""));
        let (kind, rest) = match (method, head) {
            ("GET", "folders") => ("list", rest),
            ("POST", "folders") => ("mkdir", rest),
            ("GET", "files") => ("download", rest),
            ("POST", "files") => ("complete", rest),
            ("PATCH", "files") => ("patch", rest),
            ("DELETE", "files") => ("delete", rest),
            (_, "file_actions") => {
                let (action, rest) = rest.split_once('/').unwrap_or((rest, ""));
                let kind = match (method, action) {
                    ("GET", "metadata") => "stat",
                    ("POST", "begin_upload") => "begin_upload",
                    ("POST", "move") => "move",
                    ("POST", "copy") => "copy",
                    ("POST", "delete") => "begin_delete",
                    _ => "unknown",
                };
                (kind, rest)
            }
            ("GET", "file_migrations") => ("migration", rest),
            ("GET", "api_key") if rest.is_empty() => ("api_key", ""),
            ("GET", "user") if rest.is_empty() => ("user", ""),
            ("GET", "site") if rest.is_empty() => ("site", ""),
            ("GET", "site") if rest == "usage" => ("usage", ""),
            ("POST", "sessions") if rest.is_empty() => ("login", ""),
            ("DELETE", "sessions") if rest.is_empty() => ("logout", ""),
            ("GET", "locks") => ("locks", rest),
            ("POST", "locks") => ("lock", rest),
            ("DELETE", "locks") => ("unlock", rest),
            _ => ("unknown", raw),
        };
        let path = percent_decode_str(rest).decode_utf8().map_err(|_| {
            ApiError::new("bad-request/invalid-input-encoding", "The path is not valid UTF-8.")
        })?;
        Ok(Self { kind, path: path.trim_matches('/').to_owned(), is_old_form: false })
    }

    /// Uploads are told apart by their parameters.
    pub(super) fn refine(&mut self, params: &Params) {
        if self.kind == "complete" && params.text("action").as_deref() != Some("end") {
            (self.kind, self.is_old_form) = ("begin_upload", true);
        }
        if self.kind == "begin_upload" && params.has("ref") {
            self.kind = "begin_part";
        }
    }

    /// What a key that is for file operations only may call.
    pub(super) fn is_file_operation(&self) -> bool {
        !matches!(self.kind, "user" | "site" | "usage" | "lock" | "locks" | "unlock" | "logout")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_slashes_and_slashes_at_the_ends_make_no_difference() {
        for raw in ["files/a/b%20c", "files/a%2Fb%20c", "files//a/b%20c/", "/files/a/b%20c"] {
            let route = Route::parse("PATCH", raw).unwrap();
            assert_eq!(route, Route { kind: "patch", path: "a/b c".into(), is_old_form: false }, "{raw}");
        }
        assert_eq!(Route::parse("GET", "folders").unwrap().path, "");
        assert_eq!(Route::parse("GET", "folders/").unwrap().path, "");
        assert!(Route::parse("GET", "folders/%ff").is_err());
    }
}
