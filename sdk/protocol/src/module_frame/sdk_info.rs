//! What a module says of its SDK in its reply to `init`.

use serde::{Deserialize, Serialize};

/// The object `ixt` in the `data` of a module's reply to `init`: what its SDK is, and what it has picked of the host's offer
/// ([`ProtocolOffer`](crate::ProtocolOffer)). A module may leave the object out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SdkInfo {
    /// The version of the protocol that the module speaks. If it is not [`PROTOCOL_VERSION`](crate::PROTOCOL_VERSION), the start
    /// fails.
    pub protocol: u32,
    /// The SDK's name and version, such as `ixt-sdk-rust/0.1.0`.
    pub sdk: String,
    /// How many requests the module handles at once; further ones wait in a queue of the module. `None` if it does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrency: Option<usize>,
    /// The name of the [`Framing`](crate::Framing) that the module has picked: it is in force from the next frame of each side
    /// on. `None` keeps the framing as it is. A name that was not offered fails the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub framing: Option<String>,
    /// The names of the offered features that the module uses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
}
