//! How urgent a message is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How urgent a message is; a more urgent one is greater. A module's queue of requests, in the SDK or, for a module without ids, in
/// the host, hands out messages of a higher priority first, and of equal ones the oldest. Every eighth time it hands out the oldest
/// of all, so that low priorities do not wait without end. On the wire a priority is a number from 1 to 4; a frame with another
/// number can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub enum Priority {
    /// 1 on the wire; the priority of a frame that has none, and of every event.
    #[default]
    Low,
    /// 2 on the wire.
    Normal,
    /// 3 on the wire.
    High,
    /// 4 on the wire.
    Critical,
}

/// From the number on the wire: 1 to 4. Any other is an [`UnknownPriority`].
impl TryFrom<u64> for Priority {
    type Error = UnknownPriority;

    fn try_from(number: u64) -> Result<Self, UnknownPriority> {
        match number {
            1 => Ok(Self::Low),
            2 => Ok(Self::Normal),
            3 => Ok(Self::High),
            4 => Ok(Self::Critical),
            number => Err(UnknownPriority { number }),
        }
    }
}

/// The error of a number that stands for no [`Priority`]. Its message names the number, and the four that are allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownPriority {
    /// The number that was converted.
    pub number: u64,
}

impl fmt::Display for UnknownPriority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not a priority: expected 1 (low), 2 (normal), 3 (high) or 4 (critical)", self.number)
    }
}

impl std::error::Error for UnknownPriority {}

/// The number on the wire.
impl From<Priority> for u64 {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::Low => 1,
            Priority::Normal => 2,
            Priority::High => 3,
            Priority::Critical => 4,
        }
    }
}
