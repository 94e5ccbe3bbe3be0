//! A module's life on one connection: `init`, requests, `shutdown`. Takes frames, starts what they ask for, and never waits
//! for it. Where the frames come from, and what runs what they start, is not known here.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ixt_protocol::{
    Decoder, Frame, Framing, FramingError, Handle, HostFrame, Init, MAX_LENGTH_FRAME_BYTES, Object, PROTOCOL_VERSION,
    ProtocolOffer, RawFrame, SdkInfo, Unreadable, code,
};
use serde_json::json;
use tokio::runtime::Handle as Tokio;
use tokio::sync::{SetOnce, oneshot};
use tokio::time::{Instant, timeout};

use crate::middleware::{Kind, Reply, Request};
use crate::module::{Serve, Start};
use crate::runtime::executor::{Executor, How, Step, spawn};
use crate::runtime::in_flight::{InFlight, Limits};
use crate::runtime::outgoing::{Features, Outgoing};
use crate::runtime::panic::caught;
use crate::runtime::stats::Stats;
use crate::services::call::Calls;
use crate::services::log::Scope;
use crate::{Context, Error, Health, Payload, Result, Runtime, log_error};

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The host or a signal shut the module down, or the host is gone, and the module closed what it had open.
    Clean,
    /// `init` or `shutdown` failed; the host was told why.
    Failed,
}

/// How long a module has to finish when its host is gone or names no time.
pub(crate) const DEFAULT_GRACE: Duration = Duration::from_secs(5);

/// Why a module shuts down.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cause {
    /// The host has asked for it.
    Asked {
        /// The request.
        id: Option<u64>,
    },
    /// The connection was closed.
    HostGone,
    /// The process was told to end.
    Signal,
}

/// How the host's next frames are to be read.
#[derive(Debug, Clone, Copy)]
struct Expect {
    max_frame_bytes: usize,
    /// From some frame on they will come with their length before them.
    length: bool,
}

pub(crate) struct Session {
    module: Box<dyn Start>,
    /// This process's id, for a host that doesn't tell it in `init`.
    module_id: String,
    started: Instant,
    limits: Limits,
    stage: AtomicU8,
    in_flight: Arc<InFlight>,
    /// Held by the health check that runs.
    health_check: tokio::sync::Mutex<()>,
    executor: Arc<dyn Executor>,
    calls: Arc<Calls>,
    outgoing: Arc<Outgoing>,
    /// Set when the module takes nothing new.
    stopping: Arc<SetOnce<()>>,
    /// What the process does before the module shuts down, and when the host is gone.
    before_shutdown: OnceLock<Box<dyn Fn(Cause) + Send + Sync>>,
    ended: SetOnce<End>,
    /// What waits for the end runs here, since it needs a clock.
    tokio: Tokio,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connected,
    /// `init` was received. Whether it is done tells the service, which is there or not.
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
            started: Instant::now(),
            limits,
            stage: AtomicU8::new(Stage::Connected as u8),
            in_flight: Arc::new(InFlight::new(limits, Arc::clone(&executor), Arc::clone(&outgoing), stats)),
            health_check: tokio::sync::Mutex::default(),
            calls: Arc::new(Calls::new(Arc::clone(&outgoing), Arc::clone(&executor))),
            executor,
            outgoing,
            stopping: Arc::default(),
            before_shutdown: OnceLock::new(),
            ended: SetOnce::new(),
            tokio,
        }
    }

    /// What to do before each [`shutdown`](Self::shutdown), also when there was one before, for another cause.
    pub(crate) fn before_shutdown(&self, act: impl Fn(Cause) + Send + Sync + 'static) {
        let _ = self.before_shutdown.set(Box::new(act));
    }

    /// Where log lines go that belong to no message.
    pub(crate) fn scope(&self) -> Scope {
        Scope::of_session(&self.outgoing)
    }

    pub(crate) fn outgoing(&self) -> &Arc<Outgoing> {
        &self.outgoing
    }

    /// Ends what has taken too long, and tells when to look again.
    pub(crate) fn expire(&self, now: Instant) -> Option<Instant> {
        self.in_flight.expire(now).into_iter().chain(self.calls.expire(now)).min()
    }

    /// Waits until the module is done, and all was written.
    pub(crate) async fn ended(&self) -> End {
        let end = *self.ended.wait().await;
        self.in_flight.abort_all(shutting_down).await;
        // What the module still asks in the background would wait for ever.
        self.calls.close();
        // A host that doesn't read any more isn't waited for.
        let _ = timeout(DEFAULT_GRACE, self.outgoing.close()).await;
        end
    }

    /// Takes what frames there are, but not more than this. False if there is none.
    pub(crate) fn take_frames(self: &Arc<Self>, input: &mut Decoder, most: usize) -> bool {
        let mut taken = 0;
        let mut now = None;
        while taken < most
            && let Some(frame) = input.next_frame()
        {
            taken += 1;
            let now = *now.get_or_insert_with(Instant::now);
            if let Some(Expect { max_frame_bytes, length }) = self.receive(frame, now) {
                input.set_max_frame_bytes(max_frame_bytes);
                if length {
                    input.expect_length();
                }
            }
        }
        taken > 0
    }

    /// Takes a frame. Tells, if that changes, how the next ones are to be read.
    fn receive(self: &Arc<Self>, frame: Result<RawFrame<'_>, FramingError>, now: Instant) -> Option<Expect> {
        let framing = frame.as_ref().map(|frame| frame.framing).unwrap_or_default();
        if self.stage() == Stage::Connected {
            // The host speaks first, and is answered in kind.
            self.outgoing.set_framing(framing);
        }
        let frame = match frame.map(HostFrame::read) {
            Ok(Ok(frame)) => frame,
            Ok(Err(unreadable)) => {
                self.unreadable(&unreadable);
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
                    self.in_flight.abort(id, Error::new(code::CANCELLED, "the caller gave up"));
                }
            }
            HostFrame::KvChange(change) => self.calls.changed(change),
            HostFrame::KvWatchEnded { watch } => self.calls.watch_ended(watch),
            // What is in flight goes on, as does what is still to come of what was sent before.
            HostFrame::Draining { .. } => drop(self.stopping.set(())),
            HostFrame::Handle(handle) => self.accept(Kind::Service, id, handle, now),
            HostFrame::Event(event) => self.accept(Kind::Event, id, event, now),
            HostFrame::ServiceResponse(response) => {
                let response = response.map(Object::into_owned).map_err(Error::from_body);
                if !self.calls.respond(id, response) {
                    log_error("skipped a response to nothing that was asked");
                }
            }
            HostFrame::HealthCheck => match self.ready() {
                Err(error) => self.outgoing.reply(id, Err(error)),
                Ok(service) => {
                    let (this, service) = (Arc::clone(self), Arc::clone(service));
                    let health = async move {
                        // One at a time: a host that asks again and again finds one that is stuck, not many.
                        let _one = this.health_check.lock().await;
                        let health = caught("the health check", || service.health_check()).await;
                        this.health(health.unwrap_or_else(Into::into))
                    };
                    self.in_flight.run(id, self.scope().enclose(health), None);
                }
            },
        }
        None
    }

    fn accept(&self, kind: Kind, id: Option<u64>, handle: Handle<'_>, now: Instant) {
        if let Err(error) = self.ready() {
            return self.outgoing.reply(id, Err(error));
        }
        let context = Context::new(id, &handle, &self.calls, now);
        match handle.message.payload.into_bytes() {
            Ok(payload) => {
                let request = Request::new(kind, Payload::from(payload.into_owned()), context);
                self.in_flight.accept(id, request);
            }
            Err(error) => self.outgoing.reply(id, Err(Error::invalid_input(error.to_string()))),
        }
    }

    fn unreadable(&self, unreadable: &Unreadable) {
        let reply = match unreadable {
            Unreadable::Invalid { id, kind, error } if kind == "service_response" => {
                // It ends its call; its id is none of the host's.
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
            // It is no request, whatever else is wrong with it. The id of a `cancel` is that of another one.
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

    /// The module, if requests can be taken now.
    fn ready(&self) -> Result<&Arc<dyn Serve>> {
        match (self.stage(), self.in_flight.service()) {
            (Stage::ShuttingDown, _) => Err(shutting_down()),
            (_, Some(service)) => Ok(service),
            (_, None) => Err(Error::new(code::FAILED_PRECONDITION, "the module has not answered `init` yet")),
        }
    }

    /// Changes the stage, unless that is shutdown already; tells the one before.
    fn enter(&self, stage: Stage) -> Stage {
        // They only grow.
        Stage::ALL[usize::from(self.stage.fetch_max(stage as u8, Ordering::SeqCst))]
    }

    fn stage(&self) -> Stage {
        Stage::ALL[usize::from(self.stage.load(Ordering::SeqCst))]
    }

    fn init(self: &Arc<Self>, id: Option<u64>, init: &Init<'_>, framing: Framing) -> Option<Expect> {
        let error = match self.enter(Stage::Initialized) {
            Stage::Connected => None,
            Stage::Initialized => Some(Error::new(code::FAILED_PRECONDITION, "`init` comes once, as the first frame")),
            Stage::ShuttingDown => Some(shutting_down()),
        };
        if let Some(error) = error {
            self.outgoing.reply(id, Err(error));
            return None;
        }
        let (expect, info) = match self.negotiate(init.protocol.as_ref(), framing) {
            Ok(negotiated) => negotiated,
            Err(error) => {
                self.outgoing.reply(id, Err(error));
                self.fail();
                return None;
            }
        };
        let framing = expect.and_then(|expect| expect.length.then_some(Framing::Length));
        let module_id = if init.module_id.is_empty() { &self.module_id } else { &*init.module_id };
        let runtime = Runtime::new(module_id, &self.calls, &self.stopping);
        let scope = self.scope();
        let start = scope.run(|| self.module.start(init.config.get(), runtime));
        let started = Arc::new(OnceLock::new());
        let opened = Arc::clone(&started);
        let work = scope.enclose(async move {
            let service = caught("`init`", || start).await.inspect_err(|error| error.log_causes(&"`init`"))?;
            let _ = started.set(service);
            Reply::json(&json!({ "ixt": info }))
        });
        let this = Arc::clone(self);
        let answer = move |reply: Result<Reply>| {
            // Whoever has read the reply can call; nobody can before.
            let open = || {
                if let Some(service) = opened.get() {
                    this.in_flight.open(Arc::clone(service));
                }
            };
            let success = this.outgoing.reply_to_init(id, reply, framing, open);
            // A shutdown that has begun ends the session, and answers first.
            if !success && this.stage() != Stage::ShuttingDown {
                this.fail();
            }
        };
        self.in_flight.run(id, work, Some(Box::new(answer)));
        expect
    }

    /// What follows from the host's offer: how its frames are to be read, and what it is told.
    fn negotiate(&self, offer: Option<&ProtocolOffer>, framing: Framing) -> Result<(Option<Expect>, SdkInfo)> {
        let mut info = SdkInfo {
            protocol: PROTOCOL_VERSION,
            sdk: concat!("ixt-sdk-rust/", env!("CARGO_PKG_VERSION")).to_owned(),
            max_concurrency: Some(self.limits.max_concurrency),
            framing: None,
            features: Vec::new(),
        };
        let Some(offer) = offer else { return Ok((None, info)) };
        let ProtocolOffer { version, max_frame_bytes, framings, features } = offer;
        if *version != PROTOCOL_VERSION {
            let message =
                format!("the host speaks version {version} of the protocol, this module version {PROTOCOL_VERSION}");
            return Err(Error::new(code::FAILED_PRECONDITION, message));
        }
        let length = framing == Framing::Line
            && *max_frame_bytes <= MAX_LENGTH_FRAME_BYTES
            && framings.iter().any(|offered| offered.parse() == Ok(Framing::Length));
        if length {
            info.framing = Some(Framing::Length.as_str().to_owned());
        }
        let mut takes = Features::default();
        if features.iter().any(|feature| feature == "draining") {
            info.features.push("draining".to_owned());
        }
        for (name, taken) in [("log", &mut takes.log), ("starting", &mut takes.starting), ("ready", &mut takes.ready)] {
            if features.iter().any(|feature| feature == name) {
                *taken = true;
                info.features.push(name.to_owned());
            }
        }
        self.outgoing.set_limits(*max_frame_bytes, takes);
        Ok((Some(Expect { max_frame_bytes: *max_frame_bytes, length }), info))
    }

    /// The reply to a health check: what the module says, and what is known here.
    fn health(&self, health: Health) -> Result<Reply> {
        let (in_flight, queued) = self.in_flight.load();
        // Where it is the only way to say it.
        let health = if self.outgoing.is_unready_in_secret() { health.detail("ready", false) } else { health };
        let health = health.detail(
            "ixt",
            json!({
                "uptime_ms": u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
                "in_flight": in_flight,
                "queued": queued,
                "max_concurrency": self.limits.max_concurrency,
                "services": self.in_flight.stats(Kind::Service),
                "events": self.in_flight.stats(Kind::Event),
            }),
        );
        Reply::json(&health)
    }

    /// The thread that reads is stuck in a handler, and another takes its turn.
    pub(crate) fn is_stuck(&self) {
        self.in_flight.mark_slow();
    }

    /// The session can't begin, or can't go on.
    pub(crate) fn fail(&self) {
        let _ = self.ended.set(End::Failed);
    }

    /// The host has closed the connection.
    pub(crate) fn host_gone(self: &Arc<Self>) {
        self.calls.close();
        self.shutdown(Cause::HostGone, None);
    }

    /// Stops taking requests, lets those in flight finish, closes the handler, answers if there is someone to answer,
    /// and ends the session. Half of the time is for the requests, the rest for the handler.
    pub(crate) fn shutdown(self: &Arc<Self>, cause: Cause, grace: Option<Duration>) {
        if let Some(act) = self.before_shutdown.get() {
            act(cause);
        }
        if self.enter(Stage::ShuttingDown) == Stage::ShuttingDown {
            if let Cause::Asked { id } = cause {
                self.outgoing.reply(id, Err(shutting_down()));
            }
            return;
        }
        let _ = self.stopping.set(());
        self.in_flight.abort_queued(shutting_down);
        let grace = grace.unwrap_or(DEFAULT_GRACE);
        let this = Arc::clone(self);
        self.tokio.spawn(self.scope().enclose(async move {
            if timeout(grace / 2, this.in_flight.idle()).await.is_err() {
                this.in_flight.abort_all(shutting_down).await;
            }
            // Not looked up before: `init` may be among the requests that were waited for.
            let closed = match this.in_flight.service() {
                None => Ok(()),
                Some(service) => this.close(Arc::clone(service), grace / 2).await,
            };
            if let Err(error) = &closed {
                log_error(format!("`shutdown` failed: {error}"));
                error.log_causes(&"`shutdown`");
            }
            let end = if closed.is_ok() { End::Clean } else { End::Failed };
            if let Cause::Asked { id } = cause {
                this.outgoing.reply(id, closed.and_then(|()| Reply::json(&json!({}))));
            }
            let _ = this.ended.set(end);
        }));
    }

    /// Calls `Handler::shutdown`, as handlers are called: so that it may block its thread, and is not waited for longer
    /// than this.
    async fn close(&self, service: Arc<dyn Serve>, grace: Duration) -> Result<()> {
        let (sender, closed) = oneshot::channel();
        let work = self.scope().enclose(async move { caught("`shutdown`", || service.shutdown()).await });
        let (runnable, task) = spawn(&self.executor, async move { drop(sender.send(work.await)) });
        self.executor.schedule(Step::Task(runnable), How::Urgent);
        let closed = timeout(grace, closed).await;
        drop(task);
        match closed {
            Ok(Ok(closed)) => closed,
            Ok(Err(_)) => Err(Error::internal("`shutdown` was dropped")),
            Err(_) => Err(Error::new(code::DEADLINE_EXCEEDED, format!("`shutdown` took more than {grace:?}"))),
        }
    }
}

fn shutting_down() -> Error {
    Error::unavailable("the module is shutting down")
}
