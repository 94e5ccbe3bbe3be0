//! `starting`: the module has not answered `init` yet, and needs more time for that.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::text_limits::shortened;
use crate::{MAX_EXTEND_MS, MAX_MESSAGE_BYTES};

/// `starting`: the module has not answered `init` yet. May be sent repeatedly until then, to a host that offers the feature
/// `starting`; after the reply to `init` the host logs and ignores it. Has no id and no reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartingFrame<'a> {
    /// What the module is doing, for people. The host logs it if it differs from the one before, at most 10 within 10 seconds; of
    /// several that it reads together, it logs the last. May be empty; the host then keeps the message before. Cut after 64 KiB
    /// when the frame is read.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub message: Cow<'a, str>,
    /// For how many more milliseconds the host waits for the reply to `init`, counted from when it reads this frame: 0 to
    /// [`MAX_EXTEND_MS`]; a larger number counts as that. The frame never shortens the time that the host waits, so that 0 changes
    /// nothing.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub extend_ms: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it like this")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl StartingFrame<'_> {
    /// Cuts the text and the time at their limits.
    pub(super) fn limited(self) -> Self {
        Self { message: shortened(self.message, MAX_MESSAGE_BYTES), extend_ms: self.extend_ms.min(MAX_EXTEND_MS) }
    }
}

#[cfg(test)]
mod tests {
    use crate::examples::check_module;

    #[test]
    fn examples_are_written_as_they_were_read() {
        check_module(&[
            r#"{"type":"starting"}"#,
            r#"{"type":"starting","message":"migrating the database","extend_ms":30000}"#,
        ]);
    }
}
