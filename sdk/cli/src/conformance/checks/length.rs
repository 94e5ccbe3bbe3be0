//! The framing `length`, for modules that take it.

use serde_json::json;

use super::life::about;
use super::requests::{called, comes_back};
use crate::conformance::lab::Lab;
use crate::conformance::report::{Stop, Verdict, failed, skipped};
use crate::conformance::session::{Offer, Session, framing, message};
use crate::conformance::wire::{Framing, Received};

const FRAMING: &str = "Framing";

/// The host speaks first, in the framing of its choice. This project's host chooses `length` for no module that does not
/// ask for it, so that one that knows only lines does well enough.
pub(super) fn from_the_start(lab: &mut Lab) -> Verdict {
    let mut session = lab.start()?;
    session.wire.framing = Framing::Length;
    let mut fields = session.init_fields(&lab.config, &Offer { framings: &["length", "line"], ..Offer::default() });
    // So that the reply is what comes first.
    fields["protocol"]["features"] = json!([]);
    session.send("init", &fields)?;
    // Nothing more comes, so that a module that looks for the end of a line need not be waited for.
    session.wire.close_output();
    if framing(&lab.manifest) != Framing::Length {
        let deadline = std::time::Instant::now() + lab.patience;
        return match session.wire.receive(deadline) {
            Received::Frame(frame) if frame.get("type").is_some_and(|kind| kind == "success") => Ok(None),
            Received::Frame(frame) => {
                Err(failed(FRAMING, "`success` to `init`", serde_json::Value::Object(frame).to_string()))
            }
            // What it has to say to a line without an end is not to be read in this framing.
            Received::NoFrame(_) | Received::Closed | Received::TimedOut => Err(skipped("it takes only `line`")),
        };
    }
    let reply = session.next_reply()?;
    if reply.data().is_none() { Err(failed(FRAMING, "`success` to `init`", reply.shown())) } else { Ok(None) }
}

/// A session in `length`, chosen by the module.
fn chosen(lab: &mut Lab) -> Result<Session, Stop> {
    let (mut session, reply) = lab.ready_with(&Offer { framings: &["line", "length"], ..Offer::default() })?;
    match about(&reply)?.and_then(|ixt| ixt.get("framing")).and_then(serde_json::Value::as_str) {
        Some("length") => session.wire.framing = Framing::Length,
        Some("line") => session.wire.framing = Framing::Line,
        _ => {}
    }
    if session.wire.framing == Framing::Line {
        lab.finish(session)?;
        return Err(skipped("it stays with `line`"));
    }
    Ok(session)
}

pub(super) fn offered(lab: &mut Lab) -> Verdict {
    let topic = lab.target().to_owned();
    let mut session = chosen(lab)?;
    session.lives()?;
    let payload = b"\x00\n\xff";
    let reply = session.request("handle", &message(&topic, payload))?;
    comes_back(lab, &reply, payload)?;
    session.request("no_such_type", &json!({}))?;
    lab.finish(session)?;
    Ok(None)
}

pub(super) fn attachments(lab: &mut Lab) -> Verdict {
    let topic = lab.target().to_owned();
    let mut session = chosen(lab)?;
    for size in [256, 0, 100_000] {
        let payload: Vec<u8> = (0..=255).rev().cycle().take(size).collect();
        let mut fields = message(&topic, b"");
        if let Some(fields) = fields["message"].as_object_mut() {
            fields.remove("payload");
        }
        fields["attachment"] = "message.payload".into();
        let id = session.expect_reply();
        let json = crate::conformance::session::frame("handle", id, &fields);
        let sent = session.wire.send_attached(json.as_bytes(), &payload);
        session.sent(sent)?;
        let reply = session.reply_to(id)?;
        comes_back(lab, &reply, &payload)?;
    }
    lab.finish(session)?;
    Ok(Some(called(lab)))
}
