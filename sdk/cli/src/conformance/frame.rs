//! The frames that the host sends, as JSON text without framing. They are written from PROTOCOL.md, and not with the
//! crate `ixt-protocol` that the SDK uses: a mistake in that crate would not be found.

use std::fmt::Write as _;
use std::time::SystemTime;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

use super::wire::MAX_FRAME_BYTES;

/// The field `protocol` of `init`: what the host offers. [`init`] adds the features `starting` and `ready`, which a
/// check may replace. The default is version 1, 16 MiB, and the framing `line`.
#[derive(Debug, Clone)]
pub(super) struct Offer {
    /// The version of the protocol.
    pub(super) version: u64,
    /// The limit for frames in both directions, in bytes. The host itself reads up to [`MAX_FRAME_BYTES`] all the same.
    pub(super) max_frame_bytes: usize,
    /// The framings that the module may choose from.
    pub(super) framings: &'static [&'static str],
}

impl Default for Offer {
    fn default() -> Self {
        Self { version: 1, max_frame_bytes: MAX_FRAME_BYTES, framings: &["line"] }
    }
}

/// The fields of an `init`.
pub(super) fn init(config: &Value, module_id: &str, offer: &Offer) -> Value {
    let Offer { version, max_frame_bytes, framings } = offer;
    json!({ "config": config, "module_id": module_id, "protocol": {
        "version": version, "max_frame_bytes": max_frame_bytes, "framings": framings, "features": ["starting", "ready"],
    }})
}

/// The fields of a `handle` or an `event`, with priority 2 and without a `ttl_ms`.
pub(super) fn message(topic: &str, payload: &[u8]) -> Value {
    let timestamp = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let source = concat!(env!("CARGO_PKG_NAME"), "-conformance:", env!("CARGO_PKG_VERSION"));
    json!({
        "message": { "topic": topic, "payload": BASE64_STANDARD.encode(payload), "priority": 2 },
        "context": { "trace_id": "conformance", "source_module": source, "timestamp": timestamp },
    })
}

/// A frame with `type` and `id` first, and then the fields of the object `fields`; none if it is no object.
pub(super) fn frame(kind: &str, id: u64, fields: &Value) -> String {
    let mut frame = format!(r#"{{"type":"{kind}","id":{id}"#);
    for (key, value) in fields.as_object().into_iter().flatten() {
        // Writing to a string does not fail.
        let _ = write!(frame, ",{}:{value}", Value::from(key.as_str()));
    }
    frame.push('}');
    frame
}
