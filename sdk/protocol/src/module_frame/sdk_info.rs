//! The object `ixt` in a module's reply to `init`: which SDK the module uses, and what it picks from the host's offer.

use serde::{Deserialize, Serialize};

/// The object `ixt` in the `data` of a module's reply to `init`: which SDK the module uses, and what it has picked from the host's
/// offer ([`ProtocolOffer`](crate::ProtocolOffer)). A module may leave the object out; it has then picked nothing. An object that
/// can't be read, such as one without `protocol` or `sdk`, fails the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SdkInfo {
    /// The version of the protocol that the module speaks. If it is not [`PROTOCOL_VERSION`](crate::PROTOCOL_VERSION), the start
    /// fails.
    pub protocol: u32,
    /// The SDK's name and version, such as `ixt-sdk-rust/0.1.0`. Any text; the host does not act on it.
    pub sdk: String,
    /// How many calls and events the module handles at once; further ones wait in a queue of the module. `None` if it does not say
    /// it. The host does not act on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrency: Option<usize>,
    /// The name of the [`Framing`](crate::Framing) that the module has picked. The module's next frame is in this framing, and so is the
    /// first frame that the host sends after it has read the reply. `None` keeps the framing. A name that was not offered fails the
    /// start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub framing: Option<String>,
    /// The names of the offered features that the module uses. The host acts on `draining` only: it sends that frame only if the
    /// name is here. Names that it does not know are ignored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
}
