//! How urgent a message is.

use serde::{Deserialize, Serialize};

/// How urgent a message is. A queue hands out messages of a higher priority first. On the wire it is a number from 1 to 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub enum Priority {
    /// 1 on the wire; the default of a message that names no priority.
    #[default]
    Low,
    /// 2 on the wire.
    Normal,
    /// 3 on the wire.
    High,
    /// 4 on the wire.
    Critical,
}

/// From the number on the wire. The error's message names the number and the four that are allowed.
impl TryFrom<u64> for Priority {
    type Error = String;

    fn try_from(number: u64) -> Result<Self, String> {
        Ok(match number {
            1 => Self::Low,
            2 => Self::Normal,
            3 => Self::High,
            4 => Self::Critical,
            _ => {
                return Err(format!("{number} is no priority: expected 1 (low), 2 (normal), 3 (high) or 4 (critical)"));
            }
        })
    }
}

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
