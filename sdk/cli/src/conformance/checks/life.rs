//! How a module begins and ends.

use serde_json::{Value, json};

use crate::conformance::lab::Lab;
use crate::conformance::report::{Stop, Verdict, failed, skipped};
use crate::conformance::session::{Offer, Reply, Session, ended, frame, message};

const LIFE: &str = "A life";

pub(super) fn connects(lab: &mut Lab) -> Verdict {
    lab.start()?;
    Ok(None)
}

pub(super) fn init(lab: &mut Lab) -> Verdict {
    let (mut session, reply) = lab.ready_with(&Offer::default())?;
    lab.ids = Some(reply.id.is_some());
    let ixt = about(&reply)?;
    lab.tells_version = ixt.is_some_and(|ixt| ixt.get("protocol").is_some());
    let concurrency = ixt.and_then(|ixt| ixt.get("max_concurrency"));
    // Has to be known before the others, which ask for it to see that the module lives.
    lab.tells_health = session.request("health_check", &json!({}))?.is_health();
    session.tells_health = lab.tells_health;
    lab.finish(session)?;
    Ok(Some(match (reply.id, concurrency) {
        (None, _) => "it answers without ids, so it gets one request at a time".to_owned(),
        (Some(_), Some(many)) => format!("it answers with ids, and handles {many} requests at once"),
        (Some(_), None) => "it answers with ids".to_owned(),
    }))
}

type Test<'a> = &'a dyn Fn(&Value) -> bool;

/// What a reply to `init` says of the module, if it says anything.
pub(super) fn about(reply: &Reply) -> Result<Option<&serde_json::Map<String, Value>>, Stop> {
    let ixt = match reply.data().and_then(|data| data.get("ixt")) {
        None => return Ok(None),
        Some(Value::Object(ixt)) => ixt,
        Some(_) => return Err(failed("Host to module", "`data.ixt` that is an object, or none", reply.shown())),
    };
    let is_list = |value: &Value| value.as_array().is_some_and(|items| items.iter().all(Value::is_string));
    let keys: [(_, _, Test<'_>); 5] = [
        ("protocol", "1", &|value| *value == 1),
        ("sdk", "text", &Value::is_string),
        ("max_concurrency", "an integer above 0", &|value| value.as_u64().is_some_and(|many| many > 0)),
        ("framing", "one of the framings that were offered", &|value| *value == "line" || *value == "length"),
        ("features", "a list of texts", &is_list),
    ];
    for (key, expected, test) in keys {
        if !ixt.get(key).is_none_or(test) {
            let expected = format!("`data.ixt.{key}` that is {expected}, or none");
            return Err(failed("Host to module", expected, reply.shown()));
        }
    }
    Ok(Some(ixt))
}

pub(super) fn before_init(lab: &mut Lab) -> Verdict {
    if lab.ids == Some(false) {
        return Err(skipped("it answers without ids"));
    }
    let mut session = lab.start()?;
    let reply = session.request("handle", &message(lab.target(), b""))?;
    if reply.code() != Some("FAILED_PRECONDITION") {
        return Err(failed("Errors", "an `error` with the code FAILED_PRECONDITION", reply.shown()));
    }
    let reply = session.init(&lab.config, &Offer::default())?;
    if reply.data().is_none() {
        return Err(failed(LIFE, "`success` to the `init` after that", reply.shown()));
    }
    lab.finish(session)?;
    Ok(None)
}

pub(super) fn second_init(lab: &mut Lab) -> Verdict {
    let mut session = lab.ready()?;
    let reply = session.init(&lab.config, &Offer::default())?;
    lab.finish(session)?;
    Ok(unlike(&reply, "FAILED_PRECONDITION"))
}

pub(super) fn other_version(lab: &mut Lab) -> Verdict {
    if !lab.tells_version {
        return Err(skipped("it does not say in its reply to `init` which version it speaks"));
    }
    let mut session = lab.start()?;
    let reply = session.init(&lab.config, &Offer { version: 1_000_000, ..Offer::default() })?;
    match reply.code() {
        Some("FAILED_PRECONDITION") => {}
        _ => return Err(failed("Errors", "an `error` with the code FAILED_PRECONDITION", reply.shown())),
    }
    exits(&mut session, "it exits when it has answered `init` with an error")?;
    Ok(None)
}

/// A reply that is allowed, but not the one that is meant.
pub(super) fn unlike(reply: &Reply, code: &str) -> Option<String> {
    match reply.code() {
        Some(answered) if answered == code => None,
        Some(answered) => Some(format!("it answered {answered}, where {code} is meant")),
        None => Some(format!("it answered with success, where {code} is meant")),
    }
}

pub(super) fn shutdown(lab: &mut Lab) -> Verdict {
    let mut session = lab.ready()?;
    let reply = session.request("shutdown", &grace(lab))?;
    if reply.data().is_none() {
        return Err(failed(LIFE, "`success` to `shutdown`", reply.shown()));
    }
    let expected = "it closes its connection when it has answered `shutdown`, and exits with status 0";
    if !session.nothing_more(lab.patience)? {
        return Err(failed(LIFE, expected, format!("its connection was still open after {:?}", lab.patience)));
    }
    let status = session.process.wait(lab.patience);
    if !status.is_some_and(|status| status.success()) {
        return Err(failed(LIFE, expected, ended(status)));
    }
    Ok(None)
}

fn grace(lab: &Lab) -> Value {
    json!({ "grace_ms": u64::try_from(lab.patience.as_millis() / 2).unwrap_or(u64::MAX) })
}

pub(super) fn after_shutdown(lab: &mut Lab) -> Verdict {
    let mut session = lab.ready()?;
    let call = message(lab.target(), b"");
    let at_once = lab.ids == Some(true);
    let shutdown = session.expect_reply();
    let mut bytes = session.wire.framed(frame("shutdown", shutdown, &grace(lab)).as_bytes());
    let handle = session.expect_reply();
    let handle_bytes = session.wire.framed(frame("handle", handle, &call).as_bytes());
    if at_once {
        // When it has answered `shutdown`, it may be gone.
        bytes.extend(&handle_bytes);
    } else {
        session.outstanding.pop();
    }
    let sent = session.wire.send_raw(&bytes);
    session.sent(sent)?;
    let mut note = Some("it does not answer any more".to_owned());
    let mut answered = false;
    for _ in 0..2 {
        let Some(reply) = session.reply_or_end()? else { break };
        if reply.id == Some(shutdown) || reply.id.is_none() && !answered {
            answered = true;
            if reply.data().is_none() {
                return Err(failed(LIFE, "`success` to `shutdown`", reply.shown()));
            }
            // It may be gone, or not read that any more.
            if !at_once && session.wire.send_raw(&handle_bytes).is_err() {
                break;
            }
        } else if reply.data().is_some() {
            return Err(failed(LIFE, "a request after `shutdown` is refused", reply.shown()));
        } else {
            note = unlike(&reply, "UNAVAILABLE");
        }
    }
    if answered { Ok(note) } else { Err(failed(LIFE, "`success` to `shutdown`", "it closed its connection")) }
}

pub(super) fn hang_up(lab: &mut Lab) -> Verdict {
    let mut session = lab.ready()?;
    session.wire.hang_up();
    exits(&mut session, "it exits when the host closes the connection")
}

pub(super) fn terminate(lab: &mut Lab) -> Verdict {
    let mut session = lab.ready()?;
    session.process.terminate();
    exits(&mut session, "it exits when it gets SIGTERM")
}

/// Waits for the process to end by itself.
fn exits(session: &mut Session, expected: &str) -> Verdict {
    match session.process.wait(session.patience) {
        None => Err(failed(LIFE, expected, format!("it still ran after {:?}", session.patience))),
        Some(status) if status.success() => Ok(None),
        status => Ok(Some(ended(status))),
    }
}
