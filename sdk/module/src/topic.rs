//! From a topic's name to the generated `Topic`.

use std::fmt;
use std::sync::OnceLock;

use rustc_hash::FxHashMap;

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

/// All topics by name, for a lookup that takes as long for ten thousand topics as for ten. Made when it is first asked.
pub struct TopicIndex<T: 'static> {
    all: &'static [T],
    name: fn(T) -> &'static str,
    by_name: OnceLock<FxHashMap<&'static str, T>>,
}

impl<T: Copy> TopicIndex<T> {
    /// The index of `all`.
    #[must_use]
    pub const fn new(all: &'static [T], name: fn(T) -> &'static str) -> Self {
        Self { all, name, by_name: OnceLock::new() }
    }

    /// The topic of this name.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn find(&self, topic: &str) -> Result<T, UnknownTopic> {
        let by_name = self.by_name.get_or_init(|| self.all.iter().map(|topic| ((self.name)(*topic), *topic)).collect());
        by_name.get(topic).copied().ok_or_else(|| UnknownTopic { topic: topic.to_owned() })
    }
}
