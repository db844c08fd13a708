//! The JSON of the API, read field by field.
//!
//! Shapes have changed over the years, so every key may be missing or null and unknown keys do not
//! matter. A key that is there with a value of the wrong type does: then the answer means something
//! else than we think, and the error names the field.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::error::Error;
use super::error_kind::ErrorKind;
use crate::model::attributes::on_the_wire;
use crate::model::entry::{Entry, Kind, Permissions};
use crate::model::moment::Moment;

/// A value that is not what its field should hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Misread {
    field: String,
    wanted: &'static str,
}

impl Misread {
    pub fn new(field: &str, wanted: &'static str) -> Self {
        Self { field: field.to_owned(), wanted }
    }

    /// The error of a call whose answer was misread.
    pub fn error(&self, asked: &str) -> Error {
        let happened = format!("the answer was not understood: {:?} should be {}", self.field, self.wanted);
        Error::new(ErrorKind::Protocol, asked, happened)
    }
}

/// The fields of one JSON object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    /// The fields of `value`, which `what` names in errors.
    pub fn of(value: &'a Value, what: &str) -> Result<Self, Misread> {
        value.as_object().map(Self).ok_or_else(|| Misread::new(what, "an object"))
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn read<T>(
        &self,
        name: &str,
        wanted: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Misread> {
        self.get(name).map(|value| read(value).ok_or_else(|| Misread::new(name, wanted))).transpose()
    }

    pub fn text(&self, name: &str) -> Result<Option<&'a str>, Misread> {
        self.read(name, "a text", Value::as_str)
    }

    /// A whole number that is not negative, also when it is spelled as a text.
    pub fn number(&self, name: &str) -> Result<Option<u64>, Misread> {
        self.read(name, "a whole number", |value| match value {
            Value::String(digits) => digits.parse().ok(),
            other => other.as_u64(),
        })
    }

    /// A number that is not negative, also when it is spelled as a text.
    pub fn quantity(&self, name: &str) -> Result<Option<f64>, Misread> {
        self.read(name, "a number", |value| match value {
            Value::String(digits) => digits.parse().ok().filter(|number: &f64| *number >= 0.0),
            other => other.as_f64().filter(|number| *number >= 0.0),
        })
    }

    pub fn truth(&self, name: &str) -> Result<Option<bool>, Misread> {
        self.read(name, "true or false", Value::as_bool)
    }

    /// A time with any offset. What is no time counts as none: nobody knows what it says.
    pub fn moment(&self, name: &str) -> Option<Moment> {
        self.get(name)?.as_str().and_then(from_api_time)
    }

    /// What is read where it is understood; what is not is unknown, and the log tells of it.
    pub fn or_unknown<T>(&self, read: Result<Option<T>, Misread>) -> Option<T> {
        read.unwrap_or_else(|misread| {
            let (field, wanted) = (misread.field, misread.wanted);
            tracing::warn!(
                "Files.com states {field:?} in a form that is not understood, it should be {wanted}"
            );
            None
        })
    }

    /// An object of texts; an empty list stands for an empty object.
    pub fn texts(&self, name: &str) -> Result<BTreeMap<String, String>, Misread> {
        let read = |value: &Value| match value {
            Value::Object(map) => {
                map.iter().map(|(key, value)| Some((key.clone(), scalar(value)?))).collect()
            }
            Value::Array(list) if list.is_empty() => Some(BTreeMap::new()),
            _ => None,
        };
        Ok(self.read(name, "an object of texts", read)?.unwrap_or_default())
    }

    pub fn object(&self, name: &str) -> Result<Option<Fields<'a>>, Misread> {
        self.read(name, "an object", |value| value.as_object().map(Fields))
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null => Some(String::new()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// The last component of the path of a file or folder; older shapes state it alone.
pub(super) fn name<'a>(fields: Fields<'a>) -> Result<&'a str, Misread> {
    Ok(match fields.text("path")?.map(|path| path.trim_matches('/')) {
        Some(path) => path.rsplit_once('/').map_or(path, |(_, name)| name),
        None => fields.text("display_name")?.unwrap_or_default(),
    })
}

/// Reads a file or folder. `kind` is what it must be where the answer does not say.
pub(super) fn entry(fields: Fields<'_>, kind: Option<Kind>) -> Result<Entry, Misread> {
    let size = fields.number("size")?;
    let kind = match fields.text("type")? {
        Some("file") => Kind::File,
        Some("directory") => Kind::Folder,
        Some(_) => return Err(Misread::new("type", "\"file\" or \"directory\"")),
        None => match kind.or(size.map(|_| Kind::File)) {
            Some(kind) => kind,
            None => return Err(Misread::new("type", "there")),
        },
    };
    let size = match kind {
        // A file that does not say how large it is must not pass for an empty one.
        Kind::File => size.ok_or_else(|| Misread::new("size", "there"))?,
        Kind::Folder | Kind::Unknown => 0,
    };
    Ok(Entry {
        name: name(fields)?.to_owned(),
        kind,
        size,
        created: fields.moment("created_at"),
        changed: fields.moment("mtime"),
        provided: fields.moment("provided_mtime"),
        // A digest in another form than expected proves nothing, so it is none.
        md5: fields.text("md5").ok().flatten().and_then(|text| text.parse().ok()),
        crc32: fields.text("crc32").ok().flatten().and_then(|text| text.parse().ok()),
        permissions: fields.text("permissions")?.map_or(Permissions::ALL, Permissions::parse),
        metadata: fields.texts("custom_metadata")?,
    })
}

/// A time of the API, with any offset.
pub(super) fn from_api_time(text: &str) -> Option<Moment> {
    let time: jiff::Timestamp = text.parse().ok()?;
    let (seconds, nanos) = (time.as_second(), time.subsec_nanosecond());
    // Before 1970 the fraction is negative there; ours counts forward.
    Some(match u32::try_from(nanos) {
        Ok(nanos) => Moment { seconds, nanos },
        Err(_) => Moment { seconds: seconds - 1, nanos: (1_000_000_000 + nanos) as u32 },
    })
}

/// A time as the API takes it: UTC, whole seconds (it cuts fractions off anyway), within the years
/// 1970 to 9999, since a date that it refuses fails the whole call.
pub(super) fn to_api_time(moment: Moment) -> String {
    jiff::Timestamp::from_second(on_the_wire(moment).seconds)
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: &Value) -> Result<Entry, Misread> {
        entry(Fields::of(value, "entry")?, None)
    }

    #[test]
    fn a_file_of_today_is_read_in_full() {
        let entry = read(&json!({
            "path": "B/Z/4.text", "created_by_id": null, "custom_metadata": {"a": "b", "n": 1},
            "display_name": "4.text", "type": "file", "size": 24, "created_at": "2023-09-15T23:04:34Z",
            "mtime": "2023-09-15T16:04:34-07:00", "provided_mtime": null, "crc32": "ab",
            "md5": "5045CF51883B32C692D1B38D57993DAF", "sha1": null, "mime_type": "text/plain",
            "permissions": "lr", "something_new": [1, 2],
        }));
        let entry = entry.unwrap();
        assert_eq!((entry.name.as_str(), entry.kind, entry.size), ("4.text", Kind::File, 24));
        assert_eq!(entry.created, entry.changed);
        assert_eq!(entry.md5.unwrap().to_string(), "5045cf51883b32c692d1b38d57993daf");
        assert_eq!({ entry.crc32.unwrap().0 }, 0xab);
        assert!(entry.permissions.read && !entry.permissions.write);
        assert_eq!(entry.metadata["n"], "1");
    }

    #[test]
    fn shapes_of_earlier_years_are_read_too() {
        let old = read(&json!({"display_name": "x", "type": "directory", "size": null})).unwrap();
        assert_eq!((old.name.as_str(), old.kind, old.permissions), ("x", Kind::Folder, Permissions::ALL));
        let text = read(&json!({"path": "/a/b/", "size": "7", "md5": "none", "mtime": "yesterday"})).unwrap();
        assert_eq!((text.name.as_str(), text.size, text.md5, text.changed), ("b", 7, None, None));
        let listless = read(&json!({"path": "a", "type": "file", "size": 0, "custom_metadata": []})).unwrap();
        assert!(listless.metadata.is_empty());
    }

    #[test]
    fn a_value_of_the_wrong_type_names_its_field() {
        let table = [
            (json!({"path": 3, "type": "file", "size": 1}), "path"),
            (json!({"path": "a", "type": "file", "size": -1}), "size"),
            (json!({"path": "a", "type": "file", "size": 1.5}), "size"),
            (json!({"path": "a", "type": "link"}), "type"),
            (json!({"path": "a"}), "type"),
            (json!({"path": "a", "type": "file"}), "size"),
            (json!({"path": "a", "type": "file", "size": null}), "size"),
            (json!({"path": "a", "type": "file", "size": 1, "permissions": 17}), "permissions"),
            (
                json!({"path": "a", "type": "file", "size": 1, "custom_metadata": {"k": {}}}),
                "custom_metadata",
            ),
            (json!(["a"]), "entry"),
        ];
        for (value, field) in table {
            assert_eq!(read(&value).unwrap_err().field, field, "{value}");
        }
        let error = read(&json!({"path": "a", "size": []})).unwrap_err().error("GET /folders/a");
        assert!(error.to_string().contains("\"size\""), "{error}");
    }

    #[test]
    fn times_travel_in_whole_seconds_within_what_the_api_takes() {
        assert_eq!(
            to_api_time(Moment { seconds: 1_694_819_073, nanos: 134_508_722 }),
            "2023-09-15T23:04:33Z"
        );
        assert_eq!(to_api_time(Moment::from_seconds(-5)), "1970-01-01T00:00:00Z");
        assert!(to_api_time(Moment::from_seconds(i64::MAX)).starts_with("9999-12-30T"));
        let local = from_api_time("2025-05-23T20:51:16-04:00").unwrap();
        assert_eq!(to_api_time(local), "2025-05-24T00:51:16Z");
        assert_eq!(
            from_api_time("1969-12-31T23:59:58.75Z"),
            Some(Moment { seconds: -2, nanos: 750_000_000 })
        );
    }
}
