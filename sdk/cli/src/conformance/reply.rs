//! Replies of the module, `success` and `error`, and the rules for their shape. Whether a reply has the right id is
//! checked in `session`.

use serde_json::{Map, Value};

use super::section::Section;
use super::verdict::{Stop, failed};
use super::wire::shown;

/// A reply of the right shape.
#[derive(Debug)]
pub(super) struct ModuleReply {
    /// The id of the request that it answers. `None` if it has none, or `null`.
    pub(super) id: Option<u64>,
    /// The whole frame. Its type is `success` or `error`.
    frame: Map<String, Value>,
}

impl ModuleReply {
    /// Checks the shape of a frame, whose type has to be `success` or `error`. [`Stop::Failed`] if it breaks a rule. An
    /// `error` needs a `code`; its `message` may be empty or absent.
    pub(super) fn read(frame: Map<String, Value>) -> Result<Self, Stop> {
        let wrong = |expected: &str| Err(failed(Section::ModuleToHost, expected, show(&frame)));
        let is = |key: &str, test: fn(&Value) -> bool| frame.get(key).is_none_or(test);
        if frame["type"] == "success" {
            if !frame.get("data").is_some_and(Value::is_object) {
                return wrong("`success` with `data`, which is an object");
            }
        } else {
            if !frame.get("code").and_then(Value::as_str).is_some_and(is_code) {
                return wrong("`error` with `code`, which is an upper-case word");
            }
            if !is("message", Value::is_string) {
                return wrong("`message` that is text, or none");
            }
            if !is("details", |details| details.is_object() || details.is_null()) {
                return wrong("`details` that are an object, or none");
            }
            if !is("retryable", Value::is_boolean) {
                return wrong("`retryable` that is true or false, or none");
            }
        }
        let id = match frame.get("id").map(Value::as_u64) {
            None => None,
            Some(None) if frame["id"].is_null() => None,
            Some(Some(id)) => Some(id),
            Some(None) => {
                return Err(failed(Section::Replies, "an `id` that is an unsigned integer, or none", show(&frame)));
            }
        };
        Ok(Self { id, frame })
    }

    /// The data of a `success`; `None` for an `error`.
    pub(super) fn data(&self) -> Option<&Map<String, Value>> {
        self.frame.get("data").filter(|_| self.frame["type"] == "success").and_then(Value::as_object)
    }

    /// The code of an `error`; `None` for a `success`.
    pub(super) fn code(&self) -> Option<&str> {
        self.frame.get("code").filter(|_| self.frame["type"] == "error").and_then(Value::as_str)
    }

    /// Whether it is a right reply to a `health_check`: a success in which `healthy` is true or false.
    pub(super) fn is_health(&self) -> bool {
        self.data().is_some_and(|data| data.get("healthy").is_some_and(Value::is_boolean))
    }

    /// A note for a reply that the protocol allows, where it prefers an `error` with this code. `None` if it is that.
    pub(super) fn note_unless(&self, code: &str) -> Option<String> {
        match self.code() {
            Some(answered) if answered == code => None,
            Some(answered) => Some(format!("it answered {answered}, where {code} is meant")),
            None => Some(format!("it answered with success, where {code} is meant")),
        }
    }

    /// Checks that the module has understood a request as well as another form of the same request, to which `other` is
    /// the reply. It fails if this reply has one of the codes of `NOT_UNDERSTOOD` and `other` does not have the same.
    /// `what` is the request, for the verdict.
    pub(super) fn is_like(&self, other: &Self, what: &str) -> Result<(), Stop> {
        /// The codes that say that the request was not understood, or failed before the service got it. A service
        /// itself may answer with another code each time.
        const NOT_UNDERSTOOD: [&str; 5] =
            ["UNKNOWN_TOPIC", "INVALID_INPUT", "UNIMPLEMENTED", "DEADLINE_EXCEEDED", "INTERNAL"];
        if self.code() == other.code() || self.code().is_none_or(|code| !NOT_UNDERSTOOD.contains(&code)) {
            return Ok(());
        }
        let expected = format!("{what} is answered like any, with {}", other.code().unwrap_or("success"));
        Err(failed(Section::Replies, expected, self.shown()))
    }

    /// The frame, for people; a long one is cut.
    pub(super) fn shown(&self) -> String {
        show(&self.frame)
    }
}

/// Whether a text is an upper-case word: a letter, then letters, digits and `_`.
fn is_code(code: &str) -> bool {
    code.starts_with(|c: char| c.is_ascii_uppercase())
        && code.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// A frame, for people. A long one is cut.
pub(super) fn show(frame: &Map<String, Value>) -> String {
    shown(Value::Object(frame.clone()).to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(frame: &Value) -> Result<ModuleReply, Stop> {
        ModuleReply::read(frame.as_object().unwrap().clone())
    }

    #[test]
    fn a_reply_has_a_shape() {
        for right in [
            json!({ "type": "success", "data": {} }),
            json!({ "type": "success", "data": {}, "id": null }),
            json!({ "type": "error", "code": "A" }),
            json!({ "type": "error", "code": "A_1", "message": "", "details": null, "retryable": true, "id": 5 }),
        ] {
            read(&right).unwrap();
        }
        for wrong in [
            json!({ "type": "success" }),
            json!({ "type": "success", "data": [] }),
            json!({ "type": "success", "data": {}, "id": -1 }),
            json!({ "type": "success", "data": {}, "id": "1" }),
            json!({ "type": "error", "code": "A", "message": 5 }),
            json!({ "type": "error", "code": "a", "message": "" }),
            json!({ "type": "error", "code": "1A", "message": "" }),
            json!({ "type": "error", "code": "A", "message": "", "details": [] }),
            json!({ "type": "error", "code": "A", "message": "", "retryable": null }),
        ] {
            assert!(matches!(read(&wrong), Err(Stop::Failed { .. })), "{wrong}");
        }
    }

    #[test]
    fn a_request_in_another_form_has_to_be_understood_alike() {
        let success = read(&json!({ "type": "success", "data": {} })).unwrap();
        let error = |code: &str| read(&json!({ "type": "error", "code": code, "message": "" })).unwrap();
        success.is_like(&error("SOLD_OUT"), "it").unwrap();
        error("SOLD_OUT").is_like(&success, "it").unwrap();
        error("UNKNOWN_TOPIC").is_like(&error("UNKNOWN_TOPIC"), "it").unwrap();
        error("INVALID_INPUT").is_like(&success, "it").unwrap_err();
        assert_eq!(error("A").note_unless("A"), None);
        assert_eq!(error("A").note_unless("B").unwrap(), "it answered A, where B is meant");
        assert_eq!(success.note_unless("B").unwrap(), "it answered with success, where B is meant");
    }
}
