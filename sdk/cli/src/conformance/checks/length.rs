//! Checks of the framing `length`, for modules that know it.

use std::time::Instant;

use serde_json::{Value, json};

use crate::conformance::facts::about;
use crate::conformance::frame::{Offer, frame, message};
use crate::conformance::section::Section;
use crate::conformance::services::PayloadTarget;
use crate::conformance::session::ModuleSession;
use crate::conformance::trial::Trial;
use crate::conformance::verdict::{Stop, Verdict, failed, skipped};
use crate::conformance::wire::{Framing, Incoming};

/// The host sends the first frame, and may choose its framing: a module has to answer an `init` in the framing
/// `length`. If the manifest does not ask for `length`, the check is skipped unless the module answers in it, and then
/// that has to be a success: a host starts with `length` only if the manifest asks for it.
pub(super) fn from_the_start(trial: &Trial<'_>) -> Verdict {
    let mut session = trial.start()?;
    session.wire.framing = Framing::Length;
    let mut fields =
        session.init_fields(&trial.subject.config, &Offer { framings: &["length", "line"], ..Offer::default() });
    // Without features the module sends nothing before its reply.
    fields["protocol"]["features"] = json!([]);
    session.send("init", &fields)?;
    // A module that waits for the end of a line gets the end of the connection instead, and ends.
    session.wire.close_output();
    if trial.subject.framing() != Framing::Length {
        let deadline = Instant::now() + trial.subject.timeout;
        return match session.wire.receive(deadline) {
            Incoming::Frame(frame) if frame.get("type").is_some_and(|kind| kind == "success") => Ok(None),
            Incoming::Frame(frame) => {
                Err(failed(Section::Framing, "`success` to `init`", Value::Object(frame).to_string()))
            }
            // A module that reads lines may answer with a line, which is not a frame in this framing.
            Incoming::NoFrame(_) | Incoming::Closed | Incoming::TimedOut => Err(skipped("it takes only `line`")),
        };
    }
    let reply = session.next_reply()?;
    if reply.data().is_none() { Err(failed(Section::Framing, "`success` to `init`", reply.shown())) } else { Ok(None) }
}

/// A session in the framing `length` after `init`: either the manifest asks for it, or the module has chosen it in its
/// reply. If neither is so, the check is skipped.
fn chosen(trial: &Trial<'_>) -> Result<ModuleSession, Stop> {
    let (mut session, reply) = trial.ready_with(&Offer { framings: &["line", "length"], ..Offer::default() })?;
    match about(&reply)?.and_then(|about| about.get("framing")).and_then(Value::as_str) {
        Some("length") => session.wire.framing = Framing::Length,
        Some("line") => session.wire.framing = Framing::Line,
        _ => {}
    }
    if session.wire.framing == Framing::Line {
        trial.finish(session)?;
        return Err(skipped("it stays with `line`"));
    }
    Ok(session)
}

/// In the framing `length`, frames go both ways, and payloads may have any bytes.
pub(super) fn offered(trial: &Trial<'_>, target: &PayloadTarget) -> Verdict {
    let topic = target.topic();
    let mut session = chosen(trial)?;
    session.lives()?;
    let payload = b"\x00\n\xff";
    let reply = session.request("handle", &message(topic, payload))?;
    target.comes_back(&reply, payload)?;
    session.request("no_such_type", &json!({}))?;
    trial.finish(session)?;
    Ok(None)
}

/// In the framing `length` a payload may be an attachment; tried with 256, 0 and 100,000 bytes.
pub(super) fn attachments(trial: &Trial<'_>, target: &PayloadTarget) -> Verdict {
    let topic = target.topic();
    let mut session = chosen(trial)?;
    for size in [256, 0, 100_000] {
        let payload: Vec<u8> = (0..=255).rev().cycle().take(size).collect();
        let mut fields = message(topic, b"");
        if let Some(fields) = fields["message"].as_object_mut() {
            fields.remove("payload");
        }
        fields["attachment"] = "message.payload".into();
        let id = session.expect_reply();
        let json = frame("handle", id, &fields);
        let sent = session.wire.send_attached(json.as_bytes(), &payload);
        session.sent(sent)?;
        let reply = session.reply_to(id)?;
        target.comes_back(&reply, &payload)?;
    }
    trial.finish(session)?;
    Ok(Some(target.note()))
}
