//! What a module must be able to read.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

use super::requests::{called, comes_back, same};
use crate::conformance::lab::{Lab, NOWHERE};
use crate::conformance::report::{Stop, Verdict, failed};
use crate::conformance::session::{Offer, frame, message};
use crate::conformance::wire::{Framing, shown};

pub(super) fn pieces(lab: &mut Lab) -> Verdict {
    let mut session = lab.ready()?;
    let id = session.expect_reply();
    let request = session.wire.framed(frame("health_check", id, &json!({})).as_bytes());
    for piece in request.chunks(3) {
        let sent = session.wire.send_raw(piece);
        session.sent(sent)?;
    }
    session.reply_to(id)?;
    // Two at once, the first of which is not answered.
    let cancel = session.wire.framed(frame("cancel", 1_000_000, &json!({})).as_bytes());
    let id = session.expect_reply();
    let request = session.wire.framed(frame("health_check", id, &json!({})).as_bytes());
    let sent = session.wire.send_raw(&[cancel, request].concat());
    session.sent(sent)?;
    session.reply_to(id)?;
    lab.finish(session)?;
    Ok(None)
}

pub(super) fn escapes(lab: &mut Lab) -> Verdict {
    let topic = lab.target().to_owned();
    let payload: Vec<u8> = (0..=255).rev().collect();
    let mut session = lab.ready()?;
    let expected = session.request("handle", &message(&topic, &payload))?;
    comes_back(lab, &expected, &payload)?;

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
    same(&reply, &expected, "a request in other JSON of the same meaning")?;
    comes_back(lab, &reply, &payload)?;
    lab.finish(session)?;
    Ok(None)
}

pub(super) fn unknown_fields(lab: &mut Lab) -> Verdict {
    let topic = lab.target().to_owned();
    let more = json!({ "a": [null, { "type": "shutdown" }] });
    let mut session = lab.start()?;
    let mut fields = session.init_fields(&lab.config, &Offer::default());
    fields["new"] = more.clone();
    fields["protocol"]["new"] = more.clone();
    fields["protocol"]["features"] = json!(["new"]);
    let reply = session.request("init", &fields)?;
    if reply.data().is_none() {
        return Err(failed(
            "Requests and replies",
            "`success` to an `init` with fields that are not known",
            reply.shown(),
        ));
    }
    let expected = session.request("handle", &message(&topic, b""))?;
    let mut fields = message(&topic, b"");
    fields["new"] = more.clone();
    fields["message"]["new"] = more.clone();
    fields["context"]["new"] = more.clone();
    same(&session.request("handle", &fields)?, &expected, "a request with fields that are not known")?;
    let reply = session.request("health_check", &json!({ "new": more }))?;
    if !reply.is_health() && session.tells_health {
        let expected = "`success` with `data.healthy` to a `health_check` with a field that is not known";
        return Err(failed("Requests and replies", expected, reply.shown()));
    }
    lab.finish(session)?;
    Ok(None)
}

pub(super) fn garbage(lab: &mut Lab) -> Verdict {
    let mut session = lab.ready()?;
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
    if lab.ids == Some(true) {
        garbage.push(b"{\"type\":\"health_check\",\"id\":-5}");
        garbage.push(b"{\"type\":\"health_check\",\"id\":\"5\"}");
    }
    for garbage in garbage {
        let sent = session.wire.send(garbage);
        session.sent(sent)?;
        // Whatever it answers to that would be taken for the reply to this.
        session.lives().map_err(|stop| match stop {
            Stop::Failed { came, .. } => {
                let expected =
                    format!("it skips what is no frame, such as {}, and answers the next one", shown(garbage));
                failed("Errors", expected, came)
            }
            stop => stop,
        })?;
    }
    lab.finish(session)?;
    Ok(None)
}

pub(super) fn large(lab: &mut Lab) -> Verdict {
    // In base64 13.3 MiB, which leaves room for whatever else stands in the reply of an echo.
    let payload: Vec<u8> = (0..10 * 1024 * 1024_u32).map(|n| n.to_le_bytes()[usize::from(n % 3 == 0)]).collect();
    let topic = lab.target().to_owned();
    let mut session = lab.ready()?;
    let reply = session.request("handle", &message(&topic, &payload))?;
    comes_back(lab, &reply, &payload)?;
    lab.finish(session)?;
    Ok(Some(called(lab)))
}

pub(super) fn over_long(lab: &mut Lab) -> Verdict {
    const LIMIT: usize = 64 * 1024;
    let (mut session, _) = lab.ready_with(&Offer { max_frame_bytes: LIMIT, ..Offer::default() })?;
    let long = session.expect_reply();
    session.outstanding.pop();
    let sent = session.wire.send(frame("handle", long, &message(NOWHERE, &vec![b'x'; LIMIT])).as_bytes());
    session.sent(sent)?;
    let health = session.send("health_check", &Value::Null)?;
    let reply = session.next_reply()?;
    let note = if reply.is_health() {
        session.outstanding.clear();
        None
    } else {
        // Some do without a limit: then the reply to `health_check` is the next.
        if reply.id.is_some_and(|id| id != long) {
            return Err(failed("Framing", "a reply to the request behind a frame that is too long", reply.shown()));
        }
        session.reply_to(health)?;
        Some(format!("it answered a frame of more than the {LIMIT} bytes that `init` allows, where it should skip it"))
    };
    lab.finish(session)?;
    Ok(note)
}
