//! Parameters of a request, from its query and its body, as JSON or as a form.
//!
//! Clients differ: numbers come as strings, booleans as `True`, hashes as `sort_by[path]=asc` in a query
//! and, from one old client, as flat keys of a JSON body.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use url::form_urlencoded;

use super::errors::ApiError;

/// What was sent, as one object.
#[derive(Debug, Default)]
pub(super) struct Params(Map<String, Value>);

impl Params {
    pub(super) fn parse(query: &str, content_type: &str, body: &[u8]) -> Result<Self, ApiError> {
        let mut all = Map::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            insert(&mut all, &name, Value::String(value.into_owned()));
        }
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self(all));
        }
        if content_type.starts_with("application/x-www-form-urlencoded") {
            for (name, value) in form_urlencoded::parse(body) {
                insert(&mut all, &name, Value::String(value.into_owned()));
            }
        } else {
            let wrong = || ApiError::new("bad-request/invalid-body", "The request body could not be parsed.");
            let Value::Object(object) = serde_json::from_slice(body).map_err(|_| wrong())? else {
                return Err(wrong());
            };
            for (name, value) in object {
                insert(&mut all, &name, value);
            }
        }
        Ok(Self(all))
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Is the name there at all, be it with null?
    pub(super) fn is_named(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A text that is not empty; numbers count as texts.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.get(name).and_then(text_of).filter(|text| !text.is_empty())
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| ApiError::invalid(format!("{name} must be an integer")))
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        match self.get(name) {
            Some(Value::Bool(flag)) => *flag,
            Some(value) => {
                text_of(value).is_some_and(|text| text == "1" || text.eq_ignore_ascii_case("true"))
            }
            None => false,
        }
    }

    /// A flat object of texts.
    pub(super) fn texts(&self, name: &str) -> Result<Option<BTreeMap<String, String>>, ApiError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let wrong = || ApiError::invalid(format!("{name} must be a hash of strings"));
        let object = match value {
            Value::Object(object) => object.clone(),
            Value::String(text) if text.is_empty() => Map::new(),
            _ => return Err(wrong()),
        };
        let pair = |(key, value): (String, Value)| Some((key, text_of(&value)?));
        object.into_iter().map(pair).collect::<Option<_>>().map(Some).ok_or_else(wrong)
    }

    /// The elements of a list, whether it came as an array or as an object with numbers for keys.
    pub(super) fn list(&self, name: &str) -> Option<Vec<&Value>> {
        match self.get(name)? {
            Value::Array(list) => Some(list.iter().collect()),
            Value::Object(object) => Some(object.values().collect()),
            _ => None,
        }
    }
}

pub(super) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// Puts `a[b][c]` where it belongs; `a[]` appends, and begins a new element when `a[][x]` repeats an `x`.
fn insert(object: &mut Map<String, Value>, name: &str, value: Value) {
    let (head, rest) = match name.split_once('[') {
        Some((head, rest)) if !head.is_empty() && name.ends_with(']') => (head, rest.trim_end_matches(']')),
        _ => {
            object.insert(name.to_owned(), value);
            return;
        }
    };
    let path: Vec<&str> = rest.split("][").collect();
    let mut at = object.entry(head).or_insert_with(|| Value::Object(Map::new()));
    for (depth, step) in path.iter().enumerate() {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        let Value::Object(inner) = at else { return };
        let step = if step.is_empty() {
            let last = inner.len().saturating_sub(1);
            let repeats = match path.get(depth + 1) {
                Some(field) => {
                    inner.get(&last.to_string()).is_none_or(|element| element.get(field).is_some())
                }
                None => !inner.is_empty(),
            };
            if repeats { inner.len().to_string() } else { last.to_string() }
        } else {
            (*step).to_owned()
        };
        at = inner.entry(step).or_insert(Value::Null);
    }
    *at = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn etags(params: &Params) -> Vec<(String, String)> {
        let field = |value: &Value, name: &str| value.get(name).and_then(text_of).unwrap_or_default();
        params.list("etags").unwrap().iter().map(|e| (field(e, "part"), field(e, "etag"))).collect()
    }

    #[test]
    fn lists_are_understood_in_every_form_that_a_client_sends() {
        let wanted = vec![("1".to_owned(), "a".to_owned()), ("2".to_owned(), "b".to_owned())];
        let json = "application/json";
        for (kind, body) in [
            (json, r#"{"etags":[{"etag":"a","part":"1"},{"etag":"b","part":2}]}"#),
            (
                json,
                r#"{"etags[0][etag]":"a","etags[0][part]":"1","etags[1][etag]":"b","etags[1][part]":"2"}"#,
            ),
            (
                "application/x-www-form-urlencoded",
                "etags%5B0%5D%5Betag%5D=a&etags[0][part]=1&etags[1][etag]=b&etags[1][part]=2",
            ),
            (
                "application/x-www-form-urlencoded",
                "etags[][etag]=a&etags[][part]=1&etags[][etag]=b&etags[][part]=2",
            ),
        ] {
            let params = Params::parse("", kind, body.as_bytes()).unwrap();
            assert_eq!(etags(&params), wanted, "{body}");
        }
    }

    #[test]
    fn numbers_and_flags_come_as_strings_too() {
        let params = Params::parse("a=1&b=True&sort_by[path]=asc", "", b"").unwrap();
        assert_eq!(params.number("a").unwrap(), Some(1));
        assert!(params.flag("b"));
        assert_eq!(params.texts("sort_by").unwrap().unwrap()["path"], "asc");
        let params = Params::parse("", "application/json", br#"{"a":"7","b":1,"c":null}"#).unwrap();
        assert_eq!(params.number("a").unwrap(), Some(7));
        assert!(params.flag("b"));
        assert!(!params.has("c") && params.is_named("c"));
        assert!(Params::parse("", "application/json", b"{").is_err());
    }
}
