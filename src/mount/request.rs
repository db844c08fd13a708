//! What can be asked of a mount, as it travels; described for others in docs/control.md.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Version of requests and answers. Raised only when something that was understood is not any more; what
/// is added does not count.
pub const PROTOCOL: u32 = 1;

/// What can be asked of a mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "request")]
pub enum Request {
    /// What is owed, uploading, held; the counters.
    Status,
    /// Publish what is owed, and answer when nothing is or the time is over.
    Drain {
        /// How long to wait, in milliseconds.
        timeout_ms: u64,
        /// Only what is at and below this path.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        path: String,
    },
    /// A page of what is verified now.
    Manifest {
        /// Only what is at and below this path.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        path: String,
        /// What the last page called `next`.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        after: String,
    },
    /// What Files.com refused for good.
    Held {
        /// Only what is at and below these paths; none means everything.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        paths: Vec<String>,
    },
    /// Try what is held again, and answer with the outcome.
    Retry {
        /// As for `held`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        paths: Vec<String>,
    },
    /// Give up the bytes that are held.
    Discard {
        /// As for `held`; none means nothing, unless `all` says otherwise.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        paths: Vec<String>,
        /// Everything that is held.
        #[serde(default)]
        all: bool,
        /// Of that, only what `held` has shown under these keys; none means all of it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        keys: Vec<String>,
    },
    /// Forget cached listings.
    Refresh {
        /// Only those at and below this path.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        path: String,
    },
    /// Read the credentials again, try them, and use them where they are good.
    Reload {
        /// How long one request of the trial may take, in milliseconds.
        timeout_ms: u64,
    },
    /// End in order, as after SIGTERM.
    Stop,
}

/// The names of all requests.
const KNOWN: [&str; 9] =
    ["status", "drain", "manifest", "held", "retry", "discard", "refresh", "reload", "stop"];

/// Reads a request, or says what is wrong with it.
pub(super) fn understood(line: &str) -> Result<Request, Value> {
    let asked: Value = serde_json::from_str(line).map_err(
        |error| json!({ "error": format!("a request is one line of JSON: {error}"), "known": KNOWN }),
    )?;
    let name = asked["request"].as_str().map(str::to_owned);
    serde_json::from_value(asked).map_err(|error| {
        let error = match name {
            Some(name) if KNOWN.contains(&name.as_str()) => {
                format!("the request {name:?} lacks something: {error}")
            }
            Some(name) => format!("the request {name:?} is not known"),
            None => "the field \"request\" is missing".to_owned(),
        };
        json!({ "error": error, "known": KNOWN })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_named_among_the_known() {
        for name in KNOWN {
            let line = json!({ "request": name, "timeout_ms": 0 }).to_string();
            let request = understood(&line).unwrap();
            assert_eq!(serde_json::to_value(request).unwrap()["request"], name);
        }
        let text = serde_json::from_str::<Request>(r#"{"request":"dance"}"#).unwrap_err().to_string();
        for name in KNOWN {
            assert!(text.contains(&format!("`{name}`")), "{name} in {text}");
        }
        assert_eq!(text.matches('`').count(), 2 * (KNOWN.len() + 1), "one is missing here: {text}");
    }

    #[test]
    fn a_request_that_makes_no_sense_is_told_why() {
        let told = |line| understood(line).unwrap_err()["error"].as_str().unwrap().to_owned();
        assert!(told("hello").contains("one line of JSON"));
        assert!(told("{}").contains("missing"));
        assert!(told(r#"{"request":"dance"}"#).contains("\"dance\" is not known"));
        assert!(told(r#"{"request":"drain"}"#).contains("timeout_ms"));
        assert_eq!(understood(r#"{"request":"status","new":1}"#), Ok(Request::Status), "fields may be added");
    }
}
