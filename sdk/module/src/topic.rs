//! From the name of a topic to the generated `Topic`.

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

/// A hash table of all topics by name, made at the first lookup.
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

    /// Looks a topic up by its name.
    ///
    /// # Errors
    ///
    /// If the module provides no such topic.
    pub fn find(&self, topic: &str) -> Result<T, UnknownTopic> {
        let by_name = self.by_name.get_or_init(|| self.all.iter().map(|topic| ((self.name)(*topic), *topic)).collect());
        by_name.get(topic).copied().ok_or_else(|| UnknownTopic { topic: topic.to_owned() })
    }
}
