//! Checks of frames that a module has to read in either framing, and of bytes that it has to skip.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

use crate::conformance::frame::{Offer, frame, message};
use crate::conformance::section::Section;
use crate::conformance::services::{PayloadTarget, UNKNOWN_TOPIC};
use crate::conformance::trial::Trial;
use crate::conformance::verdict::{Stop, Verdict, failed};
use crate::conformance::wire::{Framing, shown};

/// A frame may come in several pieces, and several frames in one piece. The pieces are of 3 bytes.
pub(super) fn pieces(trial: &Trial<'_>) -> Verdict {
    let mut session = trial.ready()?;
    let id = session.expect_reply();
    let request = session.wire.framed(frame("health_check", id, &json!({})).as_bytes());
    for piece in request.chunks(3) {
        let sent = session.wire.send_raw(piece);
        session.sent(sent)?;
    }
    session.reply_to(id)?;
    // Two frames in one piece. The first has no reply.
    let cancel = session.wire.framed(frame("cancel", 1_000_000, &json!({})).as_bytes());
    let id = session.expect_reply();
    let request = session.wire.framed(frame("health_check", id, &json!({})).as_bytes());
    let sent = session.wire.send_raw(&[cancel, request].concat());
    session.sent(sent)?;
    session.reply_to(id)?;
    trial.finish(session)?;
    Ok(None)
}

/// A frame is JSON: escapes and white space in it change nothing. The same request is sent in two forms, and the module
/// has to understand both alike.
pub(super) fn escapes(trial: &Trial<'_>, target: &PayloadTarget) -> Verdict {
    let topic = target.topic();
    let payload: Vec<u8> = (0..=255).rev().collect();
    let mut session = trial.ready()?;
    let expected = session.request("handle", &message(topic, &payload))?;
    target.comes_back(&expected, &payload)?;

    let escaped: Vec<_> = topic.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
    let escaped = escaped.concat();
    let base64 = BASE64_STANDARD.encode(&payload).replace('/', "\\/");
    let id = session.expect_reply();
    let request = format!(
        r#"{{ "context" : {{ "trace_id" : "\ud83d\ude00 \u0000 \"\\" , "source_module" : "ü" , "timestamp" : 0 }} ,	"m\u0065ssage":
        {{ "payload" : "{base64}" , "topic" : "{escaped}" }} , "id" : {id} , "typ\u0065" : "h\u0061ndle" }}"#
    );
    let sent = session.wire.send(request.replace('\n', " ").as_bytes());
    session.sent(sent)?;
    let reply = session.reply_to(id)?;
    reply.is_like(&expected, "a request in other JSON of the same meaning")?;
    target.comes_back(&reply, &payload)?;
    trial.finish(session)?;
    Ok(None)
}

/// Fields that the protocol does not have are ignored, in `init` and in requests.
pub(super) fn unknown_fields(trial: &Trial<'_>, target: &PayloadTarget) -> Verdict {
    let topic = target.topic();
    let more = json!({ "a": [null, { "type": "shutdown" }] });
    let mut session = trial.start()?;
    let mut fields = session.init_fields(&trial.subject.config, &Offer::default());
    fields["new"] = more.clone();
    fields["protocol"]["new"] = more.clone();
    fields["protocol"]["features"] = json!(["new"]);
    let reply = session.request("init", &fields)?;
    if reply.data().is_none() {
        return Err(failed(Section::Replies, "`success` to an `init` with fields that are not known", reply.shown()));
    }
    let expected = session.request("handle", &message(topic, b""))?;
    let mut fields = message(topic, b"");
    fields["new"] = more.clone();
    fields["message"]["new"] = more.clone();
    fields["context"]["new"] = more.clone();
    let reply = session.request("handle", &fields)?;
    reply.is_like(&expected, "a request with fields that are not known")?;
    let reply = session.request("health_check", &json!({ "new": more }))?;
    if !reply.is_health() && session.answers_health_check {
        let expected = "`success` with `data.healthy` to a `health_check` with a field that is not known";
        return Err(failed(Section::Replies, expected, reply.shown()));
    }
    trial.finish(session)?;
    Ok(None)
}

/// Lines (or, in the framing `length`, frames) that are no JSON, no object, or have no valid `type` are skipped, and
/// the next request is answered. For a module with ids, so are requests without a valid `id`.
pub(super) fn garbage(trial: &Trial<'_>) -> Verdict {
    let mut session = trial.ready()?;
    let mut garbage: Vec<&[u8]> = vec![
        b"hello",
        b"{",
        b"[]",
        b"5",
        b"null",
        b"\"shutdown\"",
        b"[\"shutdown\", 5]",
        b"{\"id\":5}",
        b"{\"type\":5,\"id\":5}",
        b"\xff\xfe\x01",
    ];
    if session.wire.framing == Framing::Line {
        garbage.push(b"");
    }
    if trial.facts.replies_have_ids {
        garbage.push(b"{\"type\":\"health_check\",\"id\":-5}");
        garbage.push(b"{\"type\":\"health_check\",\"id\":\"5\"}");
    }
    for garbage in garbage {
        let sent = session.wire.send(garbage);
        session.sent(sent)?;
        // A reply to the garbage would come before the reply to this request, and fail.
        session.lives().map_err(|stop| match stop {
            Stop::Failed { came, .. } => {
                let expected =
                    format!("it skips what is no frame, such as {}, and answers the next one", shown(garbage));
                failed(Section::Errors, expected, came)
            }
            stop => stop,
        })?;
    }
    trial.finish(session)?;
    Ok(None)
}

/// A frame of 13 MiB, below the limit of 16 MiB, is answered, with success or any error. An echo replies with its
/// payload.
pub(super) fn large(trial: &Trial<'_>, target: &PayloadTarget) -> Verdict {
    // In base64 it has 13.3 MiB, which leaves room for the rest of an echo's reply below the limit of 16 MiB.
    let payload: Vec<u8> = (0..10 * 1024 * 1024_u32).map(|n| n.to_le_bytes()[usize::from(n % 3 == 0)]).collect();
    let topic = target.topic();
    let mut session = trial.ready()?;
    let reply = session.request("handle", &message(topic, &payload))?;
    target.comes_back(&reply, &payload)?;
    trial.finish(session)?;
    Ok(Some(target.note()))
}

/// A frame over the limit that `init` offers, 64 KiB here, is skipped, and the next request is answered. If the module
/// answers the long frame too, that is a note.
pub(super) fn over_long(trial: &Trial<'_>) -> Verdict {
    const LIMIT: usize = 64 * 1024;
    let (mut session, _) = trial.ready_with(&Offer { max_frame_bytes: LIMIT, ..Offer::default() })?;
    let long = session.expect_reply();
    session.outstanding.pop();
    let sent = session.wire.send(frame("handle", long, &message(UNKNOWN_TOPIC, &vec![b'x'; LIMIT])).as_bytes());
    session.sent(sent)?;
    let health = session.send("health_check", &Value::Null)?;
    let reply = session.next_reply()?;
    let note = if reply.is_health() {
        session.outstanding.clear();
        None
    } else {
        // A module may ignore the limit and answer the long request. Then the reply to `health_check` comes next.
        if reply.id.is_some_and(|id| id != long) {
            return Err(failed(
                Section::Framing,
                "a reply to the request behind a frame that is too long",
                reply.shown(),
            ));
        }
        session.reply_to(health)?;
        Some(format!("it answered a frame of more than the {LIMIT} bytes that `init` allows, where it should skip it"))
    };
    trial.finish(session)?;
    Ok(note)
}
