//! Checks of requests and their replies. `lifecycle` checks `init` and `shutdown`.

use serde_json::{Value, json};

use crate::conformance::frame::{frame, message};
use crate::conformance::section::Section;
use crate::conformance::services::{PayloadTarget, ServiceCall, UNKNOWN_TOPIC};
use crate::conformance::trial::Trial;
use crate::conformance::verdict::{Verdict, failed, skipped};

/// Reports which requests the module has made, from its start until its reply, in the processes in which its services
/// were called. Their shape was checked then, so this check can't fail; it is skipped if there were none.
pub(super) fn service_requests(calls: &[ServiceCall]) -> Verdict {
    let mut names: Vec<_> = calls.iter().flat_map(|call| call.service_requests.clone()).collect();
    if names.is_empty() {
        return Err(skipped("it made none while its services were called with empty payloads"));
    }
    names.sort();
    names.dedup();
    Ok(Some(format!("{}: answered UNIMPLEMENTED", names.join(", "))))
}

/// `health_check` is answered with `healthy`, a boolean; and if the reply has `ready`, that is a boolean too. A module
/// that says that it is not healthy gets a note.
pub(super) fn health_check(trial: &Trial<'_>) -> Verdict {
    let mut session = trial.ready()?;
    let reply = session.request("health_check", &json!({}))?;
    if !reply.is_health() {
        let expected = "`success` with `data.healthy`, which is true or false";
        return Err(failed(Section::HostToModule, expected, reply.shown()));
    }
    if !reply.data().and_then(|data| data.get("ready")).is_none_or(Value::is_boolean) {
        let expected = "`data.ready` that is true or false, or none";
        return Err(failed(Section::HostToModule, expected, reply.shown()));
    }
    trial.finish(session)?;
    let healthy = reply.data().is_some_and(|data| data["healthy"] == true);
    Ok((!healthy).then(|| "it says that it is not healthy".to_owned()))
}

/// A call of a topic that the module does not provide is answered `UNKNOWN_TOPIC`.
pub(super) fn unknown_topic(trial: &Trial<'_>) -> Verdict {
    let mut session = trial.ready()?;
    let reply = session.handle(UNKNOWN_TOPIC, b"", 60_000)?;
    if reply.code() != Some("UNKNOWN_TOPIC") {
        return Err(failed(Section::Errors, "an `error` with the code UNKNOWN_TOPIC", reply.shown()));
    }
    trial.finish(session)?;
    Ok(None)
}

/// An event is answered, with success or any error; the code of an error is a note. The topic is the first that the
/// manifest requires, or an unknown one.
pub(super) fn event(trial: &Trial<'_>) -> Verdict {
    let topic = trial.subject.manifest.requires.events.first().map_or(UNKNOWN_TOPIC, |topic| topic.as_str());
    let mut session = trial.ready()?;
    let reply = session.request("event", &message(topic, b""))?;
    trial.finish(session)?;
    Ok(reply.code().map(|code| format!("it answered {code}")))
}

/// Ids are integers of 64 bits: replies bring back the largest id, and one that no floating-point number holds. Skipped
/// for a module without ids.
pub(super) fn large_ids(trial: &Trial<'_>) -> Verdict {
    if !trial.facts.replies_have_ids {
        return Err(skipped("it answers without ids"));
    }
    let mut session = trial.ready()?;
    for id in [u64::MAX, (1 << 53) + 1] {
        session.outstanding.push(id);
        let sent = session.wire.send(frame("health_check", id, &json!({})).as_bytes());
        session.sent(sent)?;
        session.reply_to(id)?;
    }
    trial.finish(session)?;
    Ok(None)
}

/// 60 requests that are sent in one piece are all answered, each with its own id, in any order. Skipped for a module
/// without ids.
pub(super) fn pipelined(trial: &Trial<'_>) -> Verdict {
    if !trial.facts.replies_have_ids {
        return Err(skipped("it answers without ids, so it gets one request at a time"));
    }
    let mut session = trial.ready()?;
    let kinds = [("health_check", json!({})), ("handle", message(UNKNOWN_TOPIC, b"")), ("no_such_type", json!({}))];
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
            return Err(failed(Section::Replies, expected, reply.shown()));
        };
        let id = session.outstanding.remove(position);
        let kind = sent.iter().find(|(sent, _)| *sent == id).map_or("", |(_, kind)| kind);
        if (kind == "health_check") != reply.is_health() && session.answers_health_check {
            let expected = format!("a reply to the request {id}, which was `{kind}`");
            return Err(failed(Section::Replies, expected, reply.shown()));
        }
    }
    trial.finish(session)?;
    Ok(None)
}

/// A request of a type that the protocol does not have is answered with an error. A code other than `UNIMPLEMENTED` is
/// a note.
pub(super) fn unknown_type(trial: &Trial<'_>) -> Verdict {
    let mut session = trial.ready()?;
    let reply = session.request("no_such_type", &json!({ "message": 5 }))?;
    if reply.code().is_none() {
        return Err(failed(Section::Errors, "an `error` with the code UNIMPLEMENTED", reply.shown()));
    }
    trial.finish(session)?;
    Ok(reply.note_unless("UNIMPLEMENTED"))
}

/// A `handle` without a message, without a topic, or with a payload that is not base64 is answered with an error. A
/// code other than `INVALID_INPUT` is a note.
pub(super) fn wrong_shape(trial: &Trial<'_>, target: &PayloadTarget) -> Verdict {
    let topic = target.topic();
    let mut session = trial.ready()?;
    let mut note = None;
    for fields in [
        json!({ "context": {} }),
        json!({ "message": { "payload": "" }, "context": {} }),
        json!({ "message": { "topic": topic, "payload": "not base64!" }, "context": {} }),
    ] {
        let reply = session.request("handle", &fields)?;
        if reply.code().is_none() {
            let expected = format!("an `error` with the code INVALID_INPUT to {fields}");
            return Err(failed(Section::Errors, expected, reply.shown()));
        }
        note = note.or(reply.note_unless("INVALID_INPUT"));
    }
    trial.finish(session)?;
    Ok(note)
}

/// A `cancel` for a request that the module does not have is not answered.
pub(super) fn cancel(trial: &Trial<'_>) -> Verdict {
    let mut session = trial.ready()?;
    let sent = session.wire.send(frame("cancel", 1_000_000, &json!({})).as_bytes());
    session.sent(sent)?;
    // A reply to it would come before the next one, and fail.
    trial.finish(session)?;
    Ok(None)
}

/// The priorities 1 to 4, a `ttl_ms` or none, and a request without a priority are all understood alike. All deadlines
/// are too long to expire.
pub(super) fn urgency(trial: &Trial<'_>, target: &PayloadTarget) -> Verdict {
    let topic = target.topic();
    let mut session = trial.ready()?;
    let expected = session.request("handle", &message(topic, b""))?;
    for (priority, ttl_ms) in [(None, None), (Some(1), None), (Some(3), Some(600_000)), (Some(4), Some(60_000))] {
        let mut fields = message(topic, b"");
        if let Some(fields) = fields["message"].as_object_mut() {
            fields.remove("priority");
            fields.extend(priority.map(|priority: u64| ("priority".to_owned(), priority.into())));
            fields.extend(ttl_ms.map(|ttl_ms: u64| ("ttl_ms".to_owned(), ttl_ms.into())));
        }
        let reply = session.request("handle", &fields)?;
        reply.is_like(&expected, "a request with another `priority` or `ttl_ms`")?;
    }
    trial.finish(session)?;
    Ok(None)
}

/// A payload may have any bytes. An echo replies with them; from another target any reply is right.
pub(super) fn all_bytes(trial: &Trial<'_>, target: &PayloadTarget) -> Verdict {
    let payload: Vec<u8> = (0..=255).collect();
    let topic = target.topic();
    let mut session = trial.ready()?;
    // With each length of base64's padding.
    for cut in 0..3 {
        let payload = &payload[cut..];
        let reply = session.request("handle", &message(topic, payload))?;
        target.comes_back(&reply, payload)?;
    }
    trial.finish(session)?;
    Ok(Some(target.note()))
}
