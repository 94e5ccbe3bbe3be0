//! The module's own calls of the host's services (`service_request` frames): which of them wait for a response, and how they can
//! be cancelled.

use std::collections::hash_map::Entry;

use foldhash::HashMap;
use ixt_protocol::{ErrorBody, Frame, HostFrame, Object, code};

use super::Connection;
use super::send_buffer::{FrameClass, Refused};
use crate::budget::Reservation;
use crate::bus::{CallHandle, WriteBatch};
use crate::lock::lock;

/// How many own calls a module may have at once. More are refused with `RESOURCE_EXHAUSTED`.
const MAX_OWN_CALLS: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(super) struct OwnCalls {
    /// Those with an id. The handle is of the bus; that of a call that can't be cancelled does nothing.
    by_id: HashMap<u64, CallHandle>,
    /// How many have no id, and so can't be cancelled.
    without_id: usize,
}

impl OwnCalls {
    /// Removes the calls that can be cancelled, in the order of their ids.
    pub(super) fn take_all(&mut self) -> Vec<(u64, CallHandle)> {
        let mut all: Vec<_> = std::mem::take(&mut self.by_id).into_iter().collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }
}

impl Connection {
    /// Registers a call that the module makes. It ends with [`end_call`](Self::end_call). False if the module has too many, or one
    /// with this id: then it is not registered.
    pub(crate) fn begin_call(&self, id: Option<u64>) -> bool {
        let mut calls = lock(&self.own_calls);
        if calls.by_id.len() + calls.without_id >= MAX_OWN_CALLS {
            return false;
        }
        let Some(id) = id else {
            calls.without_id += 1;
            return true;
        };
        match calls.by_id.entry(id) {
            Entry::Vacant(entry) => {
                entry.insert(CallHandle::default());
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    /// Sets how a registered call is cancelled. Nothing happens if it has ended already.
    pub(crate) fn set_call_handle(&self, id: u64, handle: CallHandle) {
        if let Some(call) = lock(&self.own_calls).by_id.get_mut(&id) {
            *call = handle;
        }
    }

    /// Ends a registered call with this response. Nothing is sent if the module has cancelled it.
    pub(crate) fn end_call(
        &self,
        id: Option<u64>,
        response: Result<Object<'_>, ErrorBody<'_>>,
        batch: &mut WriteBatch,
    ) {
        let is_waiting = {
            let mut calls = lock(&self.own_calls);
            match id {
                Some(id) => calls.by_id.remove(&id).is_some(),
                None => {
                    calls.without_id = calls.without_id.saturating_sub(1);
                    true
                }
            }
        };
        if is_waiting {
            self.respond(id, response, batch);
        }
    }

    /// The module cancels one of its calls. Nothing happens if it has ended.
    pub(super) fn cancel_call(&self, id: u64, batch: &mut WriteBatch) {
        let handle = lock(&self.own_calls).by_id.remove(&id);
        if let Some(handle) = handle {
            handle.cancel(batch);
        }
    }

    /// Counts the bytes that an own call carries while the host works on it. Above the limit, the module is not read from until
    /// enough of them are dropped.
    pub(crate) fn hold(&self, bytes: usize) -> Reservation {
        self.work.overdraw(bytes)
    }

    /// Sends a response to an own call. One that is too long, or that the module leaves no room for, is replaced by an error.
    pub(crate) fn respond(&self, id: Option<u64>, response: Result<Object<'_>, ErrorBody<'_>>, batch: &mut WriteBatch) {
        let frame = |response| Frame { id, body: HostFrame::ServiceResponse(response) };
        let error = |message, retryable| frame(Err(ErrorBody::new(code::RESOURCE_EXHAUSTED, message, retryable)));
        let _ = match self.send_buffer.put(FrameClass::Response, &frame(response), batch) {
            Ok(()) | Err(Refused::Closed) => Ok(()),
            Err(Refused::TooLong { bytes, max_frame_bytes }) => {
                let message =
                    format!("the response of {bytes} bytes is over the limit of {max_frame_bytes} bytes for a frame");
                self.send_buffer.put(FrameClass::Response, &error(message, false), batch)
            }
            Err(Refused::Full) => {
                let message = "the module does not read its responses".to_owned();
                self.send_buffer.put(FrameClass::Essential, &error(message, true), batch)
            }
        };
    }
}
