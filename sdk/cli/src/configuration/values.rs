//! Values of the host's file that are text: durations, sizes and host names. serde calls their `try_from`; an error
//! becomes a mistake with its line.

use std::time::Duration;

use ixt_manifest::Value;
use serde::Deserialize;

use crate::args::{duration, http_host};

/// A duration such as `"5s"`, above 0 and up to 1000 years. A number without a unit is an error, and so is `"0"`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct DurationText(pub(super) Duration);

impl TryFrom<String> for DurationText {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match duration(&text) {
            Ok(duration) if !duration.is_zero() => Ok(Self(duration)),
            _ => Err("expected a duration such as \"5s\" or \"250ms\", above 0 and up to 1000 years".to_owned()),
        }
    }
}

/// A number of bytes such as `"256MiB"`, from 0 to 2^63 - 1, with a decimal point if need be. Without a unit it is in
/// bytes. A TOML integer is an error: it has to be text.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct SizeText(pub(super) u64);

impl TryFrom<String> for SizeText {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match Value::size(&text) {
            Ok(Value::Size(bytes)) => Ok(Self(bytes)),
            _ => Err("expected a size such as \"256MiB\" or \"500kB\"".to_owned()),
        }
    }
}

/// A host name or IP address to which the HTTP server answers, without a port: see `http_host` in `args`. Upper or
/// lower case, as it was written; `run::http` compares it without case.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct HttpName(pub(crate) String);

impl TryFrom<String> for HttpName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        http_host(&text).map(Self)
    }
}
