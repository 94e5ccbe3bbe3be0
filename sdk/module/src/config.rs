//! Reads the configuration key by key into the generated `Config`, and collects everything that is wrong with it.
//!
//! Generated code builds the struct in one expression and never returns early: where a key is wrong, a stand-in takes its
//! place, and the struct is thrown away at the end. That keeps the code of a large configuration cheap to compile (a
//! derived `Deserialize` of 2,000 fields is not), and reports all mistakes at once.

use std::collections::BTreeMap;

use ixt_protocol::{InvalidJson, read_json};
use serde::de::DeserializeOwned;
use serde_json::json;
use serde_json::value::RawValue;

use crate::{Error, Result};

/// Implemented by the generated `Config`.
pub trait FromConfig: Sized {
    /// Takes every key that the manifest declares.
    fn from_config(keys: &mut ConfigKeys<'_>) -> Self;
}

/// The keys that the host sent and the mistakes found so far.
#[derive(Debug, Default)]
pub struct ConfigKeys<'a> {
    given: BTreeMap<String, &'a RawValue>,
    mistakes: Vec<InvalidJson>,
}

impl ConfigKeys<'_> {
    /// The value of a key that has no default.
    pub fn required<T: DeserializeOwned + Default>(&mut self, key: &'static str) -> T {
        self.take(key, |mistakes| {
            mistakes.push(InvalidJson { path: key.to_owned(), message: "required, but not given".to_owned() });
            T::default()
        })
        .unwrap_or_default()
    }

    /// The value of a key, or else its default.
    pub fn or_default<T: DeserializeOwned>(&mut self, key: &'static str, default: impl Fn() -> T) -> T {
        self.take(key, |_| default()).unwrap_or_else(default)
    }

    /// The value of a key or, if it was not given, what `absent` makes. `None` if it was given and is wrong.
    fn take<T: DeserializeOwned>(
        &mut self,
        key: &'static str,
        absent: impl FnOnce(&mut Vec<InvalidJson>) -> T,
    ) -> Option<T> {
        // `null` is read as absent (protocol).
        let Some(value) = self.given.remove(key).filter(|value| value.get() != "null") else {
            return Some(absent(&mut self.mistakes));
        };
        let read = read_json(value.get().as_bytes());
        read.map_err(|invalid| self.mistakes.push(without_value(invalid).under(key))).ok()
    }
}

/// serde says what it found and what it expected; what it found may be a secret.
fn without_value(mut invalid: InvalidJson) -> InvalidJson {
    if let Some(expected) = invalid.message.rfind(", expected ") {
        invalid.message = invalid.message[expected + 2..].to_owned();
    } else if invalid.message.starts_with("not base64") {
        "not base64".clone_into(&mut invalid.message);
    }
    invalid
}

/// Reads a configuration from the JSON object that the host sends.
///
/// # Errors
///
/// `INVALID_INPUT` with every mistake.
pub fn read_config<C: FromConfig>(json: &str) -> Result<C> {
    let given = read_json::<BTreeMap<String, &RawValue>>(json.as_bytes())
        .map_err(|invalid| Error::invalid_json("the configuration is not an object", &without_value(invalid)))?;
    let mut keys = ConfigKeys { given, mistakes: Vec::new() };
    let config = C::from_config(&mut keys);
    let ConfigKeys { given, mut mistakes } = keys;
    mistakes.extend(given.into_keys().map(|key| InvalidJson {
        path: key,
        message: "unknown key: the manifest declares none of this name".to_owned(),
    }));
    if mistakes.is_empty() {
        return Ok(config);
    }
    let message = mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let details: Vec<_> =
        mistakes.iter().map(|mistake| json!({ "path": mistake.path, "message": mistake.message })).collect();
    Err(Error::invalid_input(format!("the configuration is wrong: {message}")).detail("mistakes", details))
}

/// The configuration of a host that gives nothing. For manifests in which nothing is required.
#[must_use]
pub fn default_config<C: FromConfig>() -> C {
    C::from_config(&mut ConfigKeys::default())
}
