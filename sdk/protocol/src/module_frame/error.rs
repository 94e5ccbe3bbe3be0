//! `error`: a request of the host failed. Its fields are those of [`ErrorBody`]; here are the limits that hold for a module's.

use crate::text_limits::{required_at_most, shortened};
use crate::{ErrorBody, InvalidJson, MAX_MESSAGE_BYTES, MAX_NAME_BYTES};

/// Checks the limits of an error of a module: returns it with its message cut after 64 KiB.
///
/// # Errors
///
/// If the code is absent, empty, or longer than 256 bytes.
pub(super) fn checked(error: ErrorBody<'_>) -> Result<ErrorBody<'_>, InvalidJson> {
    let ErrorBody { code, message, details, retryable } = error;
    let code = required_at_most(code, MAX_NAME_BYTES, "code")?;
    Ok(ErrorBody { code, message: shortened(message, MAX_MESSAGE_BYTES), details, retryable })
}

#[cfg(test)]
mod tests {
    use crate::examples::check_module;

    #[test]
    fn examples_are_written_as_they_were_read() {
        check_module(&[
            r#"{"type":"error","id":2,"code":"INTERNAL"}"#,
            r#"{"type":"error","id":2,"code":"C","message":"m","details":{"path":"a"},"retryable":true}"#,
        ]);
    }
}
