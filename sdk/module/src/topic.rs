//! Finds the value of the generated enum `Topic` by its name.

use std::fmt;
use std::sync::OnceLock;

use rustc_hash::FxHashMap;

/// The error of the `FromStr` of the generated `Topic`: the module provides no service with this topic, which has to be the same letter by
/// letter. Topics of events are not in `Topic`. Displays as ``unknown topic `TOPIC` ``.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownTopic {
    topic: String,
}

impl UnknownTopic {
    /// The text that was parsed.
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

/// A hash table of all topics by name; for generated code, as a static. The first lookup makes the table.
pub struct TopicIndex<T: 'static> {
    all: &'static [T],
    name: fn(T) -> &'static str,
    by_name: OnceLock<FxHashMap<&'static str, T>>,
}

impl<T: Copy> TopicIndex<T> {
    /// The index of `all`, by the names that `name` returns.
    #[must_use]
    pub const fn new(all: &'static [T], name: fn(T) -> &'static str) -> Self {
        Self { all, name, by_name: OnceLock::new() }
    }

    /// Finds a topic by its name, which has to be the same letter by letter. Any thread may call this.
    ///
    /// # Errors
    ///
    /// If the module provides no such topic.
    pub fn find(&self, topic: &str) -> Result<T, UnknownTopic> {
        let by_name = self.by_name.get_or_init(|| self.all.iter().map(|topic| ((self.name)(*topic), *topic)).collect());
        by_name.get(topic).copied().ok_or_else(|| UnknownTopic { topic: topic.to_owned() })
    }
}
