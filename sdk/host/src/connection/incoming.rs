//! Handles each frame of a module: a reply ends a request, a `service_request` goes to the host's services, and a frame that can't be read
//! is answered with an error where that is possible.

use std::sync::Arc;

use ixt_protocol::{ErrorBody, Frame, Framing, ModuleFrame, RawFrame, Readiness, Unreadable, code};

use super::{Connection, Services};
use crate::bus::{CallResult, WriteBatch};
use crate::lock::lock;

/// What the reader does after a frame.
pub(super) enum NextStep {
    GoOn,
    /// Read the next frame in this framing.
    SwitchTo(Framing),
    /// Read no more: `init` has failed, or later frames could not be assigned to requests.
    Stop,
}

impl Connection {
    /// Handles a frame of the module. Called by the reader, for one frame after the other.
    pub(super) fn receive(
        self: &Arc<Self>,
        frame: RawFrame<'_>,
        services: &dyn Services,
        batch: &mut WriteBatch,
    ) -> NextStep {
        let Frame { id, body } = match ModuleFrame::read(frame) {
            Ok(frame) => frame,
            Err(unreadable) => return self.unreadable(&unreadable, services, batch),
        };
        match body {
            ModuleFrame::Success { .. } | ModuleFrame::Error(_) => {
                let init_reply = lock(&self.init_reply).take();
                if let Some(init_reply) = init_reply {
                    return self.initialized(id, body, init_reply);
                }
                self.reply(id, body, services, batch);
            }
            ModuleFrame::ServiceRequest(request) => services.request(self, id, request, batch),
            ModuleFrame::Cancel => {
                if let Some(id) = id {
                    self.cancel_call(id, batch);
                }
            }
            ModuleFrame::Log(log) => services.log(&log),
            ModuleFrame::Starting(starting) => {
                if self.is_initializing() {
                    self.progress.send_modify(|progress| progress.update(starting));
                } else {
                    services.complain("skipped what it sent: a `starting` frame has no use after the reply to `init`");
                }
            }
            ModuleFrame::Ready(Readiness { ready }) => self.readiness.set_by_frame(ready),
            unknown => {
                let kind = unknown.frame_type().to_owned();
                return self.unreadable(&Unreadable::UnknownType { id, kind }, services, batch);
            }
        }
        NextStep::GoOn
    }

    /// Ends the request that this `success` or `error` replies to. A reply that no request waits for is logged and
    /// skipped; one without an id from a concurrent module ends all requests.
    fn reply(
        self: &Arc<Self>,
        id: Option<u64>,
        body: ModuleFrame<'_>,
        services: &dyn Services,
        batch: &mut WriteBatch,
    ) {
        if id.is_none() && !self.is_sequential() {
            let error = "a reply has no `id`, although its reply to `init` had one";
            return self.fail_all(error, services, batch);
        }
        let result = match body {
            ModuleFrame::Success { data } => CallResult::Success(data),
            ModuleFrame::Error(error) => CallResult::Error(error),
            _ => return,
        };
        if !self.complete(id, result, batch) {
            let which = id.map_or_else(String::new, |id| format!(" to the request {id}"));
            services.complain(&format!("skipped a reply{which} that nobody waits for"));
        }
    }

    /// Handles a frame that can't be read. A reply ends its request, and a `service_request` gets the response `INVALID_INPUT`. A frame of
    /// an unknown type ends the request of the host that has its id; if none has, it gets the response `UNIMPLEMENTED`. Each is logged,
    /// except a reply that ends one request. What may have been a reply to any request goes to `not_a_frame` or `fail_all`. A frame that
    /// may have been the reply to `init` fails the handshake.
    fn unreadable(
        self: &Arc<Self>,
        unreadable: &Unreadable,
        services: &dyn Services,
        batch: &mut WriteBatch,
    ) -> NextStep {
        let skipped = || services.complain(&format!("skipped what it sent: {unreadable}"));
        match unreadable {
            Unreadable::Invalid { id, kind, error } if kind == "service_request" => {
                let message = format!("the frame is wrong: {error}");
                self.respond(*id, Err(ErrorBody::new(code::INVALID_INPUT, message, false)), batch);
                services.complain(&format!("its request was refused: {unreadable}"));
            }
            // A reply whose data can't be read ends its request.
            Unreadable::Invalid { id, kind, error } if kind == "success" || kind == "error" => {
                if self.refuse_init(&error.to_string()) {
                    return NextStep::Stop;
                }
                if id.is_none() && !self.is_sequential() {
                    self.fail_all(&unreadable.to_string(), services, batch);
                } else if !self.complete(*id, CallResult::Unreadable(&error.to_string()), batch) {
                    skipped();
                }
            }
            // No other frame has a reply.
            Unreadable::Invalid { .. } => skipped(),
            // A reply whose type is misspelt, or a request of a type that this host does not know.
            Unreadable::UnknownType { id: Some(id), .. } => {
                if self.refuse_init(&unreadable.to_string()) {
                    return NextStep::Stop;
                }
                if !self.complete(Some(*id), CallResult::Unreadable(&unreadable.to_string()), batch) {
                    let error = ErrorBody::new(code::UNIMPLEMENTED, unreadable.to_string(), false);
                    self.respond(Some(*id), Err(error), batch);
                }
                skipped();
            }
            Unreadable::UnknownType { id: None, .. } if !self.is_sequential() && !self.is_initializing() => skipped(),
            Unreadable::UnknownType { .. } | Unreadable::NotAFrame(_) => {
                return self.not_a_frame(&unreadable.to_string(), services, batch);
            }
        }
        NextStep::GoOn
    }

    /// Handles data that is not a frame, so that it is unknown to which request it replies, if any. Fails the handshake if `init` has no
    /// reply yet. A concurrent module's requests all end. A sequential module has to be ended: if this was not a reply, its next reply
    /// would be taken for the reply to the next request.
    pub(super) fn not_a_frame(
        self: &Arc<Self>,
        error: &str,
        services: &dyn Services,
        batch: &mut WriteBatch,
    ) -> NextStep {
        if self.refuse_init(error) {
            return NextStep::Stop;
        }
        if !self.is_sequential() {
            self.fail_all(error, services, batch);
            return NextStep::GoOn;
        }
        self.set_end_reason(format!("it was ended: {error}; without ids its replies can't be told apart any more"));
        // Before the request ends, so that the next one is not sent.
        self.take_only_shutdown();
        self.complete(None, CallResult::Unreadable(error), batch);
        NextStep::Stop
    }

    /// Ends all requests of a concurrent module as unreadable: this may have been the reply to any of them.
    fn fail_all(self: &Arc<Self>, error: &str, services: &dyn Services, batch: &mut WriteBatch) {
        services.complain(&format!("{error}; it was skipped, and what waited for a reply got an error"));
        let ids = lock(&self.requests).ids();
        for id in ids {
            self.complete(Some(id), CallResult::Unreadable(error), batch);
        }
    }
}
