//! What comes from a module: replies, requests, lines of its log, and what is none of those.

use std::sync::Arc;
use std::time::Duration;

use ixt_protocol::{Decoder, ErrorBody, Frame, Framing, ModuleFrame, RawFrame, SdkInfo, Unreadable, code};
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::outgoing::{REQUESTS_LIMIT, batch};
use super::requests::INIT_ID;
use super::stream::Reader;
use super::{Connection, Services};
use crate::answer::ErrorReply;
use crate::bus::Answer;
use crate::lock::lock;

/// When a module has sent nothing for so long, what its large frames were in is given back.
const SPARE_FOR: Duration = Duration::from_millis(200);

pub(super) async fn read(mut reader: Reader, connection: Arc<Connection>, services: impl Services) {
    let mut decoder = Decoder::new(connection.max_frame_bytes);
    loop {
        // One that does not read its responses is not asked for more requests.
        connection.outgoing.room(REQUESTS_LIMIT).await;
        connection.holds_little().await;
        // Not with `try_read`, which reads once more to learn that there is no more.
        let holds_spare = decoder.holds_spare();
        let read = reader.read_buf(decoder.input());
        let read = if holds_spare { timeout(SPARE_FOR, read).await } else { Ok(read.await) };
        match read {
            Ok(Ok(1..)) => {}
            Ok(Ok(0) | Err(_)) => break,
            Err(_) => {
                decoder.release_spare();
                continue;
            }
        }
        if !batch(|| take_frames(&mut decoder, &connection, &services)) {
            break;
        }
    }
    connection.stop();
    lock(&connection.init).take();
    let _ = connection.closed.set(());
}

/// Takes the frames that are there. False if there is no use in further ones.
fn take_frames(decoder: &mut Decoder, connection: &Arc<Connection>, services: &dyn Services) -> bool {
    while let Some(frame) = decoder.next_frame() {
        let framing = match frame {
            Ok(frame) => connection.receive(frame, services),
            // What it was a reply to is lost with it, and that of the next reply then too.
            Err(error) if connection.is_sequential() => {
                let reason = format!("it was ended: {error}; without ids its replies can't be told apart any more");
                let _ = connection.end_reason.set(reason);
                // Nothing more is sent to it.
                connection.stop();
                connection.complete(None, wrong_reply(&error.to_string()));
                return false;
            }
            Err(error) => {
                // Whose reply it was is lost with it, so that any of them could wait for it for ever.
                services.complain(&format!("{error}; it was skipped, and what waited for a reply got an error"));
                let requests: Vec<_> = lock(&connection.requests).ids();
                for id in requests {
                    connection.complete(Some(id), wrong_reply(&error.to_string()));
                }
                None
            }
        };
        if let Some(framing) = framing {
            decoder.set_framing(framing);
        }
    }
    true
}

impl Connection {
    /// Takes a frame. Tells the framing of the next ones, if it changes.
    fn receive(self: &Arc<Self>, frame: RawFrame<'_>, services: &dyn Services) -> Option<Framing> {
        let Frame { id, body } = match ModuleFrame::read(frame) {
            Ok(frame) => frame,
            Err(unreadable) => {
                self.unreadable(&unreadable, services);
                return None;
            }
        };
        if matches!(body, ModuleFrame::Success { .. } | ModuleFrame::Error(_)) && id.is_none_or(|id| id == INIT_ID) {
            let init = lock(&self.init).take();
            if let Some(init) = init {
                return self.initialized(id, body, init, services);
            }
        }
        let known = match body {
            ModuleFrame::Success { data } => self.complete(id, Answer::Success(data)),
            ModuleFrame::Error(error) => self.complete(id, Answer::Error(error)),
            ModuleFrame::ServiceRequest(request) => {
                services.request(self, id, request);
                true
            }
            ModuleFrame::Cancel => {
                let pending = id.and_then(|id| lock(&self.calls).by_id.remove(&id));
                if let Some(pending) = pending {
                    pending.cancel();
                }
                true
            }
            ModuleFrame::Log(log) => {
                services.log(&log);
                true
            }
        };
        if !known {
            let which = id.map_or_else(String::new, |id| format!(" to the request {id}"));
            services.complain(&format!("skipped a reply{which} that nobody waits for"));
        }
        None
    }

    fn initialized(
        self: &Arc<Self>,
        id: Option<u64>,
        body: ModuleFrame<'_>,
        init: oneshot::Sender<Result<(), ErrorReply>>,
        services: &dyn Services,
    ) -> Option<Framing> {
        #[derive(Deserialize)]
        struct Data {
            ixt: Option<SdkInfo>,
        }
        let data = match body {
            ModuleFrame::Error(error) => {
                let _ = init.send(Err(ErrorReply::from(error)));
                return None;
            }
            ModuleFrame::Success { data } => data,
            _ => return None,
        };
        if id.is_none() {
            lock(&self.requests).make_sequential();
        }
        let info = match serde_json::from_str::<Data>(data.json()) {
            Ok(Data { ixt }) => ixt,
            Err(error) => {
                services.complain(&format!("what it says of itself in its reply to `init` is wrong: {error}"));
                None
            }
        };
        let framing = info.and_then(|info| info.framing).and_then(|framing| framing.parse().ok());
        if let Some(framing) = framing {
            self.outgoing.set_framing(framing);
        }
        let _ = init.send(Ok(()));
        framing
    }

    fn unreadable(self: &Arc<Self>, unreadable: &Unreadable, services: &dyn Services) {
        match unreadable {
            Unreadable::Invalid { id, kind, error } if kind == "service_request" => {
                let message = format!("the frame is wrong: {error}");
                self.respond(*id, Err(ErrorBody::new(code::INVALID_INPUT, message, false)));
            }
            Unreadable::UnknownType { id: Some(id), .. } => {
                self.respond(Some(*id), Err(ErrorBody::new(code::UNIMPLEMENTED, unreadable.to_string(), false)));
                services.complain(&format!("skipped what it sent: {unreadable}"));
            }
            // A reply of the wrong shape ends its call (protocol).
            Unreadable::Invalid { id, kind, error } if kind == "success" || kind == "error" => {
                let init = lock(&self.init).take();
                if let Some(init) = init {
                    let _ = init.send(Err(ErrorReply::from(wrong(&error.to_string()))));
                } else if !self.complete(*id, wrong_reply(&error.to_string())) {
                    services.complain(&format!("skipped what it sent: {unreadable}"));
                }
            }
            _ => services.complain(&format!("skipped what it sent: {unreadable}")),
        }
    }
}

fn wrong(error: &str) -> ErrorBody<'static> {
    ErrorBody::new(code::INTERNAL, format!("the module's reply is wrong: {error}"), false)
}

fn wrong_reply(error: &str) -> Answer<'static> {
    Answer::Error(wrong(error))
}
