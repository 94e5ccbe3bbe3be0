//! `init`: the first frame of a connection, with the module's configuration and with what the host can do.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::frame_reader::deserialize_object;

/// `init`: the first frame of a connection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Init<'a> {
    /// The module's configuration: a JSON object.
    #[serde(borrow, deserialize_with = "deserialize_object")]
    pub config: &'a RawValue,
    /// The name of the module's process: `name:version/instance-NNN`. Empty if the host does not say it.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub module_id: Cow<'a, str>,
    /// What the host can do. `None` from a host that says nothing of it: the module then uses no optional feature, and the
    /// default limit for frames.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<ProtocolOffer>,
}

/// What a host can do, as it says in `init`. The module picks from it in its reply ([`SdkInfo`](crate::SdkInfo)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtocolOffer {
    /// The version of the protocol: [`PROTOCOL_VERSION`](crate::PROTOCOL_VERSION). A module that speaks another one answers
    /// `FAILED_PRECONDITION`.
    pub version: u32,
    /// The limit of a frame's size that either side may send, in bytes, without the line's end or the first length.
    pub max_frame_bytes: usize,
    /// The names of the [framings](crate::Framing) that the module may pick. Names that it does not know are ignored.
    #[serde(default)]
    pub framings: Vec<String>,
    /// The optional frames and fields that the host knows, such as `log` and `draining`. Names that the module does not know are
    /// ignored.
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
