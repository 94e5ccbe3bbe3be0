//! What each frame of the host means to a module. A session takes frames, starts what they ask for, and never waits for it. It knows
//! neither the socket that frames come from nor the threads that run handlers.
//!
//! ```text
//!   Connected ──`init`──► Initialized ──────────────────► ShuttingDown ──► ended
//!       │                   │  ▲ service calls and events are            ▲     End::Clean
//!       │                   │  │ refused until `init` is answered        │
//!       │                   └──┘ with success                            │
//!       │                   `init` fails ──► ended: End::Failed          │
//!       └── a signal, or the host is gone ───────────────────────────────┘
//!           (also from Initialized; there `shutdown` as well)
//! ```

mod init;
mod shutdown;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ixt_protocol::{
    Frame, FrameDecoder, FramingError, Handle, HostFrame, KvWatchEnded, Object, RawFrame, Unreadable, code,
};
use serde_json::json;
use tokio::runtime::Handle as Tokio;
use tokio::sync::SetOnce;
use tokio::time::{Instant, timeout};

use crate::catch_panic::caught;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::health::Health;
use crate::host_services::calls::Calls;
use crate::host_services::link::Link;
use crate::log::{Scope, log_error};
use crate::module::{Serve, Start};
use crate::outgoing::Outgoing;
use crate::payload::Payload;
use crate::reply::Reply;
use crate::request::{Request, TopicKind};
use crate::requests::{Executor, Key, Limits, Requests, Stats};
use init::HostFraming;
pub(crate) use shutdown::{Cause, DEFAULT_GRACE};

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The module was shut down, by the host, by a signal, or because the host is gone, and `Handler::shutdown` has succeeded.
    Clean,
    /// `init` or `Handler::shutdown` has failed. The error is logged, and sent to the host if it is still there.
    Failed,
}

pub(crate) struct Session {
    module: Box<dyn Start>,
    /// This process's id, for hosts that don't send it in `init`.
    module_id: String,
    started: Instant,
    limits: Limits,
    stage: AtomicU8,
    requests: Arc<Requests>,
    /// Held by the health check that runs.
    health_check: tokio::sync::Mutex<()>,
    executor: Arc<dyn Executor>,
    calls: Arc<Calls>,
    outgoing: Arc<Outgoing>,
    /// Set when the module begins to stop: `Runtime::stopping`.
    stopping: Arc<SetOnce<()>>,
    /// What the process does first at a shutdown.
    before_shutdown: OnceLock<Box<dyn Fn(Cause) + Send + Sync>>,
    ended: SetOnce<End>,
    /// Runs the shutdown, which needs a timer.
    tokio: Tokio,
}

/// The boxes of the diagram above. They only grow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connected,
    /// `init` was received. Whether it was answered with success, `Requests::service` tells.
    Initialized,
    ShuttingDown,
}

impl Stage {
    const ALL: [Self; 3] = [Self::Connected, Self::Initialized, Self::ShuttingDown];
}

impl Session {
    pub(crate) fn new(
        module: Box<dyn Start>,
        module_id: String,
        limits: Limits,
        executor: Arc<dyn Executor>,
        outgoing: Arc<Outgoing>,
        tokio: Tokio,
    ) -> Self {
        let stats = Stats::new(module.topics().into_iter());
        Self {
            module,
            module_id,
            started: executor.now(),
            limits,
            stage: AtomicU8::new(Stage::Connected as u8),
            requests: Arc::new(Requests::new(limits, Arc::clone(&executor), Arc::clone(&outgoing), stats)),
            health_check: tokio::sync::Mutex::default(),
            calls: Arc::new(Calls::new(Arc::clone(&outgoing), Arc::clone(&executor) as _)),
            executor,
            outgoing,
            stopping: Arc::default(),
            before_shutdown: OnceLock::new(),
            ended: SetOnce::new(),
            tokio,
        }
    }

    /// Sets what is called first at each [`shutdown`](Self::shutdown), also at a second one for another cause.
    pub(crate) fn before_shutdown(&self, act: impl Fn(Cause) + Send + Sync + 'static) {
        let _ = self.before_shutdown.set(Box::new(act));
    }

    /// The scope of log lines that belong to no request.
    pub(crate) fn log_scope(&self) -> Scope {
        Scope::of_session(&self.outgoing)
    }

    pub(crate) fn outgoing(&self) -> &Arc<Outgoing> {
        &self.outgoing
    }

    /// Ends the requests and calls whose deadline is over. Returns when it has to be called again; `None` if nothing has a deadline.
    pub(crate) fn expire(&self, now: Instant) -> Option<Instant> {
        self.requests.expire(now).into_iter().chain(self.calls.expire(now)).min()
    }

    /// As [`Clock::wake_at`](crate::clock::Clock::wake_at).
    #[cfg(feature = "compare-machinery")]
    pub(crate) fn wake_at(&self, time: Instant) {
        self.executor.wake_at(time);
    }

    /// Waits until the session has ended, and all is written.
    pub(crate) async fn ended(&self) -> End {
        let end = *self.ended.wait().await;
        self.requests.abort_all(shutting_down).await;
        // Otherwise calls of background tasks would wait for ever.
        self.calls.close();
        // A host that doesn't read is not waited for any longer.
        let _ = timeout(DEFAULT_GRACE, self.outgoing.close()).await;
        end
    }

    /// Takes up to `limit` frames. False if there was none.
    pub(crate) fn take_frames(self: &Arc<Self>, input: &mut FrameDecoder, limit: usize) -> bool {
        let mut taken = 0;
        let mut now = None;
        while taken < limit
            && let Some(frame) = input.next_frame()
        {
            taken += 1;
            let now = *now.get_or_insert_with(|| self.executor.now());
            if let Some(HostFraming { max_frame_bytes, length }) = self.receive(frame, now) {
                input.set_max_frame_bytes(max_frame_bytes);
                if length {
                    input.expect_length();
                }
            }
        }
        taken > 0
    }

    /// Takes a frame. Returns how later frames are framed, if that changes.
    fn receive(self: &Arc<Self>, frame: Result<RawFrame<'_>, FramingError>, now: Instant) -> Option<HostFraming> {
        let framing = frame.as_ref().map(|frame| frame.framing).unwrap_or_default();
        if self.stage() == Stage::Connected {
            // The host speaks first, and gets its answers in the same framing.
            self.outgoing.set_framing(framing);
        }
        let frame = match frame.map(HostFrame::read) {
            Ok(Ok(frame)) => frame,
            Ok(Err(unreadable)) => {
                self.receive_unreadable(&unreadable);
                return None;
            }
            Err(error) => {
                log_error(format!("{error}; it was skipped"));
                return None;
            }
        };
        let Frame { id, body } = frame;
        match body {
            HostFrame::Init(init) => return self.init(id, &init, framing),
            HostFrame::Shutdown(shutdown) => {
                self.shutdown(Cause::Asked { id }, shutdown.grace_ms.map(Duration::from_millis));
            }
            HostFrame::Cancel => {
                if let Some(id) = id {
                    self.requests.abort(id, Error::new(code::CANCELLED, "the caller gave up"));
                }
            }
            HostFrame::KvChange(change) => self.calls.kv_changed(change),
            HostFrame::KvWatchEnded(KvWatchEnded { watch }) => self.calls.watch_overrun(watch),
            // Requests that are here go on, and those that were sent before this frame are still taken.
            HostFrame::Draining(_) => drop(self.stopping.set(())),
            HostFrame::Handle(handle) => self.accept(TopicKind::Service, id, handle, now),
            HostFrame::Event(event) => self.accept(TopicKind::Event, id, event, now),
            HostFrame::ServiceResponse(response) => {
                let response = response.map(Object::into_owned).map_err(Error::from_body);
                if !self.calls.respond(id, response) {
                    log_error("skipped a response to nothing that was asked");
                }
            }
            HostFrame::HealthCheck => self.health_check(id),
            unknown => self.receive_unreadable(&Unreadable::UnknownType { id, kind: unknown.frame_type().to_owned() }),
        }
        None
    }

    fn accept(&self, kind: TopicKind, id: Option<u64>, handle: Handle<'_>, now: Instant) {
        if let Err(error) = self.ready() {
            return self.outgoing.reply(id, Err(error));
        }
        let context = Context::new(Link::of_request(id, &handle, &self.calls, now));
        match handle.message.payload.into_bytes() {
            Ok(payload) => {
                let request = Request::new(kind, Payload::from(payload.into_owned()), context);
                self.requests.accept(id, request);
            }
            Err(error) => self.outgoing.reply(id, Err(Error::invalid_input(error.to_string()))),
        }
    }

    /// Answers a frame that can't be read, if it is a request that can be answered; otherwise logs it.
    fn receive_unreadable(&self, unreadable: &Unreadable) {
        let reply = match unreadable {
            Unreadable::Invalid { id, kind, error } if kind == "service_response" => {
                // It ends the call. Its id is one of ours, so that no error may be sent for it.
                let error = Error::internal(format!("the host's response is wrong: {error}"));
                if !self.calls.respond(*id, Err(error)) {
                    log_error(format!("skipped what the host sent: {unreadable}"));
                }
                return;
            }
            Unreadable::Invalid { id, kind, error } if kind == "init" && self.stage() == Stage::Connected => {
                self.outgoing.reply(*id, Err(Error::invalid_json("the frame is wrong", error)));
                return self.fail();
            }
            // These are no requests: the id of a `cancel` is that of another frame.
            Unreadable::Invalid { kind, .. } if matches!(&**kind, "cancel" | "draining") || kind.starts_with("kv_") => {
                None
            }
            Unreadable::Invalid { id: Some(id), error, .. } => {
                Some((*id, Error::invalid_json("the frame is wrong", error)))
            }
            Unreadable::UnknownType { id: Some(id), .. } => {
                Some((*id, Error::new(code::UNIMPLEMENTED, unreadable.to_string())))
            }
            _ => None,
        };
        match reply {
            Some((id, error)) => self.outgoing.reply(Some(id), Err(error)),
            None => log_error(format!("skipped what the host sent: {unreadable}")),
        }
    }

    /// The module, if it takes requests now.
    fn ready(&self) -> Result<&Arc<dyn Serve>> {
        match (self.stage(), self.requests.service()) {
            (Stage::ShuttingDown, _) => Err(shutting_down()),
            (_, Some(service)) => Ok(service),
            (_, None) => Err(Error::new(code::FAILED_PRECONDITION, "the module has not answered `init` yet")),
        }
    }

    /// Moves on to this stage, unless the session is further already. Returns the stage before.
    fn enter(&self, stage: Stage) -> Stage {
        Stage::ALL[usize::from(self.stage.fetch_max(stage as u8, Ordering::SeqCst))]
    }

    fn stage(&self) -> Stage {
        Stage::ALL[usize::from(self.stage.load(Ordering::SeqCst))]
    }

    fn health_check(self: &Arc<Self>, id: Option<u64>) {
        let service = match self.ready() {
            Err(error) => return self.outgoing.reply(id, Err(error)),
            Ok(service) => Arc::clone(service),
        };
        let this = Arc::clone(self);
        let health = async move {
            // One at a time: if the author's check is stuck, the host's later ones queue here instead of piling up in it.
            let _one = this.health_check.lock().await;
            let health = caught("the health check", || service.health_check()).await;
            this.health_report(health.unwrap_or_else(Into::into))
        };
        self.requests.run(id, "the health check", self.log_scope(), health, None);
    }

    /// The reply to a health check: what the author says, and the detail `ixt` with what the SDK knows.
    fn health_report(&self, health: Health) -> Result<Reply> {
        let (in_flight, queued) = self.requests.load();
        let health = if self.outgoing.health_must_tell_unready() { health.detail("ready", false) } else { health };
        let uptime = self.executor.now().saturating_duration_since(self.started);
        let health = health.detail(
            "ixt",
            json!({
                "uptime_ms": u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
                "in_flight": in_flight,
                "queued": queued,
                "max_concurrency": self.limits.max_concurrency,
                "services": self.requests.stats(TopicKind::Service),
                "events": self.requests.stats(TopicKind::Event),
            }),
        );
        Reply::json(&health)
    }

    /// The reader is about to run a step of this request.
    pub(crate) fn polls(&self, request: Option<Key>) {
        self.requests.polls(request);
    }

    /// The reader is stuck in the step that it runs, and another thread has taken over.
    pub(crate) fn reader_is_stuck(&self) {
        self.requests.mark_polled_as_blocking();
    }

    /// Ends the session: it can't begin, or can't go on.
    pub(crate) fn fail(&self) {
        let _ = self.ended.set(End::Failed);
    }
}

fn shutting_down() -> Error {
    Error::unavailable("the module is shutting down")
}
