//! What comes from a module: replies, requests, lines of its log, and what is none of those.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ixt_protocol::{
    Decoder, ErrorBody, Frame, Framing, ModuleFrame, Object, PROTOCOL_VERSION, RawFrame, SdkInfo, Unreadable, code,
};
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, timeout_at};

use super::request_table::INIT_ID;
use super::send_buffer::REQUESTS_LIMIT;
use super::socket_halves::Reader;
use super::{Connection, READING_BYTES, Services, offered};
use crate::bus::{CallResult, WriteBatch};
use crate::call_error::ErrorReply;
use crate::lock::lock;
use crate::standstill;

/// When a module has sent nothing for so long, what its large frames were in is given back.
const SPARE_FOR: Duration = Duration::from_millis(200);

/// A frame up to this size is read whatever others are sending.
const READ_FREELY_BYTES: usize = 256 * 1024;
/// So long a module has to send a larger one, which takes room from those of others, and so much longer for its bytes.
const FRAME_FOR: Duration = Duration::from_secs(30);
const FRAME_BYTES_PER_SECOND: usize = 1024 * 1024;

pub(super) async fn read(mut reader: Reader, connection: Arc<Connection>, services: impl Services) {
    let mut decoder = Decoder::new(connection.max_frame_bytes);
    let mut batch = WriteBatch::new();
    // What a large frame takes that has not come whole yet, and when it has to have.
    let mut large: Option<(OwnedSemaphorePermit, Instant)> = None;
    loop {
        let unfinished = decoder.unfinished().min(READING_BYTES);
        if unfinished <= READ_FREELY_BYTES {
            large = None;
        }
        let late = large.as_ref().map(|(_, late)| *late);
        // One that does not read its responses is not asked for more requests.
        if within(late, connection.outgoing.room(REQUESTS_LIMIT)).await.is_none() {
            if has_time_again(&mut large) {
                continue;
            }
            connection.is_late_with_a_frame();
            break;
        }
        if connection.work.used() > 0 || unfinished > READ_FREELY_BYTES && large.is_none() {
            // It is the host that does not read now.
            connection.is_read.store(false, Ordering::Relaxed);
            if connection.work.used() > 0 {
                connection.work.room().await;
            }
            if unfinished > READ_FREELY_BYTES && large.is_none() {
                let permits = u32::try_from(unfinished).unwrap_or(u32::MAX);
                let permit = Arc::clone(&connection.reading).acquire_many_owned(permits).await;
                let patience = FRAME_FOR + Duration::from_secs((unfinished / FRAME_BYTES_PER_SECOND) as u64);
                large = permit.ok().map(|permit| (permit, Instant::now() + patience));
            }
            connection.is_read.store(true, Ordering::Relaxed);
        }
        // Not with `try_read`, which reads once more to learn that there is no more.
        let late = large.as_ref().map(|(_, late)| *late);
        let spare = decoder.holds_spare().then(|| Instant::now() + SPARE_FOR);
        let read = within(late.or(spare), reader.read_buf(decoder.input())).await;
        match read {
            Some(Ok(1..)) => {}
            Some(Ok(0) | Err(_)) => break,
            None if has_time_again(&mut large) => continue,
            None if large.is_some() => {
                connection.is_late_with_a_frame();
                break;
            }
            None => {
                decoder.release_spare();
                continue;
            }
        }
        let goes_on = take_frames(&mut decoder, &connection, &services, &mut batch);
        batch.flush();
        if !goes_on {
            break;
        }
    }
    connection.refuse_more();
    lock(&connection.init).take();
    let _ = connection.closed.set(());
}

/// The time for a large frame is over. It has it again if the host itself stood still meanwhile.
fn has_time_again(large: &mut Option<(OwnedSemaphorePermit, Instant)>) -> bool {
    match large {
        Some((_, late)) if standstill::runs_for() < FRAME_FOR => {
            *late = Instant::now() + FRAME_FOR;
            true
        }
        _ => false,
    }
}

/// Waits for it, but not beyond this time, if there is one.
async fn within<T>(late: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    match late {
        Some(late) => timeout_at(late, work).await.ok(),
        None => Some(work.await),
    }
}

/// Takes the frames that are there. False if there is no use in further ones.
fn take_frames(
    decoder: &mut Decoder,
    connection: &Arc<Connection>,
    services: &dyn Services,
    batch: &mut WriteBatch,
) -> bool {
    while let Some(frame) = decoder.next_frame() {
        let taken = match frame {
            Ok(frame) => connection.receive(frame, services, batch),
            Err(error) => connection.no_frame(&error.to_string(), services, batch),
        };
        match taken {
            Taken::Frame => {}
            Taken::NextIn(framing) => decoder.set_framing(framing),
            Taken::Last => return false,
        }
    }
    true
}

/// What follows from a frame.
enum Taken {
    Frame,
    /// The next one is in this framing.
    NextIn(Framing),
    /// There is no use in further ones.
    Last,
}

impl Connection {
    fn is_late_with_a_frame(&self) {
        let seconds = FRAME_FOR.as_secs();
        let reason =
            format!("it was ended: it has sent a part of a large frame, and not the rest within some {seconds} s");
        let _ = self.end_reason.set(reason);
    }

    fn receive(self: &Arc<Self>, frame: RawFrame<'_>, services: &dyn Services, batch: &mut WriteBatch) -> Taken {
        let Frame { id, body } = match ModuleFrame::read(frame) {
            Ok(frame) => frame,
            Err(unreadable) => return self.unreadable(&unreadable, services, batch),
        };
        let known = match body {
            ModuleFrame::Success { .. } | ModuleFrame::Error(_) => {
                let init = lock(&self.init).take();
                match init {
                    Some(init) => return self.initialized(id, body, init),
                    None => self.reply(id, body, services, batch),
                }
            }
            ModuleFrame::ServiceRequest(request) => {
                services.request(self, id, request, batch);
                true
            }
            ModuleFrame::Cancel => {
                let pending = id.and_then(|id| lock(&self.calls).by_id.remove(&id));
                if let Some(pending) = pending {
                    pending.cancel(batch);
                }
                true
            }
            ModuleFrame::Log(log) => {
                services.log(&log);
                true
            }
            ModuleFrame::Starting(starting) => {
                if lock(&self.init).is_some() {
                    self.progress.send_modify(|progress| progress.told(starting));
                } else {
                    services.complain("skipped what it sent: a `starting` frame has no use after the reply to `init`");
                }
                true
            }
            ModuleFrame::Ready { ready } => {
                self.set_ready(&self.says_ready, ready);
                true
            }
        };
        if !known {
            let which = id.map_or_else(String::new, |id| format!(" to the request {id}"));
            services.complain(&format!("skipped a reply{which} that nobody waits for"));
        }
        Taken::Frame
    }

    /// False if nobody waits for it.
    fn reply(
        self: &Arc<Self>,
        id: Option<u64>,
        body: ModuleFrame<'_>,
        services: &dyn Services,
        batch: &mut WriteBatch,
    ) -> bool {
        if id.is_none() && !self.is_sequential() {
            self.whose("a reply has no `id`, although its reply to `init` had one", services, batch);
            return true;
        }
        let answer = match body {
            ModuleFrame::Success { data } => CallResult::Success(data),
            ModuleFrame::Error(error) => CallResult::Error(error),
            _ => return false,
        };
        self.complete(id, answer, batch)
    }

    fn initialized(
        self: &Arc<Self>,
        id: Option<u64>,
        body: ModuleFrame<'_>,
        init: oneshot::Sender<Result<(), ErrorReply>>,
    ) -> Taken {
        let agreed = match body {
            _ if id.is_some_and(|id| id != INIT_ID) => {
                let message = format!("its reply to `init` has another `id` than {INIT_ID}");
                Err(ErrorReply::from(ErrorBody::new(code::INTERNAL, message, false)))
            }
            ModuleFrame::Error(error) => Err(ErrorReply::from(error)),
            ModuleFrame::Success { data } => agree(&data, self.max_frame_bytes),
            _ => return Taken::Frame,
        };
        let Agreed { framing, is_told_draining } = match agreed {
            Ok(agreed) => agreed,
            Err(refusal) => {
                let _ = init.send(Err(refusal));
                return Taken::Last;
            }
        };
        if id.is_none() {
            lock(&self.requests).make_sequential();
        }
        if let Some(framing) = framing {
            self.outgoing.set_framing(framing);
        }
        self.is_told_draining.store(is_told_draining, Ordering::Relaxed);
        let _ = init.send(Ok(()));
        framing.map_or(Taken::Frame, Taken::NextIn)
    }

    fn unreadable(self: &Arc<Self>, unreadable: &Unreadable, services: &dyn Services, batch: &mut WriteBatch) -> Taken {
        match unreadable {
            Unreadable::Invalid { id, kind, error } if kind == "service_request" => {
                let message = format!("the frame is wrong: {error}");
                self.respond(*id, Err(ErrorBody::new(code::INVALID_INPUT, message, false)), batch);
                services.complain(&format!("its request was refused: {unreadable}"));
                Taken::Frame
            }
            // A reply of the wrong shape ends its request (protocol).
            Unreadable::Invalid { id, kind, error } if kind == "success" || kind == "error" => {
                if self.refuse_init(&error.to_string()) {
                    return Taken::Last;
                }
                if id.is_none() && !self.is_sequential() {
                    self.whose(&unreadable.to_string(), services, batch);
                } else if !self.complete(*id, CallResult::Unreadable(&error.to_string()), batch) {
                    services.complain(&format!("skipped what it sent: {unreadable}"));
                }
                Taken::Frame
            }
            // Neither has a reply.
            Unreadable::Invalid { .. } => {
                services.complain(&format!("skipped what it sent: {unreadable}"));
                Taken::Frame
            }
            Unreadable::UnknownType { id: Some(id), .. } => {
                if self.refuse_init(&unreadable.to_string()) {
                    return Taken::Last;
                }
                // A reply with a mistake in its type, or a request of a type that is not known here.
                if !self.complete(Some(*id), CallResult::Unreadable(&unreadable.to_string()), batch) {
                    self.respond(
                        Some(*id),
                        Err(ErrorBody::new(code::UNIMPLEMENTED, unreadable.to_string(), false)),
                        batch,
                    );
                }
                services.complain(&format!("skipped what it sent: {unreadable}"));
                Taken::Frame
            }
            Unreadable::UnknownType { id: None, .. } if !self.is_sequential() && lock(&self.init).is_none() => {
                services.complain(&format!("skipped what it sent: {unreadable}"));
                Taken::Frame
            }
            Unreadable::UnknownType { .. } | Unreadable::NotAFrame(_) => {
                self.no_frame(&unreadable.to_string(), services, batch)
            }
        }
    }

    /// Something has come of which it can't be told what it was meant to be: a reply, most likely.
    fn no_frame(self: &Arc<Self>, error: &str, services: &dyn Services, batch: &mut WriteBatch) -> Taken {
        if self.refuse_init(error) {
            return Taken::Last;
        }
        if !self.is_sequential() {
            self.whose(error, services, batch);
            return Taken::Frame;
        }
        // If it was no reply, the next reply would be taken for that of the next request.
        let reason = format!("it was ended: {error}; without ids its replies can't be told apart any more");
        let _ = self.end_reason.set(reason);
        // Nothing more is sent to it.
        self.refuse_more();
        self.complete(None, CallResult::Unreadable(error), batch);
        Taken::Last
    }

    /// A reply can't be brought to the one who waits for it, so that any of them could wait for ever.
    fn whose(self: &Arc<Self>, error: &str, services: &dyn Services, batch: &mut WriteBatch) {
        services.complain(&format!("{error}; it was skipped, and what waited for a reply got an error"));
        let requests: Vec<_> = lock(&self.requests).ids();
        for id in requests {
            self.complete(Some(id), CallResult::Unreadable(error), batch);
        }
    }

    /// Whether the module has not answered `init` yet: then this was its answer.
    fn refuse_init(&self, error: &str) -> bool {
        let init = lock(&self.init).take();
        let message = format!("the module's reply to `init` is wrong: {error}");
        let refusal = || ErrorReply::from(ErrorBody::new(code::INTERNAL, message, false));
        init.map(|init| init.send(Err(refusal()))).is_some()
    }
}

/// What follows from a module's reply to `init`.
#[derive(Default)]
struct Agreed {
    framing: Option<Framing>,
    is_told_draining: bool,
}

/// What a module that has answered `init` with `success` says of itself there: the framing and the features that it has picked.
fn agree(data: &Object<'_>, max_frame_bytes: usize) -> Result<Agreed, ErrorReply> {
    #[derive(Deserialize)]
    struct Data {
        ixt: Option<SdkInfo>,
    }
    let refusal = |message: String| ErrorReply::from(ErrorBody::new(code::FAILED_PRECONDITION, message, false));
    let data: Data = data
        .clone()
        .read()
        .map_err(|error| refusal(format!("what the module says of itself in its reply to `init` is wrong: {error}")))?;
    let Some(SdkInfo { protocol, framing, features, .. }) = data.ixt else { return Ok(Agreed::default()) };
    if protocol != PROTOCOL_VERSION {
        return Err(refusal(format!(
            "the module speaks version {protocol} of the protocol, and this host version {PROTOCOL_VERSION}"
        )));
    }
    let is_told_draining = features.iter().any(|feature| feature == "draining");
    let Some(framing) = framing else { return Ok(Agreed { framing: None, is_told_draining }) };
    match framing.parse() {
        Ok(framing) if offered(max_frame_bytes).contains(&framing) => {
            Ok(Agreed { framing: Some(framing), is_told_draining })
        }
        _ => Err(refusal(format!("the module has picked the framing `{framing}`, which was not offered"))),
    }
}
