//! A host's connection with one process of a module. It sends requests and passes each reply to the caller that waits for it, and passes
//! the module's own calls to the [services](crate::services) of the host.
//!
//! ```text
//!  open(): `init` is sent
//!    │
//!    v
//!  Initializing ── refused, unreadable or hung up: `open` fails ─────────────┐
//!    │ the module accepts `init`                                             │
//!    v                                                                       │
//!  Open: takes calls and events, while the module is ready                   │
//!    │                           │                                           │
//!    │ stop(): the host ends it  │ it hangs up, does not complete a frame,   │
//!    v                           │ or its replies can't be told apart        │
//!  Stopping: takes only          │                                           │
//!    │ `shutdown`; `drained()`   v                                           v
//!    │ once no caller waits    HungUp: `closed()` ──────── close() ──────> Closed: every request is lost,
//!    └─────────────────────────────────────────────────── close() ─────────^ own calls with an id are cancelled
//! ```
//!
//! The state is in three places: `init_reply` is `Some` while initializing, [`RequestTable`] knows which requests are still taken, and the
//! reader sets `hung_up`. There is one file for each concern:
//!
//! - reading: `reader` (bytes, limits), `incoming` (frames), `handshake` and `init_timeout` (`init`), `readiness` (`ready`)
//! - the host's requests: `sending`, `request_table` (their states), `completion`
//! - the module's own calls: `own_calls`
//! - writing: `send_buffer`, `socket_halves`

mod completion;
mod handshake;
mod incoming;
mod init_timeout;
mod limits;
mod own_calls;
mod reader;
mod readiness;
mod request_table;
mod send_buffer;
mod sending;
mod socket_halves;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use ixt_protocol::{Frame, HostFrame, LogFrame, ServiceRequest};
use tokio::sync::{Notify, Semaphore, SetOnce, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::budget::Budget;
use crate::bus::{Envelope, ReplyTo, WriteBatch};
use crate::call_error::CallError;
use crate::call_log::CallLog;
use crate::lock::lock;
use crate::topic::{ModuleTopic, RequestInfo};
use crate::trace::Spans;

pub(crate) use handshake::InitOptions;
use handshake::InitReply;
pub(crate) use init_timeout::{StartProgress, with_extensible_timeout};
pub(crate) use limits::{ConnectionLimits, SharedLimits};
use own_calls::OwnCalls;
use readiness::Readiness;
pub(crate) use request_table::HostRequest;
use request_table::{INIT_ID, RequestTable};
pub(crate) use send_buffer::Refused;
use send_buffer::{EVENT_ROOM, FrameClass, SendBuffer};
pub(crate) use sending::HealthCheckResult;
pub(crate) use socket_halves::ModuleSocket;

/// One connection. The replica's task opens and closes it; the module's router sends requests by it.
pub(crate) struct Connection {
    /// See [`number`](Self::number).
    number: u64,
    /// The id of the process, `name:version/instance-NNN`.
    id: Arc<str>,
    /// The longest frame, in either direction, in bytes.
    max_frame_bytes: usize,
    send_buffer: Arc<SendBuffer>,
    requests: Mutex<RequestTable>,
    /// Wakes the timer when there is a deadline before the next one that it knows, or a caller has cancelled.
    sooner_deadline: Notify,
    /// Wakes the tasks in [`drained`](Self::drained).
    drained: Notify,
    own_calls: Mutex<OwnCalls>,
    /// Set once the reader has ended by itself; not if [`close`](Self::close) has aborted it.
    hung_up: SetOnce<()>,
    /// See [`end_reason`](Self::end_reason).
    end_reason: OnceLock<String>,
    /// Gets the outcome of `init`; `None` once the reply has come, or the reader has ended.
    init_reply: Mutex<Option<InitReply>>,
    /// The tasks that write, end requests in time, and read. [`close`](Self::close) aborts them.
    tasks: Mutex<Vec<AbortHandle>>,
    spans: Spans,
    call_log: CallLog,
    /// The budget for values that the module is writing: see [`hold`](Self::hold).
    work: Arc<Budget>,
    /// The permits for large frames that are not complete, which all connections share.
    reading: Arc<Semaphore>,
    /// Gets the module's `starting` frames.
    progress: watch::Sender<StartProgress>,
    /// See [`is_read`](Self::is_read).
    is_read: AtomicBool,
    /// Whether the module has picked the feature `draining`.
    is_told_draining: AtomicBool,
    /// See [`events`](Self::events).
    events: Arc<AtomicUsize>,
    readiness: Readiness,
}

/// The services of the host that a module can call. The connection's reader calls these methods, so they must not
/// block.
pub(crate) trait Services: Send + Sync + 'static {
    /// Handles a call of the module, now or later, and ends it with [`Connection::end_call`] or [`Connection::respond`]. `id` is that of
    /// the frame; `None` if the frame has none.
    fn request(
        &self,
        connection: &Arc<Connection>,
        id: Option<u64>,
        request: ServiceRequest<'_>,
        batch: &mut WriteBatch,
    );
    /// Writes a line of the module to the log.
    fn log(&self, log: &LogFrame<'_>);
    /// Logs what is wrong with a frame of the module, or with a process that has connected in its place.
    fn complain(&self, complaint: &str);
}

/// The requests that a process has at one moment, for the choice of a process. [Overdue](Connection::overdue) requests
/// do not count.
pub(crate) struct ProcessLoad {
    /// The number of requests without a reply, the host's own included: those sent to the process, whether or not their callers still
    /// wait, and those queued for it on the host.
    pub(crate) in_flight: usize,
    /// Whether the process is sequential: the host sends it one request at a time, and queues the others.
    pub(crate) is_sequential: bool,
    /// Whether the process is sequential and handles a request now.
    pub(crate) is_busy: bool,
}

/// A call or an event that was queued for a sequential module when its connection stopped. Another process is to get
/// it. `reply` has not been used.
pub(crate) enum Undelivered {
    Call { envelope: Envelope<'static>, topic: Arc<ModuleTopic>, reply: ReplyTo },
    Event { envelope: Envelope<'static>, topic: Arc<ModuleTopic>, reply: ReplyTo },
}

impl Connection {
    /// Sends `init`, and waits for a successful reply, without a timeout. If this fails or is dropped, the connection is closed. `id` is
    /// that of the process, `name:version/instance-NNN`.
    ///
    /// # Errors
    ///
    /// [`CallError::TooLong`] if `init` is longer than a frame may be, [`CallError::Replied`] if the module refuses `init` or its reply is
    /// wrong, [`CallError::Gone`] if it closes its connection first, or its socket can't be read here.
    pub(crate) async fn open(
        socket: impl Into<ModuleSocket>,
        id: Arc<str>,
        options: InitOptions<'_>,
        limits: ConnectionLimits,
        services: impl Services,
        spans: Spans,
        call_log: CallLog,
    ) -> Result<Arc<Self>, CallError> {
        let ConnectionLimits { max_frame_bytes, waiting, shared, overdue_after } = limits;
        let (reader, writer) = socket_halves::split(socket)
            .map_err(|error| CallError::Gone { reason: format!("its socket can't be read: {error}") })?;
        let (init_reply, initialized) = oneshot::channel();
        let connection = Arc::new(Self {
            number: fastrand::u64(..),
            id: Arc::clone(&id),
            max_frame_bytes,
            send_buffer: Arc::new(SendBuffer::new(writer, options.framing, max_frame_bytes, &waiting)),
            requests: Mutex::new(RequestTable::new(overdue_after, waiting)),
            sooner_deadline: Notify::new(),
            drained: Notify::new(),
            own_calls: Mutex::default(),
            hung_up: SetOnce::new(),
            end_reason: OnceLock::new(),
            init_reply: Mutex::new(Some(init_reply)),
            tasks: Mutex::default(),
            spans,
            call_log,
            work: shared.work_of_one(),
            reading: shared.reading,
            progress: options.progress,
            is_read: AtomicBool::new(true),
            is_told_draining: AtomicBool::new(false),
            events: Arc::default(),
            readiness: Readiness::default(),
        });
        let guard = CloseOnDrop(Some(Arc::clone(&connection)));
        let init = HostFrame::Init(handshake::init(options.config, &id, max_frame_bytes));
        let init = Frame { id: Some(INIT_ID), body: init };
        // Not refused for lack of memory: without it the module could not start.
        let sent = connection.send_buffer.put(FrameClass::Essential, &init, &mut WriteBatch::none());
        if let Err(Refused::TooLong { bytes, max_frame_bytes }) = sent {
            return Err(CallError::TooLong { bytes, max_frame_bytes });
        }
        let tasks = [
            tokio::spawn(Arc::clone(&connection.send_buffer).run()).abort_handle(),
            tokio::spawn(completion::run_timer(Arc::downgrade(&connection))).abort_handle(),
            tokio::spawn(reader::read(reader, Arc::clone(&connection), services)).abort_handle(),
        ];
        lock(&connection.tasks).extend(tasks);
        match initialized.await {
            Ok(Ok(())) => Ok(guard.keep()),
            Ok(Err(refusal)) => Err(CallError::Replied(refusal)),
            Err(_) => Err(CallError::Gone { reason: "the module closed its connection".to_owned() }),
        }
    }

    /// The random number by which [causes](crate::bus::Cause::process) name the process.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The id of the process, `name:version/instance-NNN`.
    pub(crate) fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// How many requests the process has; `None` if it takes no calls and events now, because it says that it is not ready, has hung up,
    /// or is being ended.
    pub(crate) fn load(&self) -> Option<ProcessLoad> {
        let requests = lock(&self.requests);
        (!requests.is_closed() && self.is_ready()).then(|| ProcessLoad {
            in_flight: requests.len(),
            is_sequential: requests.is_sequential(),
            is_busy: requests.is_busy(),
        })
    }

    /// Whether the module says that it takes calls and events, by its `ready` frames and its health reports.
    pub(crate) fn is_ready(&self) -> bool {
        self.readiness.is_ready()
    }

    /// Waits until the module says that it takes calls and events; it does before its first `ready` frame. Does not notice that the
    /// connection is closed. Cancel-safe.
    pub(crate) async fn ready(&self) {
        self.readiness.ready().await;
    }

    /// Sets the callback for changes of [`is_ready`](Self::is_ready), which gets the new value. It is called by the reader, or by the task
    /// that makes the health check, and must not block. Only the first call sets one.
    pub(crate) fn when_ready(&self, callback: impl Fn(bool) + Send + Sync + 'static) {
        self.readiness.on_change(callback);
    }

    /// How many events the module has not replied to. The code that sends events counts here.
    pub(crate) fn events(&self) -> &Arc<AtomicUsize> {
        &self.events
    }

    /// How many requests the module has not replied to, calls, events and the host's own: queued ones count,
    /// [overdue](Self::overdue) ones do not.
    pub(crate) fn in_flight(&self) -> usize {
        lock(&self.requests).len()
    }

    /// How many of the requests in flight are in the queue of a sequential module; 0 for a concurrent one.
    pub(crate) fn queued(&self) -> usize {
        lock(&self.requests).queued()
    }

    /// How many of the requests in flight have a caller that still waits.
    pub(crate) fn waited_for(&self) -> usize {
        lock(&self.requests).waited_for()
    }

    /// Whether the module replies without ids, so that it gets one request at a time. False before its reply to `init`.
    pub(crate) fn is_sequential(&self) -> bool {
        lock(&self.requests).is_sequential()
    }

    /// Whether the module is sequential and has a request, so that a new one would be queued.
    pub(crate) fn is_busy(&self) -> bool {
        lock(&self.requests).is_busy()
    }

    /// How long ago the caller of a sequential module's current request stopped waiting. `None` if the caller waits, or there is no such
    /// request.
    pub(crate) fn abandoned_for(&self) -> Option<Duration> {
        lock(&self.requests).abandoned_for(Instant::now())
    }

    /// Whether the host reads what the module sends. False while the host's limits for large frames and for writes to
    /// the store prevent it; the module's replies are not seen then. True while the host waits for the module to read.
    pub(crate) fn is_read(&self) -> bool {
        self.is_read.load(Ordering::Relaxed)
    }

    /// How many requests a concurrent module has not replied to although their callers stopped waiting
    /// [`overdue_after`](ConnectionLimits::overdue_after) ago or earlier, up to 16,384; 0 for a sequential module.
    pub(crate) fn overdue(&self) -> usize {
        lock(&self.requests).overdue()
    }

    /// Whether the module has a further attempt of a call that was lost with an earlier process. If this process ends
    /// too, that call may be to blame.
    pub(crate) fn has_retried_call(&self) -> bool {
        lock(&self.requests).has_retried_call()
    }

    /// The call or event that the module handles under this id; without an id, the current one of a sequential module.
    /// `None` if there is none, or it is a request of the host itself.
    pub(crate) fn handled(&self, id: Option<u64>) -> Option<RequestInfo> {
        lock(&self.requests).handled(id).cloned()
    }

    /// Why the host has to end the process, because of something that it has sent or has not: `it was ended: …`, without a full stop.
    /// `None` if there is no reason. The first reason stays.
    pub(crate) fn end_reason(&self) -> Option<String> {
        self.end_reason.get().cloned()
    }

    fn set_end_reason(&self, reason: String) {
        let _ = self.end_reason.set(reason);
    }

    /// Waits until the module has hung up, or the reader has ended for the [`end_reason`](Self::end_reason). Never
    /// completes if [`close`](Self::close) was called before either. Cancel-safe.
    pub(crate) async fn closed(&self) {
        self.hung_up.wait().await;
    }

    /// Takes no more calls and events. Queued ones stay in the queue, for [`stop`](Self::stop) or
    /// [`close`](Self::close).
    fn take_only_shutdown(&self) {
        lock(&self.requests).take_only_shutdown();
    }

    /// Waits until an event can be sent. Returns at once if [`has_room`](Self::has_room) is true; otherwise when the socket has taken all
    /// bytes, or the connection is closed. Cancel-safe.
    pub(crate) async fn room(&self) {
        self.send_buffer.room(EVENT_ROOM).await;
    }

    /// Whether an event can be sent: the module has at most [`EVENT_ROOM`] unread bytes, those of its socket not included. True also for a
    /// closed connection.
    pub(crate) fn has_room(&self) -> bool {
        self.send_buffer.has_room(EVENT_ROOM)
    }
}

/// Closes the connection when it is dropped, unless [`keep`](Self::keep) was called.
struct CloseOnDrop(Option<Arc<Connection>>);

impl CloseOnDrop {
    fn keep(mut self) -> Arc<Connection> {
        self.0.take().expect("it is taken once")
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if let Some(connection) = &self.0 {
            connection.close("it was given up");
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("id", &self.id).finish_non_exhaustive()
    }
}
