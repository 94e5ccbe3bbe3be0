//! What each frame of the host does in a module. A session takes frames, starts the work that they ask for, and never waits for it. It
//! knows neither the socket that frames come from nor the threads that run handlers: these are in `transport`.
//!
//! ```text
//!    Connected ──────── `init` comes ────────► Initialized
//!        │                                          │
//!        └── `shutdown`, a signal, host gone ──┬────┘
//!                                              ▼
//!                                        ShuttingDown ──── `Handler::shutdown` succeeds ────► End::Clean
//!                                              └────────── `Handler::shutdown` fails ───────► End::Failed
//!
//!    Connected, Initialized ──── the first `init` can't be read, is refused, or fails ──────► End::Failed
//! ```
//!
//! Service calls, events and health checks are refused with `FAILED_PRECONDITION` until `init` is answered with success, and with
//! `UNAVAILABLE` while the module shuts down. A shutdown waits for a running `Handler::init` as for any request. If `init` has not
//! succeeded when that wait ends, `Handler::shutdown` is not called, which counts as a success.

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
pub(crate) use shutdown::{DEFAULT_GRACE, ShutdownCause};

/// How a session ended. It decides the exit status of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The module was shut down, by the host, by a signal, or because the host is gone, and `Handler::shutdown` has not failed.
    Clean,
    /// The first `init` can't be read, names another version of the protocol, or has failed; `Handler::shutdown` has failed; or a thread of
    /// the SDK has panicked. The host gets the error of `init`, and of `Handler::shutdown` if it has sent `shutdown`.
    Failed,
}

/// The session of one connection, from before `init` to its [`End`]. Its methods are called by the threads of `transport`, or by the test
/// harness.
pub(crate) struct Session {
    module: Box<dyn Start>,
    /// This process's id from the environment, for hosts that don't send it in `init`. May be empty.
    module_id: String,
    /// When the session was made: `uptime_ms` of the health check counts from here.
    started: Instant,
    limits: Limits,
    /// A [`Stage`].
    stage: AtomicU8,
    requests: Arc<Requests>,
    /// Locked by the health check that runs.
    health_check: tokio::sync::Mutex<()>,
    executor: Arc<dyn Executor>,
    calls: Arc<Calls>,
    outgoing: Arc<Outgoing>,
    /// Set by `draining` and at the beginning of the shutdown: `Runtime::stopping` waits for it.
    stopping: Arc<SetOnce<()>>,
    /// See [`Session::before_shutdown`].
    before_shutdown: OnceLock<Box<dyn Fn(ShutdownCause) + Send + Sync>>,
    /// Set by the end of the shutdown, or by [`Session::fail`]. The first value counts.
    ended: SetOnce<End>,
    /// Runs the shutdown, which needs a timer.
    tokio: Tokio,
}

/// The stage of the session (diagram above). It never goes back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// `init` has not come.
    Connected,
    /// `init` has come. `Requests::service` returns the module once `init` was answered with success.
    Initialized,
    /// A shutdown has begun.
    ShuttingDown,
}

impl Stage {
    const ALL: [Self; 3] = [Self::Connected, Self::Initialized, Self::ShuttingDown];
}

impl Session {
    /// A session that waits for `init`. `module_id` may be empty; `tokio` runs the shutdown, and needs its time driver.
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

    /// Sets the function that each call of [`shutdown`](Self::shutdown) calls first, even if a shutdown runs already. A second call of
    /// this changes nothing.
    pub(crate) fn before_shutdown(&self, act: impl Fn(ShutdownCause) + Send + Sync + 'static) {
        let _ = self.before_shutdown.set(Box::new(act));
    }

    /// The scope of log lines that belong to no request.
    pub(crate) fn log_scope(&self) -> Scope {
        Scope::of_session(&self.outgoing)
    }

    /// The frames to the host: `transport` tells it which thread is the reader, and when to write.
    pub(crate) fn outgoing(&self) -> &Arc<Outgoing> {
        &self.outgoing
    }

    /// Ends the requests and the module's own calls whose deadline is over with `DEADLINE_EXCEEDED`. The watchdog calls it, or the loop of
    /// the test harness, when the time of [`Clock::wake_at`](crate::clock::Clock::wake_at) has come. Returns when it has to be called
    /// again; `None` if none of those that are left has a deadline.
    pub(crate) fn expire(&self, now: Instant) -> Option<Instant> {
        self.requests.expire(now).into_iter().chain(self.calls.expire(now)).min()
    }

    /// See [`Clock::wake_at`](crate::clock::Clock::wake_at).
    #[cfg(feature = "compare-machinery")]
    pub(crate) fn wake_at(&self, time: Instant) {
        self.executor.wake_at(time);
    }

    /// Waits until the session has ended. Then answers the requests that are left with `UNAVAILABLE`, ends the module's own calls, and
    /// waits until all frames are written, for 5 seconds at most. The result is the same in each call.
    pub(crate) async fn ended(&self) -> End {
        let end = *self.ended.wait().await;
        self.requests.abort_all(shutting_down).await;
        // Calls of background tasks would never return otherwise.
        self.calls.close();
        // The host may have stopped reading.
        let _ = timeout(DEFAULT_GRACE, self.outgoing.close()).await;
        end
    }

    /// Takes up to `limit` frames from the decoder, and starts what each asks for. Returns whether it has taken any: false means that the
    /// decoder needs more bytes.
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

    /// Takes a frame that was read at `now`. Returns the limit and the framing of the host's later frames if the frame is an `init` that
    /// sets them, otherwise `None`. A frame that can't be read is answered or logged.
    fn receive(self: &Arc<Self>, frame: Result<RawFrame<'_>, FramingError>, now: Instant) -> Option<HostFraming> {
        let framing = frame.as_ref().map(|frame| frame.framing).unwrap_or_default();
        if self.stage() == Stage::Connected {
            // The first reply is in the framing of the host.
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
                self.shutdown(ShutdownCause::Asked { id }, shutdown.grace_ms.map(Duration::from_millis));
            }
            HostFrame::Cancel => {
                if let Some(id) = id {
                    self.requests.abort(id, Error::new(code::CANCELLED, "the caller gave up"));
                }
            }
            HostFrame::KvChange(change) => self.calls.kv_changed(change),
            HostFrame::KvWatchEnded(KvWatchEnded { watch }) => self.calls.watch_overrun(watch),
            // Requests that have come go on. Those that the host has sent before this frame but that come later are still taken.
            HostFrame::Draining(_) => drop(self.stopping.set(())),
            HostFrame::Handle(handle) => self.accept(TopicKind::Service, id, handle, now),
            HostFrame::Event(event) => self.accept(TopicKind::Event, id, event, now),
            HostFrame::ServiceResponse(response) => {
                let response = response.map(Object::into_owned).map_err(Error::from_body);
                if !self.calls.respond(id, response) {
                    log_error("skipped a response whose `id` is that of no request of the module");
                }
            }
            HostFrame::HealthCheck => self.health_check(id),
            unknown => self.receive_unreadable(&Unreadable::UnknownType { id, kind: unknown.frame_type().to_owned() }),
        }
        None
    }

    /// Takes a service call or an event. Refuses it as [`ready`](Self::ready) says, and with `INVALID_INPUT` if its payload is not base64.
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

    /// Answers a frame that can't be read, if it may be a request and its id is known; otherwise logs and skips it. A wrong
    /// `service_response` ends its call with `INTERNAL`, and a wrong first `init` ends the session as failed.
    fn receive_unreadable(&self, unreadable: &Unreadable) {
        let reply = match unreadable {
            Unreadable::Invalid { id, kind, error } if kind == "service_response" => {
                // It ends the call. An `error` frame is not sent, since its id is that of a request of the module.
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
            // These are not requests: the id of a `cancel` is that of another frame.
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
    ///
    /// # Errors
    ///
    /// `UNAVAILABLE`, retryable, while it shuts down; `FAILED_PRECONDITION` before `init` was answered with success.
    fn ready(&self) -> Result<&Arc<dyn Serve>> {
        match (self.stage(), self.requests.service()) {
            (Stage::ShuttingDown, _) => Err(shutting_down()),
            (_, Some(service)) => Ok(service),
            (_, None) => Err(Error::new(code::FAILED_PRECONDITION, "the module has not answered `init` yet")),
        }
    }

    /// Enters this stage, unless the session is at a later one. Returns the stage before.
    fn enter(&self, stage: Stage) -> Stage {
        Stage::ALL[usize::from(self.stage.fetch_max(stage as u8, Ordering::SeqCst))]
    }

    fn stage(&self) -> Stage {
        Stage::ALL[usize::from(self.stage.load(Ordering::SeqCst))]
    }

    /// Starts a health check, whose end sends the reply. Refuses it as [`ready`](Self::ready) says. Checks run one at a time: a check waits
    /// for the one before without a limit.
    fn health_check(self: &Arc<Self>, id: Option<u64>) {
        let service = match self.ready() {
            Err(error) => return self.outgoing.reply(id, Err(error)),
            Ok(service) => Arc::clone(service),
        };
        let this = Arc::clone(self);
        let health = async move {
            // One at a time: if the author's check is stuck, later checks wait here instead of entering it.
            let _one = this.health_check.lock().await;
            let health = caught("the health check", || service.health_check()).await;
            this.health_report(health.unwrap_or_else(Into::into))
        };
        self.requests.run(id, "the health check", self.log_scope(), health, None);
    }

    /// The reply to a health check: the author's report, with the SDK's detail `ixt`, and with `ready: false` if the module has said so by
    /// `Runtime::set_ready` to a host that doesn't know the frame `ready`.
    fn health_report(&self, health: Health) -> Result<Reply> {
        let (in_flight, queued) = self.requests.load();
        let health = if self.outgoing.health_must_say_unready() { health.detail("ready", false) } else { health };
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

    /// To be called before the reader runs a step of this request; `None` if the step belongs to none.
    pub(crate) fn polls(&self, request: Option<Key>) {
        self.requests.polls(request);
    }

    /// To be called when the reader is stuck in its step and another thread has taken over: the request's topic counts as blocking.
    pub(crate) fn reader_is_stuck(&self) {
        self.requests.mark_polled_as_blocking();
    }

    /// Ends the session as failed: it can't begin, or can't go on. Does not call `Handler::shutdown`. Does nothing if the session has
    /// ended.
    pub(crate) fn fail(&self) {
        let _ = self.ended.set(End::Failed);
    }
}

/// The error of requests that come too late, or that the shutdown ends: `UNAVAILABLE`, retryable.
fn shutting_down() -> Error {
    Error::unavailable("the module is shutting down")
}
