//! What went wrong, in words that may be shown to anybody.
//!
//! An [`Error`] says in one line what was asked and what came back. It never holds a signed URL or
//! a credential: URLs are left out where errors are made, and texts of the other side lose whatever
//! looks like the query of a URL.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use super::error_kind::{self, ErrorKind};
use crate::model::shown::shown;

/// How far an attempt came before it failed. Decides whether it may be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// No byte of the request left: nothing can have happened.
    Unsent,
    /// It may have arrived, and no answer came: anything can have happened.
    Unanswered,
    /// The other side answered.
    Answered,
}

/// A call that failed.
///
/// It prints as one line: what was asked, what happened, and, where the other side answered, its
/// status, its type and its request id, by which the support of Files.com finds the call.
#[derive(Clone, thiserror::Error)]
#[error("{0}")]
pub struct Error(Box<Details>);

#[derive(Clone)]
pub(super) struct Details {
    pub kind: ErrorKind,
    /// Method and path of the API, or what was asked of the storage.
    pub asked: String,
    /// What happened, for people.
    pub happened: String,
    pub status: Option<u16>,
    /// Type of the API, or code of the storage.
    pub api_type: Option<String>,
    pub request_id: Option<String>,
    pub phase: Phase,
    pub retry_after: Option<Duration>,
    /// Why it is not known whether it was done, where it is not.
    pub cause: Option<ErrorKind>,
    /// The host that the service names instead.
    pub right_host: Option<String>,
    /// Who knows the names of hosts says that there is none of this name, not that nobody can tell just now.
    pub is_no_host: bool,
    pub tries: u32,
}

impl Error {
    pub(super) fn new(kind: ErrorKind, asked: impl Into<String>, happened: impl AsRef<str>) -> Self {
        Self(Box::new(Details {
            kind,
            asked: shown(&asked.into()).into_owned(),
            happened: one_line(happened.as_ref()),
            status: None,
            api_type: None,
            request_id: None,
            phase: Phase::Answered,
            retry_after: None,
            cause: None,
            right_host: None,
            is_no_host: false,
            tries: 1,
        }))
    }

    /// The same error with more known about it.
    #[must_use]
    pub(super) fn with(mut self, change: impl FnOnce(&mut Details)) -> Self {
        change(&mut self.0);
        self
    }

    /// The same error without `secret`, should the other side have repeated it.
    #[must_use]
    pub(super) fn without(self, secret: &str) -> Self {
        self.with(|d| {
            for text in
                [Some(&mut d.happened), d.api_type.as_mut(), d.request_id.as_mut(), d.right_host.as_mut()]
            {
                if let Some(text) = text.filter(|text| !secret.is_empty() && text.contains(secret)) {
                    *text = text.replace(secret, "***");
                }
            }
        })
    }

    pub(super) fn details(&self) -> &Details {
        &self.0
    }

    /// What kind of failure it is: what callers decide by.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// It may have been done all the same: an attempt ended without an answer that tells.
    pub fn is_in_doubt(&self) -> bool {
        self.0.cause.is_some() || self.0.kind == ErrorKind::OutcomeUnknown
    }

    /// What a person can do about it.
    pub fn remedy(&self) -> Cow<'static, str> {
        let remedy = error_kind::row(self.kind()).remedy;
        match &self.0.right_host {
            Some(host) => Cow::Owned(format!("{remedy} The right host is {host}.")),
            None => Cow::Borrowed(remedy),
        }
    }

    /// Was anybody asked? Not where it was known to be in vain, or where the time was over before.
    pub fn was_asked(&self) -> bool {
        self.0.tries > 0
    }

    /// What it has in common with all errors of its kind: the remedy, without what is known of this one alone.
    pub fn common_remedy(&self) -> &'static str {
        error_kind::row(self.kind()).remedy
    }

    /// What a system call answers.
    pub fn errno(&self) -> i32 {
        error_kind::row(self.kind()).errno
    }

    /// The type that the API stated (`processing-failure/destination-exists`), or the code of the
    /// storage (`SlowDown`).
    pub fn api_type(&self) -> Option<&str> {
        self.0.api_type.as_deref()
    }

    /// The host that the service names in place of the one that was asked.
    pub fn right_host(&self) -> Option<&str> {
        self.0.right_host.as_deref()
    }
}

impl fmt::Display for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.asked, self.happened)?;
        match (self.status, &self.api_type) {
            (Some(status), Some(api_type)) => write!(f, " (HTTP {status}, {api_type})")?,
            (Some(status), None) => write!(f, " (HTTP {status})")?,
            (None, Some(api_type)) => write!(f, " ({api_type})")?,
            (None, None) => {}
        }
        if self.tries > 1 {
            write!(f, " after {} attempts", self.tries)?;
        }
        if let Some(id) = &self.request_id {
            write!(f, " [request {id}]")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}, {})", self.0.kind, self.0)
    }
}

/// The longest text of the other side that an error repeats, in characters.
const LONGEST_TEXT: usize = 300;

/// Makes a text of the other side fit for a log: one line, of bounded length, without the queries of
/// URLs, since a query may be a signature.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::new();
    let text = shown(text);
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        match word.split_once('?') {
            Some((before, query)) if before.contains("//") || query.contains('=') => {
                line.push_str(before);
                line.push_str("?…");
            }
            _ => line.push_str(word),
        }
        if line.chars().count() > LONGEST_TEXT {
            line = line.chars().take(LONGEST_TEXT).collect();
            line.push('…');
            break;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_what_was_asked_and_what_came_back() {
        let error = Error::new(ErrorKind::Exists, "POST /folders/a", "The destination exists.").with(|d| {
            d.status = Some(422);
            d.api_type = Some("processing-failure/destination-exists".into());
            d.request_id = Some("9ea3".into());
        });
        assert_eq!(
            error.to_string(),
            "POST /folders/a: The destination exists. (HTTP 422, processing-failure/destination-exists) \
             [request 9ea3]"
        );
        assert_eq!(error.errno(), libc::EEXIST);
    }

    #[test]
    fn texts_of_the_other_side_lose_signatures_and_line_breaks() {
        let text = "cannot read\nhttps://s3.example.com/o?X-Amz-Signature=abc&x=1 now\u{7}, really? yes";
        assert_eq!(one_line(text), "cannot read https://s3.example.com/o?… now, really? yes");
        let site = "//\u{1b}[31mevil\u{9b}2J\u{202e}?a=b";
        assert_eq!(one_line(site), "//[31mevil2J?…", "before the query of a URL, too");
        assert!(one_line(&"long ".repeat(1000)).chars().count() <= LONGEST_TEXT + 1);
    }
}
