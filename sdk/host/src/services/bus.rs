//! `message_bus.send` and `event_bus.publish`: the module's calls of other modules, and its events. The host adds the
//! sender, and what they inherit from the request that the module handles: a call its trace, span, priority, deadline
//! and chain of callers, an event only its trace and span. A call or an event outside of a request has the trace that
//! its frame names, or else gets a new one here. What happens at the callee is in `module_router/calls.rs`.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use ixt_protocol::{CallContext, InvalidJson, Object, Priority, WirePayload, code};
use serde::Deserialize;
use tokio::time::Instant;

use super::{HostServices, OwnCall, Refusal, read_params, wrong_params};
use crate::bus::{Envelope, ParentSpan, ReplyTo};
use crate::call_log::{CallOutcome, CallRecord};
use crate::connection::Connection;
use crate::permissions::{may_call, may_publish};
use crate::topic_kind::TopicKind;

/// The parameters of `message_bus.send` and `event_bus.publish`.
#[derive(Deserialize)]
struct SendParams<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    /// The payload in base64, which is passed on without being decoded. `None` if the payload is attached. Without
    /// either, the request is refused with `INVALID_INPUT`; if there are both, the attachment counts.
    #[serde(borrow)]
    payload: Option<ParamText<'a>>,
    /// `None`: the priority of the request that the module handles; if it handles none, low (1). Ignored for an event.
    priority: Option<Priority>,
    /// How long the module waits for the result, in milliseconds, but no longer than the caller of the request that it
    /// handles. `None`: as long as that caller; if it has no deadline either, the timeout is that of
    /// `module_router/calls`. Ignored for an event.
    ttl_ms: Option<u64>,
}

impl HostServices {
    /// `message_bus.send`: calls a service, if the module's manifest allows it. The result of the call is the response,
    /// which may be sent before this returns. A call that is not allowed is refused with `PERMISSION_DENIED`.
    pub(super) fn send(&self, call: &mut OwnCall<'_>, params: &Object<'_>, context: &CallContext<'_>) -> Refusal {
        let envelope = self.envelope(call.connection, params, context)?;
        let right = may_call(self.release.manifest(), &envelope.topic);
        right.map_err(|reason| self.denied(&envelope, TopicKind::Service, reason))?;
        let handle = self.backends.bus.call(envelope, reply_to(call.connection, call.id), call.batch);
        if let Some(id) = call.id {
            call.connection.set_call_handle(id, handle);
        }
        Ok(())
    }

    /// `event_bus.publish`: publishes an event, if the module's manifest allows it. The response comes when the bus has
    /// accepted it; it does not wait until modules have handled it.
    pub(super) fn publish(&self, call: &mut OwnCall<'_>, params: &Object<'_>, context: &CallContext<'_>) -> Refusal {
        // The publisher does not wait for the handlers, so that the event is not urgent and has no cause.
        let envelope = self.envelope(call.connection, params, context)?;
        let envelope = Envelope { deadline: None, priority: Priority::default(), cause: None, ..envelope };
        let right = may_publish(self.release.manifest(), &envelope.topic);
        right.map_err(|reason| self.denied(&envelope, TopicKind::Event, reason))?;
        self.backends.bus.publish(envelope, reply_to(call.connection, call.id), call.batch);
        Ok(())
    }

    /// Logs a call or an event that the manifest does not allow, about the calling process. Returns `PERMISSION_DENIED`
    /// for the module. The call counts for no topic.
    fn denied(&self, envelope: &Envelope<'_>, kind: TopicKind, reason: String) -> (&'static str, String) {
        let Envelope { topic, source, trace_id, .. } = envelope;
        let started = Instant::now();
        let call = CallRecord { module: &self.instance, topic, kind, caller: source, trace_id, started };
        self.backends.call_log.failed(&call, CallOutcome::Refused, code::PERMISSION_DENIED, &reason);
        (code::PERMISSION_DENIED, reason)
    }

    /// Reads the parameters, and adds what the request that the module handles passes on. That is the request
    /// `context.parent`; without it, the current one of a sequential module; if there is none, nothing is inherited.
    /// The deadline is the sooner one of the module's `ttl_ms` and that request's deadline. Fails with `INVALID_INPUT`.
    fn envelope<'a>(
        &self,
        connection: &Connection,
        params: &'a Object<'_>,
        context: &CallContext<'_>,
    ) -> Refusal<Envelope<'a>> {
        let SendParams { topic, payload, priority, ttl_ms } = read_params(params)?;
        let payload = match (params.attached("payload"), payload) {
            (Some(attached), _) => WirePayload::from(attached),
            (None, Some(ParamText(text))) => WirePayload::Base64(text.into()),
            (None, None) => return Err(wrong_params(InvalidJson::missing("payload"))),
        };
        let handled = connection.handled(context.parent);
        let own = ttl_ms.and_then(|ttl| Instant::now().checked_add(Duration::from_millis(ttl)));
        let inherited = handled.as_ref().and_then(|request| request.deadline);
        let trace_id = match &handled {
            Some(request) => Arc::clone(&request.trace_id),
            None if context.trace_id.is_empty() => new_trace_id(),
            None => context.trace_id.as_ref().into(),
        };
        let parent_span =
            handled.as_ref().map(|request| ParentSpan { id: request.span, is_sampled: request.is_sampled });
        Ok(Envelope {
            priority: priority.or(handled.as_ref().map(|request| request.priority)).unwrap_or_default(),
            deadline: own.into_iter().chain(inherited).min(),
            parent_span,
            cause: handled.map(|request| request.cause),
            ..Envelope::new(topic, payload, Arc::clone(self.release.source()), trace_id)
        })
    }
}

/// A text of the parameters, copied only if it has escapes. In an `Option` a `Cow` itself would always be copied: serde
/// borrows it only as a field of its own.
#[derive(Debug, Deserialize)]
struct ParamText<'a>(#[serde(borrow)] Cow<'a, str>);

/// Makes a random trace id of 32 lower-case hexadecimal digits, not all 0, as in W3C Trace Context. For a call or an
/// event for which there is none: the module names no request that it handles and no trace, or the host itself calls.
pub(crate) fn new_trace_id() -> Arc<str> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    // Without `format!`, which would take a tenth of the time of the whole call.
    let bytes = fastrand::u128(..).max(1).to_be_bytes();
    let digits: [u8; 32] = std::array::from_fn(|at| DIGITS[usize::from(bytes[at / 2] >> (4 - at % 2 * 4) & 0xF)]);
    std::str::from_utf8(&digits).expect("digits are ASCII").into()
}

/// Ends the module's call with the result, unless its connection is gone.
fn reply_to(connection: &Arc<Connection>, id: Option<u64>) -> ReplyTo {
    let connection = Arc::downgrade(connection);
    ReplyTo::new(move |result, batch| {
        if let Some(connection) = connection.upgrade() {
            connection.end_call(id, result.into_result(), batch);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_of_a_call_is_not_copied() {
        let params = Object::parse(r#"{"topic":"t","payload":"aGk="}"#).unwrap();
        let SendParams { payload, .. } = read_params(&params).unwrap();
        assert!(matches!(payload, Some(ParamText(Cow::Borrowed("aGk=")))), "{payload:?}");
        let escaped = Object::parse(r#"{"topic":"t","payload":"\u0061Gk="}"#).unwrap();
        let SendParams { payload, .. } = read_params(&escaped).unwrap();
        assert!(matches!(&payload, Some(ParamText(text)) if text == "aGk="), "{payload:?}");
    }
}
