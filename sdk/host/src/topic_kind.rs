//! Services and events.

use serde::{Deserialize, Serialize};

/// Whether a topic is a service or an event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TopicKind {
    /// A service, which is called and replies.
    #[default]
    Service,
    /// An event, which is published; its publisher gets no reply.
    Event,
}

impl TopicKind {
    /// `service` or `event`, as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Event => "event",
        }
    }
}
