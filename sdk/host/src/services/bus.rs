//! `message_bus` and `event_bus`: what a module sends to others. The host says who it comes from, and passes on what is left
//! of the time, the trace and the priority of what is being handled.

use std::sync::Arc;
use std::time::Duration;

use ixt_protocol::{BusSend, CallContext, Object, Priority, code};
use tokio::time::Instant;

use crate::bus::{Envelope, ParentSpan, ReplyTo, WriteBatch};
use crate::call_log::{Call, Outcome};
use crate::connection::Connection;
use crate::rights::{may_call, may_publish};
use crate::services::{HostServices, Refusal, wrong_params};
use crate::topic::Kind;

impl HostServices {
    pub(crate) fn send(
        &self,
        connection: &Arc<Connection>,
        id: Option<u64>,
        params: &Object<'_>,
        context: &CallContext<'_>,
        batch: &mut WriteBatch,
    ) -> Refusal {
        let message = self.message(connection, params, context)?;
        let right = may_call(self.release.manifest(), &message.topic);
        right.map_err(|reason| self.denied(&message, Kind::Call, reason))?;
        let pending = self.backends.bus.call(message, reply_to(connection, id), batch);
        if let Some(id) = id {
            connection.set_call_handle(id, pending);
        }
        Ok(())
    }

    pub(crate) fn publish(
        &self,
        connection: &Arc<Connection>,
        id: Option<u64>,
        params: &Object<'_>,
        context: &CallContext<'_>,
        batch: &mut WriteBatch,
    ) -> Refusal {
        // The publisher does not wait for the handlers, so that the event is not urgent and has no cause.
        let message = self.message(connection, params, context)?;
        let message = Envelope { deadline: None, priority: Priority::default(), cause: None, ..message };
        let right = may_publish(self.release.manifest(), &message.topic);
        right.map_err(|reason| self.denied(&message, Kind::Event, reason))?;
        self.backends.bus.publish(message, reply_to(connection, id), batch);
        Ok(())
    }

    fn denied(&self, message: &Envelope<'_>, kind: Kind, reason: String) -> (&'static str, String) {
        let Envelope { topic, source, trace_id, .. } = message;
        let started = Instant::now();
        let call = Call { module: &self.instance, topic, kind, caller: source, trace_id, started };
        self.backends.call_log.failed(&call, Outcome::Refused, code::PERMISSION_DENIED, &reason);
        (code::PERMISSION_DENIED, reason)
    }

    fn message<'a>(
        &self,
        connection: &Connection,
        params: &'a Object<'_>,
        context: &CallContext<'_>,
    ) -> Refusal<Envelope<'a>> {
        let BusSend { topic, payload, priority, ttl_ms } = BusSend::of_params(params).map_err(wrong_params)?;
        let handled = connection.handled(context.parent);
        let own = ttl_ms.and_then(|ttl| Instant::now().checked_add(Duration::from_millis(ttl)));
        let inherited = handled.as_ref().and_then(|call| call.deadline);
        let trace_id = match &handled {
            Some(call) => Arc::clone(&call.trace_id),
            None if context.trace_id.is_empty() => new_trace(),
            None => context.trace_id.as_ref().into(),
        };
        let parent_span =
            handled.as_ref().map(|request| ParentSpan { id: request.span, is_sampled: request.is_sampled });
        Ok(Envelope {
            priority: priority.or(handled.as_ref().map(|call| call.priority)).unwrap_or_default(),
            deadline: own.into_iter().chain(inherited).min(),
            parent_span,
            cause: handled.map(|call| call.cause),
            ..Envelope::new(topic, payload, Arc::clone(self.release.source()), trace_id)
        })
    }
}

/// The id of a trace that begins here: 16 bytes, as W3C's trace context has it.
pub(crate) fn new_trace() -> Arc<str> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    // By hand, for each call of the host has one, and `format!` takes as long as a tenth of the rest.
    let bytes = fastrand::u128(..).max(1).to_be_bytes();
    let digits: [u8; 32] = std::array::from_fn(|at| DIGITS[usize::from(bytes[at / 2] >> (4 - at % 2 * 4) & 0xF)]);
    std::str::from_utf8(&digits).expect("digits are ASCII").into()
}

/// To the module that asks, unless it is gone.
fn reply_to(connection: &Arc<Connection>, id: Option<u64>) -> ReplyTo {
    let connection = Arc::downgrade(connection);
    ReplyTo::new(move |result, batch| {
        if let Some(connection) = connection.upgrade() {
            connection.end_call(id, result.into_result(), batch);
        }
    })
}
