//! `init`: the first frame of a connection, with the module's configuration and the host's offer.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::frame_reader::deserialize_object;

/// `init`: the first frame of a connection. The module starts, and replies when it can take requests; the reply's `data` may have
/// [`SdkInfo`](crate::SdkInfo) under `ixt`. A second `init` is answered with `FAILED_PRECONDITION`, or with `UNAVAILABLE` if the
/// module shuts down.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Init<'a> {
    /// The module's configuration: a JSON object, whose keys the module checks. It may contain secrets. Without a configuration it
    /// is `{}`.
    #[serde(borrow, deserialize_with = "deserialize_object")]
    pub config: &'a RawValue,
    /// The name of the module's process: `name:version/instance-NNN`. Empty if the host does not say it; the module then uses the
    /// environment variable `IXT_MODULE_ID`.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub module_id: Cow<'a, str>,
    /// The protocol's version, the limit of frames, and the framings and features that the host knows. `None` from a host without
    /// any of this: the module then checks no version, keeps the framing, uses no feature, and takes
    /// [`DEFAULT_MAX_FRAME_BYTES`](crate::DEFAULT_MAX_FRAME_BYTES) as the limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<ProtocolOffer>,
}

/// The field `protocol` of `init`: the host's offer. The module picks from it in its reply ([`SdkInfo`](crate::SdkInfo)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtocolOffer {
    /// The version of the protocol: [`PROTOCOL_VERSION`](crate::PROTOCOL_VERSION). A module that speaks another one answers
    /// `FAILED_PRECONDITION`.
    pub version: u32,
    /// The limit of a frame's size in both directions, in bytes, without the line's end or the first length. It holds for all
    /// frames after this one.
    pub max_frame_bytes: usize,
    /// The names of the [framings](crate::Framing) that the module may pick. The module ignores names that it does not know. Empty
    /// or absent: it keeps the framing.
    #[serde(default)]
    pub framings: Vec<String>,
    /// The names of the optional frames that the host knows, such as `log` and `draining`. The module ignores names that it does
    /// not know, and sends no optional frame that is not named here. Empty or absent: none.
    #[serde(default)]
    pub features: Vec<String>,
}

#[cfg(test)]
mod tests {
    use crate::examples::check_host;

    #[test]
    fn examples_are_written_as_they_were_read() {
        check_host(&[
            r#"{"type":"init","id":1,"config":{}}"#,
            r#"{"type":"init","id":1,"config":{"a":[1]},"module_id":"m:1.0.0/instance-001"}"#,
            r#"{"type":"init","id":1,"config":{},"protocol":{"version":1,"max_frame_bytes":1000,"framings":["line"],"features":["log"]}}"#,
        ]);
    }
}
