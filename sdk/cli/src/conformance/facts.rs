//! The facts about the module that checks depend on. The first two checks gather them once, and they don't change
//! afterwards. So no check depends on which others are made, or in which order.

use serde_json::{Map, Value, json};

use super::frame::Offer;
use super::process::OutputTail;
use super::reply::ModuleReply;
use super::section::Section;
use super::subject::Subject;
use super::verdict::{Stop, Verdict, failed};

/// What the first conversation with the module has shown.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Facts {
    /// Whether its replies have ids. If not, it gets one request at a time.
    pub(super) replies_have_ids: bool,
    /// Whether its reply to `init` says which version of the protocol it speaks.
    pub(super) states_version: bool,
    /// Whether it answers `health_check` as the protocol demands. If not, one check reports that, and the others accept
    /// any reply to it.
    pub(super) answers_health_check: bool,
    /// Whether it closes its connection within the timeout after the host has closed its own end. If not, the other
    /// checks don't wait for that.
    pub(super) closes_with_host: bool,
}

/// The first check: a process of the module connects. The process is ended afterwards.
pub(super) fn connects(subject: &Subject, output: &OutputTail) -> Verdict {
    subject.start(output)?;
    Ok(None)
}

/// The second check: the module answers `init`, and then `health_check`. Returns the facts, and a note for people.
pub(super) fn gather(subject: &Subject, output: &OutputTail) -> Result<(Facts, String), Stop> {
    let mut session = subject.start(output)?;
    let reply = session.initialize(&subject.config, &Offer::default())?;
    let about = about(&reply)?;
    let answers_health_check = session.request("health_check", &json!({}))?.is_health();
    session.answers_health_check = answers_health_check;
    session.lives()?;
    let facts = Facts {
        replies_have_ids: reply.id.is_some(),
        states_version: about.is_some_and(|about| about.contains_key("protocol")),
        answers_health_check,
        closes_with_host: session.end(subject.timeout)?,
    };
    let note = match (reply.id, about.and_then(|about| about.get("max_concurrency"))) {
        (None, _) => "it answers without ids, so it gets one request at a time".to_owned(),
        (Some(_), Some(many)) => format!("it answers with ids, and handles {many} requests at once"),
        (Some(_), None) => "it answers with ids".to_owned(),
    };
    Ok((facts, note))
}

/// The object `ixt` of a reply to `init`, in which the module describes itself. `None` if it has none. [`Stop::Failed`]
/// if it is no object, or one of its known keys has a wrong value; all keys may be absent. `framing` may be `line` or
/// `length`, whichever was offered.
pub(super) fn about(reply: &ModuleReply) -> Result<Option<&Map<String, Value>>, Stop> {
    type Test<'a> = &'a dyn Fn(&Value) -> bool;
    let about = match reply.data().and_then(|data| data.get("ixt")) {
        None => return Ok(None),
        Some(Value::Object(about)) => about,
        Some(_) => {
            return Err(failed(Section::HostToModule, "`data.ixt` that is an object, or none", reply.shown()));
        }
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
        if !about.get(key).is_none_or(test) {
            let expected = format!("`data.ixt.{key}` that is {expected}, or none");
            return Err(failed(Section::HostToModule, expected, reply.shown()));
        }
    }
    Ok(Some(about))
}
