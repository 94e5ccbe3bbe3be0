//! From a topic's name to the generated `Topic`.

use std::fmt;

/// A topic that the module does not provide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownTopic {
    topic: String,
}

impl UnknownTopic {
    /// The topic that was asked for.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }
}

impl fmt::Display for UnknownTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown topic `{}`", self.topic)
    }
}

impl std::error::Error for UnknownTopic {}

/// Looks a topic up among all, which are sorted by name.
///
/// # Errors
///
/// If it is not among them.
pub fn find_topic<T: Copy>(all: &[T], name: fn(T) -> &'static str, topic: &str) -> Result<T, UnknownTopic> {
    match all.binary_search_by(|candidate| name(*candidate).cmp(topic)) {
        Ok(index) => Ok(all[index]),
        Err(_) => Err(UnknownTopic { topic: topic.to_owned() }),
    }
}
