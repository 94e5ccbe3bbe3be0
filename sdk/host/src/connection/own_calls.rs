//! The module's own calls of the host's services (`service_request` frames): which of them wait for a response, and the handles with which
//! they can be cancelled.

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

/// The module's calls that wait for a response.
#[derive(Debug, Default)]
pub(super) struct OwnCalls {
    /// The calls with an id. The handle is from the bus; for a call that can't be cancelled it does nothing.
    by_id: HashMap<u64, CallHandle>,
    /// The number of calls without an id, which can't be cancelled.
    without_id: usize,
}

impl OwnCalls {
    /// Removes and returns the calls that have an id, in the order of their ids. Those without an id stay.
    pub(super) fn take_all(&mut self) -> Vec<(u64, CallHandle)> {
        let mut all: Vec<_> = std::mem::take(&mut self.by_id).into_iter().collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }
}

impl Connection {
    /// Registers a call that the module makes. It ends with [`end_call`](Self::end_call), or when it is cancelled: by the module, when the
    /// connection is closed, or with the request for which a sequential module makes it. False if the module has [`MAX_OWN_CALLS`]
    /// already, or one with this id: then the call is not registered, and has to be refused.
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

    /// Sets the handle that cancels a registered call. Nothing happens if the call has ended already.
    pub(crate) fn set_call_handle(&self, id: u64, handle: CallHandle) {
        if let Some(call) = lock(&self.own_calls).by_id.get_mut(&id) {
            *call = handle;
        }
    }

    /// Ends a registered call with this response. Returns false if the call was cancelled, which needs an id: then nothing
    /// is sent.
    pub(crate) fn end_call(
        &self,
        id: Option<u64>,
        response: Result<Object<'_>, ErrorBody<'_>>,
        batch: &mut WriteBatch,
    ) -> bool {
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
        is_waiting
    }

    /// Cancels a call, since the module has sent `cancel`; it gets no response. Nothing happens if the call has ended.
    pub(super) fn cancel_call(&self, id: u64, batch: &mut WriteBatch) {
        let handle = lock(&self.own_calls).by_id.remove(&id);
        if let Some(handle) = handle {
            handle.cancel(batch);
        }
    }

    /// Counts the bytes of a value that the module is writing, until the reservation is dropped. Above the limits in `limits.rs`, the
    /// module is not read from until enough reservations are dropped.
    pub(crate) fn hold(&self, bytes: usize) -> Reservation {
        self.work.overdraw(bytes)
    }

    /// Sends a response to a call of the module, without blocking. The error `RESOURCE_EXHAUSTED` is sent instead if the response is too
    /// long for a frame, or, as retryable, if the module has more than 64 MiB unread or what waits for modules takes too much memory.
    /// Nothing is sent if the connection is closed.
    pub(crate) fn respond(&self, id: Option<u64>, response: Result<Object<'_>, ErrorBody<'_>>, batch: &mut WriteBatch) {
        let frame = |response| Frame { id, body: HostFrame::ServiceResponse(response) };
        let error = |message, retryable| frame(Err(ErrorBody::new(code::RESOURCE_EXHAUSTED, message, retryable)));
        let Err(refused) = self.send_buffer.put(FrameClass::Response, &frame(response), batch) else { return };
        let (class, message, retryable) = match refused {
            Refused::Closed => return,
            Refused::TooLong { bytes, max_frame_bytes } => {
                let message =
                    format!("the response of {bytes} bytes is over the limit of {max_frame_bytes} bytes for a frame");
                (FrameClass::Response, message, false)
            }
            Refused::Full => (FrameClass::Essential, "the module does not read its responses".to_owned(), true),
            Refused::NoMemory => {
                let message = "the response does not fit into the memory of what waits for modules".to_owned();
                (FrameClass::Essential, message, true)
            }
        };
        let _ = self.send_buffer.put(class, &error(message, retryable), batch);
    }
}
