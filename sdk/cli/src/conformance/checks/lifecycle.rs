//! Checks of how a module begins and ends. Most of them end the process.

use serde_json::{Value, json};

use crate::conformance::frame::{Offer, frame, message};
use crate::conformance::section::Section;
use crate::conformance::services::PayloadTarget;
use crate::conformance::session::{ModuleSession, ended};
use crate::conformance::trial::Trial;
use crate::conformance::verdict::{Verdict, failed, skipped};

/// A request before `init` is answered `FAILED_PRECONDITION`, and `init` is accepted afterwards. Skipped for a module
/// without ids, which gets one request at a time.
pub(super) fn before_init(trial: &Trial<'_>, target: &PayloadTarget) -> Verdict {
    if !trial.facts.replies_have_ids {
        return Err(skipped("it answers without ids"));
    }
    let mut session = trial.start()?;
    let reply = session.request("handle", &message(target.topic(), b""))?;
    if reply.code() != Some("FAILED_PRECONDITION") {
        return Err(failed(Section::Errors, "an `error` with the code FAILED_PRECONDITION", reply.shown()));
    }
    let reply = session.init(&trial.subject.config, &Offer::default())?;
    if reply.data().is_none() {
        return Err(failed(Section::Lifecycle, "`success` to the `init` after that", reply.shown()));
    }
    trial.finish(session)?;
    Ok(None)
}

/// A second `init` is answered. Anything but `FAILED_PRECONDITION` is a note.
pub(super) fn second_init(trial: &Trial<'_>) -> Verdict {
    let mut session = trial.ready()?;
    let reply = session.init(&trial.subject.config, &Offer::default())?;
    trial.finish(session)?;
    Ok(reply.note_unless("FAILED_PRECONDITION"))
}

/// An `init` with a version that the module can't know is answered `FAILED_PRECONDITION`, and the module exits. Skipped
/// if its reply to `init` does not say which version it speaks.
pub(super) fn other_version(trial: &Trial<'_>) -> Verdict {
    if !trial.facts.states_version {
        return Err(skipped("it does not say in its reply to `init` which version it speaks"));
    }
    let mut session = trial.start()?;
    let reply = session.init(&trial.subject.config, &Offer { version: 1_000_000, ..Offer::default() })?;
    match reply.code() {
        Some("FAILED_PRECONDITION") => {}
        _ => return Err(failed(Section::Errors, "an `error` with the code FAILED_PRECONDITION", reply.shown())),
    }
    exits(&mut session, "it exits when it has answered `init` with an error")?;
    Ok(None)
}

/// `shutdown` is answered with success; then the module closes its connection and exits with status 0.
pub(super) fn shutdown(trial: &Trial<'_>) -> Verdict {
    let mut session = trial.ready()?;
    let reply = session.request("shutdown", &grace(trial))?;
    if reply.data().is_none() {
        return Err(failed(Section::Lifecycle, "`success` to `shutdown`", reply.shown()));
    }
    let expected = "it closes its connection when it has answered `shutdown`, and exits with status 0";
    if !session.no_more_replies(trial.subject.timeout)? {
        return Err(failed(
            Section::Lifecycle,
            expected,
            format!("its connection was still open after {:?}", trial.subject.timeout),
        ));
    }
    let status = session.process.wait(trial.subject.timeout);
    if !status.is_some_and(|status| status.success()) {
        return Err(failed(Section::Lifecycle, expected, ended(status)));
    }
    Ok(None)
}

/// The fields of a `shutdown`: half of the timeout as the grace period.
fn grace(trial: &Trial<'_>) -> Value {
    json!({ "grace_ms": u64::try_from(trial.subject.timeout.as_millis() / 2).unwrap_or(u64::MAX) })
}

/// A request after `shutdown` is refused with an error, or not answered any more; a code other than `UNAVAILABLE` is a
/// note. A module with ids gets the request together with `shutdown`, one without ids once it has answered `shutdown`.
pub(super) fn after_shutdown(trial: &Trial<'_>, target: &PayloadTarget) -> Verdict {
    let mut session = trial.ready()?;
    let call = message(target.topic(), b"");
    let at_once = trial.facts.replies_have_ids;
    let shutdown = session.expect_reply();
    let mut bytes = session.wire.framed(frame("shutdown", shutdown, &grace(trial)).as_bytes());
    let handle = session.expect_reply();
    let handle_bytes = session.wire.framed(frame("handle", handle, &call).as_bytes());
    if at_once {
        // Both in one piece: once the module has answered `shutdown`, it may be gone.
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
                return Err(failed(Section::Lifecycle, "`success` to `shutdown`", reply.shown()));
            }
            // Sending fails if the module is gone already, which is right.
            if !at_once && session.wire.send_raw(&handle_bytes).is_err() {
                break;
            }
        } else if reply.data().is_some() {
            return Err(failed(Section::Lifecycle, "a request after `shutdown` is refused", reply.shown()));
        } else {
            note = reply.note_unless("UNAVAILABLE");
        }
    }
    if answered {
        Ok(note)
    } else {
        Err(failed(Section::Lifecycle, "`success` to `shutdown`", "it closed its connection"))
    }
}

/// The module exits within the timeout when the host closes the connection in both directions.
pub(super) fn hang_up(trial: &Trial<'_>) -> Verdict {
    let mut session = trial.ready()?;
    session.wire.hang_up();
    exits(&mut session, "it exits when the host closes the connection")
}

/// The module exits within the timeout when it gets SIGTERM.
pub(super) fn terminate(trial: &Trial<'_>) -> Verdict {
    let mut session = trial.ready()?;
    session.process.terminate();
    exits(&mut session, "it exits when it gets SIGTERM")
}

/// Waits for the process to exit by itself, for the timeout at most. A status other than 0 is a note.
fn exits(session: &mut ModuleSession, expected: &str) -> Verdict {
    match session.process.wait(session.timeout) {
        None => Err(failed(Section::Lifecycle, expected, format!("it still ran after {:?}", session.timeout))),
        Some(status) if status.success() => Ok(None),
        status => Ok(Some(ended(status))),
    }
}
