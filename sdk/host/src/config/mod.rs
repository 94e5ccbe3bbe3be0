//! The configuration that a module is started with: the manifest's defaults, and what was set instead.

use std::collections::BTreeMap;
use std::fmt;

use ixt_manifest::{Case, Field, JsonForm, Kind, Manifest, Message, Scalar, Shape, Type, Value as Default};
use ixt_protocol::{decode_base64, encode_base64};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

/// The configuration of one module.
///
/// Whatever is set is checked against the manifest, and no error shows a value: it may be secret.
#[derive(Clone)]
pub struct Config<'a> {
    manifest: &'a Manifest,
    values: Map<String, Value>,
}

/// Why a configuration can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The manifest declares no such key.
    UnknownKey {
        /// The key.
        key: String,
        /// The keys that it declares.
        known: Vec<String>,
    },
    /// The value is not of the declared type.
    WrongType {
        /// The key.
        key: String,
        /// What the manifest declares, and what is wrong with the value.
        expected: String,
    },
    /// Keys without a default were not set.
    Missing {
        /// The keys.
        keys: Vec<String>,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey { key, known } if known.is_empty() => {
                write!(f, "there is no config key `{key}`: the manifest declares none")
            }
            Self::UnknownKey { key, known } => {
                write!(f, "there is no config key `{key}`: the manifest declares `{}`", known.join("`, `"))
            }
            Self::WrongType { key, expected } => write!(f, "the config key `{key}` needs {expected}"),
            Self::Missing { keys } => {
                write!(f, "no value for the config key `{}`, which has no default", keys.join("`, `"))
            }
        }
    }
}

impl std::error::Error for ConfigError {}

impl<'a> Config<'a> {
    /// The defaults of a manifest.
    #[must_use]
    pub fn of(manifest: &'a Manifest) -> Self {
        let keys = manifest.config.iter();
        let defaults = keys.filter_map(|key| Some((key.name.to_string(), json(key.default.as_ref()?))));
        Self { manifest, values: defaults.collect() }
    }

    /// Sets a key from text, as it stands on a command line or in an environment variable: what is text in JSON as it is
    /// (`bytes` in base64), anything else as JSON.
    ///
    /// # Errors
    ///
    /// If the manifest has no such key, or the text is not of its type.
    pub fn set_text(&mut self, key: &str, text: &str) -> Result<(), ConfigError> {
        let ty = self.type_of(key)?;
        let value = match self.kind(ty) {
            Kind::Enum(_) => Value::from(text),
            Kind::Scalar(scalar) if matches!(scalar.json_form(), JsonForm::Text | JsonForm::TextOrNumber) => {
                Value::from(text)
            }
            _ => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
        };
        self.set(key, ty, value)
    }

    /// Sets a key from the content of a file: `bytes` as they are, anything else as text, without the line end that
    /// editors leave at the end of a file.
    ///
    /// # Errors
    ///
    /// If the manifest has no such key, or the content is not of its type.
    pub fn set_content(&mut self, key: &str, content: &[u8]) -> Result<(), ConfigError> {
        let ty = self.type_of(key)?;
        if *self.kind(ty) == Kind::Scalar(Scalar::Bytes) {
            return self.set(key, ty, Value::from(encode_base64(content)));
        }
        let text = std::str::from_utf8(content).map_err(|_| wrong_type(key, ty, "text in UTF-8"))?;
        let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
        self.set_text(key, text)
    }

    /// Sets a key from JSON, as it stands in `init`.
    ///
    /// # Errors
    ///
    /// If the manifest has no such key, or the value is not of its type.
    pub fn set_json(&mut self, key: &str, value: Value) -> Result<(), ConfigError> {
        let ty = self.type_of(key)?;
        self.set(key, ty, value)
    }

    /// The manifest that declares it.
    #[must_use]
    pub fn manifest(&self) -> &'a Manifest {
        self.manifest
    }

    /// Whether the manifest declares this key.
    #[must_use]
    pub fn is_declared(&self, key: &str) -> bool {
        self.manifest.config.iter().any(|declared| declared.name.as_str() == key)
    }

    /// Whether the manifest declares this key, or something within it, secret.
    #[must_use]
    pub fn is_secret(&self, key: &str) -> bool {
        self.manifest.config.iter().any(|declared| declared.name.as_str() == key && has_secret(declared))
    }

    fn type_of(&self, key: &str) -> Result<&'a Type, ConfigError> {
        let keys = &self.manifest.config;
        keys.iter().find(|declared| declared.name.as_str() == key).map(|declared| &declared.ty).ok_or_else(|| {
            ConfigError::UnknownKey {
                key: key.to_owned(),
                known: keys.iter().map(|key| key.name.to_string()).collect(),
            }
        })
    }

    /// What the values of a type are, behind the newtypes.
    fn kind(&self, ty: &'a Type) -> &'a Kind {
        let Kind::Named(name) = &ty.kind else { return &ty.kind };
        match self.manifest.find_type(name).map(|definition| &definition.shape) {
            Some(Shape::Newtype(inner)) => self.kind(inner),
            // An enum is text, as is this.
            Some(Shape::Enum { .. }) => &Kind::Scalar(Scalar::String),
            _ => &ty.kind,
        }
    }

    fn set(&mut self, key: &str, ty: &Type, value: Value) -> Result<(), ConfigError> {
        Checker { manifest: self.manifest }.check(&value, ty).map_err(|expected| wrong_type(key, ty, &expected))?;
        self.values.insert(key.to_owned(), value);
        Ok(())
    }

    /// Whether the configuration is complete. [`HostBuilder::module`](crate::HostBuilder::module) checks that too.
    ///
    /// # Errors
    ///
    /// If a key that has no default was not set.
    pub fn check(&self) -> Result<(), ConfigError> {
        let missing = |key: &&Field| key.is_required() && !self.values.contains_key(key.name.as_str());
        let missing: Vec<_> = self.manifest.config.iter().filter(missing).map(|key| key.name.to_string()).collect();
        if missing.is_empty() { Ok(()) } else { Err(ConfigError::Missing { keys: missing }) }
    }

    /// The object for `init`. Whoever prints it shows its secrets.
    ///
    /// # Errors
    ///
    /// If a key that has no default was not set.
    #[expect(clippy::missing_panics_doc, reason = "a map of JSON values is JSON")]
    pub fn to_json(&self) -> Result<Box<RawValue>, ConfigError> {
        self.check()?;
        Ok(to_raw_value(&self.values).expect("a map of JSON values is JSON"))
    }
}

/// Types of one's own hold no secrets: the language has them in the configuration alone.
fn has_secret(field: &Field) -> bool {
    fn within(kind: &Kind) -> bool {
        match kind {
            Kind::Table(fields) => fields.iter().any(has_secret),
            Kind::List(item) | Kind::Map(item) => within(&item.kind),
            _ => false,
        }
    }
    field.secret || within(&field.ty.kind)
}

fn wrong_type(key: &str, ty: &Type, expected: &str) -> ConfigError {
    ConfigError::WrongType { key: key.to_owned(), expected: format!("{expected} (its type is `{ty}`)") }
}

fn json(default: &Default) -> Value {
    let object = |values: &BTreeMap<String, Default>| -> Map<String, Value> {
        values.iter().map(|(key, value)| (key.clone(), json(value))).collect()
    };
    match default {
        Default::String(text) | Default::Path(text) | Default::Datetime(text) | Default::Enum(text) => {
            Value::from(text.as_str())
        }
        Default::Integer(integer) => Value::from(*integer),
        Default::Float(float) => Value::from(*float),
        Default::Boolean(boolean) => Value::from(*boolean),
        Default::Bytes(bytes) => Value::from(encode_base64(bytes)),
        Default::Duration(duration) => Value::from(humantime::format_duration(*duration).to_string()),
        Default::Size(size) => Value::from(*size),
        Default::List(items) => items.iter().map(json).collect(),
        Default::Map(values) | Default::Record(values) => Value::Object(object(values)),
        Default::Union { case, fields } => {
            let mut object = object(fields);
            object.insert("type".to_owned(), Value::from(case.as_str()));
            Value::Object(object)
        }
    }
}

/// Whether values are of their types; if not, what was expected.
struct Checker<'a> {
    manifest: &'a Manifest,
}

impl Checker<'_> {
    fn check(&self, value: &Value, ty: &Type) -> Result<(), String> {
        if ty.optional && value.is_null() {
            return Ok(());
        }
        let read = match &ty.kind {
            Kind::Scalar(scalar) => scalar_value(*scalar, value)?,
            Kind::List(item) => {
                let items = value.as_array().ok_or("a JSON array")?;
                for (index, value) in items.iter().enumerate() {
                    self.check(value, item).map_err(|expected| format!("at [{index}] {expected}"))?;
                }
                // Their number is all that matters for the bounds.
                Default::List(vec![Default::Boolean(true); items.len()])
            }
            Kind::Map(ty) => {
                let entries = value.as_object().ok_or("a JSON object")?;
                for (key, value) in entries {
                    self.check(value, ty).map_err(|expected| format!("at `{key}` {expected}"))?;
                }
                Default::Map(entries.keys().map(|key| (key.clone(), Default::Boolean(true))).collect())
            }
            Kind::Enum(values) => {
                let mut names = values.iter().map(|value| value.name.as_str());
                return one_of(value.as_str(), &mut names);
            }
            Kind::Table(fields) => return self.check_object(value, fields, None),
            Kind::Named(name) => return self.check_named(value, name),
        };
        ty.bounds.check(&read)
    }

    fn check_named(&self, value: &Value, name: &str) -> Result<(), String> {
        let Some(definition) = self.manifest.find_type(name) else { return Err(format!("a `{name}`")) };
        match &definition.shape {
            Shape::Newtype(ty) => self.check(value, ty),
            Shape::Record(fields) => self.check_object(value, fields, None),
            Shape::Enum { open: true, .. } if value.is_string() => Ok(()),
            Shape::Enum { values, .. } => one_of(value.as_str(), &mut values.iter().map(|value| value.name.as_str())),
            Shape::Union { cases, open } => self.check_union(value, cases, *open),
        }
    }

    fn check_union(&self, value: &Value, cases: &[Case], open: bool) -> Result<(), String> {
        let tag = value.get("type").and_then(Value::as_str);
        let Some(case) = cases.iter().find(|case| Some(case.name.as_str()) == tag) else {
            if open && tag.is_some() {
                return Ok(());
            }
            let expected = one_of(None, &mut cases.iter().map(|case| case.name.as_str()));
            return expected.map_err(|expected| format!("a JSON object with `type`: {expected}"));
        };
        match &case.content {
            Message::Inline { fields, .. } => self.check_object(value, fields, Some("type")),
            Message::Named(name) => match self.manifest.find_type(name.as_str()).map(|definition| &definition.shape) {
                Some(Shape::Record(fields)) => self.check_object(value, fields, Some("type")),
                _ => Err(format!("a `{name}`")),
            },
        }
    }

    fn check_object(&self, value: &Value, fields: &[Field], tag: Option<&str>) -> Result<(), String> {
        let object = value.as_object().ok_or("a JSON object")?;
        for (key, value) in object.iter().filter(|(key, _)| tag != Some(key.as_str())) {
            let Some(field) = fields.iter().find(|field| field.name.as_str() == key) else {
                return Err(format!("no `{key}`"));
            };
            if !value.is_null() || field.is_required() {
                self.check(value, &field.ty).map_err(|expected| format!("at `{key}` {expected}"))?;
            }
        }
        match fields.iter().find(|field| field.is_required() && !object.contains_key(field.name.as_str())) {
            Some(missing) => Err(format!("a value for `{}`", missing.name)),
            None => Ok(()),
        }
    }
}

/// The value as one of this type; if it is none, what was expected.
fn scalar_value(scalar: Scalar, value: &Value) -> Result<Default, String> {
    let text = |parse: fn(&str) -> Result<Default, String>, expected: &str| {
        value.as_str().and_then(|text| parse(text).ok()).ok_or_else(|| expected.to_owned())
    };
    Ok(match scalar {
        Scalar::String => text(|text| Ok(Default::String(text.to_owned())), "a string")?,
        Scalar::Path => text(|text| Ok(Default::Path(text.to_owned())), "a string")?,
        Scalar::Integer => Default::Integer(value.as_i64().ok_or("an integer of at most 64 bits")?),
        Scalar::Float => Default::Float(value.as_f64().ok_or("a number")?),
        Scalar::Boolean => Default::Boolean(value.as_bool().ok_or("`true` or `false`")?),
        Scalar::Bytes => {
            text(|text| decode_base64(text).map(Default::Bytes).map_err(|error| error.to_string()), "base64 text")?
        }
        Scalar::Duration => text(Default::duration, "a duration such as `250ms`")?,
        Scalar::Size => match value.as_u64() {
            Some(size) => Default::Size(size),
            None => text(Default::size, "a size such as `16MiB`")?,
        },
        Scalar::Datetime => text(Default::datetime, "a point in time such as `2026-01-31T12:00:00Z`")?,
    })
}

fn one_of(value: Option<&str>, names: &mut dyn Iterator<Item = &str>) -> Result<(), String> {
    let mut expected = Vec::new();
    for name in names {
        if value == Some(name) {
            return Ok(());
        }
        expected.push(format!("`{name}`"));
    }
    Err(expected.join(" or "))
}

#[cfg(test)]
mod tests {
    use ixt_manifest::Source;

    use super::*;

    const MANIFEST: &str = r#"
        schema_version = "3.0"
        [module]
        name = "m"
        version = "1.0.0"
        [config]
        url = { type = "string", default = "sqlite://x" }
        limit = { type = "integer", default = 7 }
        ratio = { type = "float", default = 1 }
        on = { type = "boolean", default = true }
        key = { type = "bytes" }
        tags = { type = "[string]", default = ["a"] }
        note = { type = "string?" }
    "#;

    fn with(set: impl FnOnce(&mut Config<'_>) -> Result<(), ConfigError>) -> Result<Value, ConfigError> {
        let manifest = Manifest::parse(&Source::new("manifest.toml", MANIFEST)).unwrap();
        let mut config = Config::of(&manifest);
        set(&mut config)?;
        config.to_json().map(|json| serde_json::from_str(json.get()).unwrap())
    }

    #[test]
    fn defaults_and_what_was_set_make_the_object() {
        let object = with(|config| {
            config.set_text("url", "5")?;
            config.set_text("limit", "9")?;
            config.set_content("key", b"\x00\n")?;
            config.set_content("note", b"hunter2\r\n")?;
            config.set_text("tags", r#"["x", "y"]"#)
        })
        .unwrap();
        let expected = serde_json::json!({
            "url": "5", "limit": 9, "ratio": 1.0, "on": true, "key": "AAo=", "tags": ["x", "y"], "note": "hunter2",
        });
        assert_eq!(object, expected);
    }

    #[test]
    fn a_value_of_the_wrong_type_is_refused_and_not_shown() {
        for (key, text) in [
            ("limit", "s3cret"),
            ("limit", "9.5"),
            ("on", "yes"),
            ("key", "s3cret!"),
            ("tags", "[1]"),
            ("ratio", "s3cret"),
        ] {
            let error = with(|config| config.set_text(key, text)).unwrap_err();
            assert!(matches!(&error, ConfigError::WrongType { key: named, .. } if named == key), "{error}");
            assert!(!error.to_string().contains(text), "{error}");
        }
    }

    const TYPES: &str = r#"
        schema_version = "3.0"
        [module]
        name = "m"
        version = "1.0.0"
        [config]
        port = { type = "Port", default = 80 }
        level = { type = "Level", default = "low" }
        open = { type = "Open", default = "a" }
        target = { type = "Target", default = { type = "file", path = "/tmp" } }
        grown = { type = "Grown", default = { type = "a" } }
        table = { type = "table", fields = { host = "string", tls = "boolean?" }, default = { host = "x" } }
        map = { type = "{integer}", default = { a = 1 } }
        wait = { type = "duration", default = "250ms" }
        size = { type = "size", default = "1KiB" }
        since = { type = "datetime", default = "2026-01-31T12:00:00Z" }
        path = { type = "path", default = "/var" }
        short = { type = "string", max_length = 3, default = "abc" }
        list = { type = "[Port]", min_length = 1, default = [1] }
        choice = { type = "string", enum = ["x", "y"], default = "x" }
        sku = { type = "Sku", default = "a" }
        [types]
        Sku = "string"
        [types.Port]
        newtype = { type = "integer", min = 1, max = 99 }
        [types.Level]
        enum = ["low", "high"]
        [types.Open]
        enum = ["a"]
        open = true
        [types.Target]
        union = { file = { path = "string" }, net = "Net" }
        [types.Net]
        host = "string"
        port = "Port?"
        [types.Grown]
        union = { a = {} }
        open = true
    "#;

    /// What is wrong with a value, or what it becomes in the object.
    fn set(key: &str, value: Value) -> Result<Value, String> {
        let manifest = Manifest::parse(&Source::new("manifest.toml", TYPES)).unwrap();
        let mut config = Config::of(&manifest);
        config.set_json(key, value).map_err(|error| error.to_string())?;
        let object: Value = serde_json::from_str(config.to_json().unwrap().get()).unwrap();
        Ok(object[key].clone())
    }

    #[test]
    fn a_value_is_checked_as_deep_as_its_type_goes() {
        use serde_json::json;
        for (key, value) in [
            ("port", json!(99)),
            ("level", json!("high")),
            ("open", json!("anything")),
            ("target", json!({ "type": "file", "path": "x" })),
            ("target", json!({ "type": "net", "host": "x", "port": null })),
            ("grown", json!({ "type": "new", "any": [1] })),
            ("table", json!({ "host": "x", "tls": true })),
            ("table", json!({ "host": "x", "tls": null })),
            ("map", json!({})),
            ("map", json!({ "b": -1 })),
            ("wait", json!("1m 30s")),
            ("size", json!(5)),
            ("size", json!("16MiB")),
            ("since", json!("2026-01-31T12:00:00+01:00")),
            ("path", json!("")),
            ("short", json!("\u{e4}\u{e4}\u{e4}")),
            ("list", json!([1, 99])),
            ("choice", json!("y")),
        ] {
            assert_eq!(set(key, value.clone()), Ok(value));
        }
        for (key, value, expected) in [
            ("port", json!(0), "at least 1"),
            ("port", json!(100), "at most 99"),
            ("port", json!("80"), "an integer of at most 64 bits"),
            ("port", json!(null), "an integer of at most 64 bits"),
            ("level", json!("middle"), "`low` or `high`"),
            ("open", json!(5), "`a`"),
            ("target", json!({ "path": "x" }), "a JSON object with `type`: `file` or `net`"),
            ("target", json!({ "type": "other" }), "a JSON object with `type`: `file` or `net`"),
            ("target", json!({ "type": "file" }), "a value for `path`"),
            ("target", json!({ "type": "net", "host": "x", "port": 0 }), "at `port` at least 1"),
            ("target", json!({ "type": "net", "host": "x", "prt": 1 }), "no `prt`"),
            ("grown", json!({}), "a JSON object with `type`: `a`"),
            ("table", json!({}), "a value for `host`"),
            ("table", json!({ "host": null }), "at `host` a string"),
            ("table", json!({ "host": "x", "tls": 1 }), "at `tls` `true` or `false`"),
            ("table", json!([]), "a JSON object"),
            ("map", json!({ "b": "x" }), "at `b` an integer of at most 64 bits"),
            ("map", json!(1), "a JSON object"),
            ("wait", json!("soon"), "a duration such as `250ms`"),
            ("size", json!(-1), "a size such as `16MiB`"),
            ("since", json!("today"), "a point in time such as `2026-01-31T12:00:00Z`"),
            ("path", json!(1), "a string"),
            ("short", json!("abcd"), "at most 3 characters"),
            ("list", json!([]), "at least 1 item"),
            ("list", json!([1, 100]), "at [1] at most 99"),
            ("list", json!({}), "a JSON array"),
            ("choice", json!("z"), "`x` or `y`"),
        ] {
            let error = set(key, value.clone()).unwrap_err();
            let start = format!("the config key `{key}` needs {expected} (its type is ");
            assert!(error.starts_with(&start), "{value}: {error}");
        }
    }

    #[test]
    fn text_is_read_as_its_type_asks() {
        let manifest = Manifest::parse(&Source::new("manifest.toml", TYPES)).unwrap();
        let set = |key: &str, text: &str| {
            let mut config = Config::of(&manifest);
            config.set_text(key, text).unwrap();
            serde_json::from_str::<Value>(config.to_json().unwrap().get()).unwrap()[key].to_string()
        };
        for (key, text, json) in [
            ("port", "7", "7"),
            ("level", "high", "\"high\""),
            ("open", "5", "\"5\""),
            ("choice", "y", "\"y\""),
            ("wait", "5s", "\"5s\""),
            ("size", "1KiB", "\"1KiB\""),
            ("path", "5", "\"5\""),
            ("sku", "5", "\"5\""),
            ("list", "[1, 2]", "[1,2]"),
        ] {
            assert_eq!(set(key, text), json);
        }
        // Defaults, all of them, as they stand in the object.
        let config = Config::of(&manifest);
        let object: Value = serde_json::from_str(config.to_json().unwrap().get()).unwrap();
        let expected = serde_json::json!({
            "port": 80, "level": "low", "open": "a", "target": { "type": "file", "path": "/tmp" }, "grown": { "type": "a" },
            "table": { "host": "x" }, "map": { "a": 1 }, "wait": "250ms", "size": 1024, "since": "2026-01-31T12:00:00Z",
            "path": "/var", "short": "abc", "list": [1], "choice": "x", "sku": "a",
        });
        assert_eq!(object, expected);
    }

    #[test]
    fn a_key_without_default_has_to_be_set() {
        assert_eq!(with(|_| Ok(())).unwrap_err(), ConfigError::Missing { keys: vec!["key".to_owned()] });
    }

    #[test]
    fn a_file_is_text_or_bytes_as_the_type_asks() {
        let error = with(|config| config.set_content("url", b"\xFF")).unwrap_err();
        assert_eq!(error.to_string(), "the config key `url` needs text in UTF-8 (its type is `string`)");
        let object = with(|config| {
            config.set_content("key", b"")?;
            config.set_content("url", b"two\nlines\n\n")
        });
        assert_eq!(object.unwrap()["url"], "two\nlines\n");
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let error = with(|config| config.set_text("limits", "1")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no config key `limits`: the manifest declares `key`, `limit`, `note`, `on`, `ratio`, `tags`, `url`"
        );
    }
}
