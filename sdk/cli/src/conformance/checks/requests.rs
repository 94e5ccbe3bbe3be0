//! Requests and their replies.

use std::time::Instant;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Map, Value, json};

use super::life::unlike;
use crate::conformance::lab::{Lab, NOWHERE};
use crate::conformance::report::{Stop, Verdict, failed, skipped};
use crate::conformance::session::{Reply, frame, message};

/// Calls a service with an empty payload.
pub(in crate::conformance) fn service(lab: &mut Lab, topic: &str) -> Verdict {
    if lab.skip.iter().any(|skipped| skipped == topic) {
        return Err(skipped("--skip"));
    }
    let mut session = lab.ready()?;
    let (ttl_ms, began) = (lab.ttl_ms(), Instant::now());
    let reply = session.handle(topic, b"", ttl_ms);
    // Also if it failed: that it made requests is seen then too.
    lab.service_requests.append(&mut session.service_requests);
    let (reply, took) = (reply?, began.elapsed().as_millis());
    if reply.code() == Some("UNKNOWN_TOPIC") {
        return Err(failed("Errors", "the service, which the manifest provides, is known", reply.shown()));
    }
    lab.finish(session)?;
    lab.called.push((topic.to_owned(), reply.data().is_some()));
    let late = took > u128::from(ttl_ms) + 250 && reply.code() != Some("DEADLINE_EXCEEDED");
    Ok(match reply.code() {
        _ if late => Some(format!("it answered after {took} ms, though its ttl_ms was {ttl_ms}")),
        Some(code) => Some(format!("it answered {code}")),
        None => None,
    })
}

pub(super) fn service_requests(lab: &mut Lab) -> Verdict {
    if lab.service_requests.is_empty() {
        return Err(skipped("it made none while its services were called with empty payloads"));
    }
    let mut names = lab.service_requests.clone();
    names.sort();
    names.dedup();
    Ok(Some(format!("{}: answered UNIMPLEMENTED", names.join(", "))))
}

pub(super) fn health_check(lab: &mut Lab) -> Verdict {
    let mut session = lab.ready()?;
    let reply = session.request("health_check", &json!({}))?;
    if !reply.is_health() {
        let expected = "`success` with `data.healthy`, which is true or false";
        return Err(failed("Host to module", expected, reply.shown()));
    }
    if !reply.data().and_then(|data| data.get("ready")).is_none_or(serde_json::Value::is_boolean) {
        let expected = "`data.ready` that is true or false, or none";
        return Err(failed("Host to module", expected, reply.shown()));
    }
    lab.finish(session)?;
    let healthy = reply.data().is_some_and(|data| data["healthy"] == true);
    Ok((!healthy).then(|| "it says that it is not healthy".to_owned()))
}

pub(super) fn unknown_topic(lab: &mut Lab) -> Verdict {
    let mut session = lab.ready()?;
    let reply = session.handle(NOWHERE, b"", 60_000)?;
    is_unknown(&reply)?;
    lab.finish(session)?;
    Ok(None)
}

fn is_unknown(reply: &Reply) -> Result<(), Stop> {
    match reply.code() {
        Some("UNKNOWN_TOPIC") => Ok(()),
        _ => Err(failed("Errors", "an `error` with the code UNKNOWN_TOPIC", reply.shown())),
    }
}

pub(super) fn event(lab: &mut Lab) -> Verdict {
    let topic = lab.manifest.requires.events.first().map_or(NOWHERE, |topic| topic.as_str()).to_owned();
    let mut session = lab.ready()?;
    let reply = session.request("event", &message(&topic, b""))?;
    lab.finish(session)?;
    Ok(reply.code().map(|code| format!("it answered {code}")))
}

pub(super) fn large_ids(lab: &mut Lab) -> Verdict {
    with_ids(lab)?;
    let mut session = lab.ready()?;
    // The largest, and one that a floating-point number can't hold.
    for id in [u64::MAX, (1 << 53) + 1] {
        session.outstanding.push(id);
        let sent = session.wire.send(frame("health_check", id, &json!({})).as_bytes());
        session.sent(sent)?;
        session.reply_to(id)?;
    }
    lab.finish(session)?;
    Ok(None)
}

fn with_ids(lab: &Lab) -> Result<(), Stop> {
    if lab.ids == Some(false) { Err(skipped("it answers without ids")) } else { Ok(()) }
}

pub(super) fn pipelined(lab: &mut Lab) -> Verdict {
    if lab.ids == Some(false) {
        return Err(skipped("it answers without ids, so it gets one request at a time"));
    }
    let mut session = lab.ready()?;
    let kinds = [("health_check", json!({})), ("handle", message(NOWHERE, b"")), ("no_such_type", json!({}))];
    let mut bytes = Vec::new();
    let mut sent = Vec::new();
    for (kind, fields) in kinds.iter().cycle().take(60) {
        let id = session.expect_reply();
        bytes.extend(session.wire.framed(frame(kind, id, fields).as_bytes()));
        sent.push((id, *kind));
    }
    let written = session.wire.send_raw(&bytes);
    session.sent(written)?;
    while !session.outstanding.is_empty() {
        let reply = session.next_reply()?;
        let waits = session.outstanding.iter().position(|id| Some(*id) == reply.id);
        let Some(position) = waits else {
            let expected = "one reply to each of the requests";
            return Err(failed("Requests and replies", expected, reply.shown()));
        };
        let id = session.outstanding.remove(position);
        let kind = sent.iter().find(|(sent, _)| *sent == id).map_or("", |(_, kind)| kind);
        if (kind == "health_check") != reply.is_health() && session.tells_health {
            let expected = format!("a reply to the request {id}, which was `{kind}`");
            return Err(failed("Requests and replies", expected, reply.shown()));
        }
    }
    lab.finish(session)?;
    Ok(None)
}

pub(super) fn unknown_type(lab: &mut Lab) -> Verdict {
    let mut session = lab.ready()?;
    let reply = session.request("no_such_type", &json!({ "message": 5 }))?;
    if reply.code().is_none() {
        return Err(failed("Errors", "an `error` with the code UNIMPLEMENTED", reply.shown()));
    }
    lab.finish(session)?;
    Ok(unlike(&reply, "UNIMPLEMENTED"))
}

pub(super) fn wrong_shape(lab: &mut Lab) -> Verdict {
    let topic = lab.target().to_owned();
    let mut session = lab.ready()?;
    let mut note = None;
    for fields in [
        json!({ "context": {} }),
        json!({ "message": { "payload": "" }, "context": {} }),
        json!({ "message": { "topic": topic, "payload": "not base64!" }, "context": {} }),
    ] {
        let reply = session.request("handle", &fields)?;
        if reply.code().is_none() {
            let expected = format!("an `error` with the code INVALID_INPUT to {fields}");
            return Err(failed("Errors", expected, reply.shown()));
        }
        note = note.or(unlike(&reply, "INVALID_INPUT"));
    }
    lab.finish(session)?;
    Ok(note)
}

pub(super) fn cancel(lab: &mut Lab) -> Verdict {
    let mut session = lab.ready()?;
    let sent = session.wire.send(frame("cancel", 1_000_000, &json!({})).as_bytes());
    session.sent(sent)?;
    // A reply to it would be the next.
    lab.finish(session)?;
    Ok(None)
}

pub(super) fn urgency(lab: &mut Lab) -> Verdict {
    let topic = lab.target().to_owned();
    let mut session = lab.ready()?;
    let expected = session.request("handle", &message(&topic, b""))?;
    for (priority, ttl_ms) in [(None, None), (Some(1), None), (Some(3), Some(600_000)), (Some(4), Some(60_000))] {
        let mut fields = message(&topic, b"");
        if let Some(fields) = fields["message"].as_object_mut() {
            fields.remove("priority");
            fields.extend(priority.map(|priority: u64| ("priority".to_owned(), priority.into())));
            fields.extend(ttl_ms.map(|ttl_ms: u64| ("ttl_ms".to_owned(), ttl_ms.into())));
        }
        same(&session.request("handle", &fields)?, &expected, "a request with another `priority` or `ttl_ms`")?;
    }
    lab.finish(session)?;
    Ok(None)
}

/// Checks that a reply is of the same kind as that to the same request in another form.
pub(super) fn same(reply: &Reply, expected: &Reply, what: &str) -> Result<(), Stop> {
    /// What a service itself answers may be another time another; these come from what was not understood.
    const NOT_UNDERSTOOD: [&str; 5] =
        ["UNKNOWN_TOPIC", "INVALID_INPUT", "UNIMPLEMENTED", "DEADLINE_EXCEEDED", "INTERNAL"];
    if reply.code() == expected.code() || reply.code().is_none_or(|code| !NOT_UNDERSTOOD.contains(&code)) {
        return Ok(());
    }
    let expected = format!("{what} is answered like any, with {}", expected.code().unwrap_or("success"));
    Err(failed("Requests and replies", expected, reply.shown()))
}

pub(super) fn all_bytes(lab: &mut Lab) -> Verdict {
    let payload: Vec<u8> = (0..=255).collect();
    let topic = lab.target().to_owned();
    let mut session = lab.ready()?;
    // Each length modulo three has another padding.
    for cut in 0..3 {
        let payload = &payload[cut..];
        let reply = session.request("handle", &message(&topic, payload))?;
        comes_back(lab, &reply, payload)?;
    }
    lab.finish(session)?;
    Ok(Some(called(lab)))
}

/// Checks that an echo's reply holds the payload.
pub(super) fn comes_back(lab: &Lab, reply: &Reply, payload: &[u8]) -> Result<(), Stop> {
    let text = BASE64_STANDARD.encode(payload);
    let holds = |data: &Map<String, Value>| data.values().any(|value| value.as_str() == Some(&text));
    if lab.echo.is_none() || reply.data().is_some_and(holds) {
        return Ok(());
    }
    let expected = format!("`data` in which one value is the payload of {} bytes, in base64 (--echo)", payload.len());
    Err(failed("Payload", expected, reply.shown()))
}

/// Which service was called, and what that tells.
pub(super) fn called(lab: &Lab) -> String {
    match (&lab.echo, lab.target()) {
        (Some(echo), _) => format!("`{echo}` gives it back"),
        (None, NOWHERE) => "no service takes bytes, so none was called".to_owned(),
        (None, topic) => format!("`{topic}` answers; --echo checks the bytes too"),
    }
}
