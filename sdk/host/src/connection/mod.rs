//! A host's connection with one process of a module. It numbers requests, brings each reply to the caller that waits for it, and the
//! module's own calls to the [services](crate::services) of the host.
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
//!    │ stop(): it is to end      │ it hangs up, does not complete a frame,   │
//!    v                           │ or its replies can't be told apart        │
//!  Stopping: takes only          │                                           │
//!    │ `shutdown`; `drained()`   v                                           v
//!    │ once no caller waits    HungUp: `closed()` ──────── close() ──────> Closed: every request is lost,
//!    └─────────────────────────────────────────────────── close() ─────────^ every own call is cancelled
//! ```
//!
//! Where the state is: `init_reply` is there while initializing, [`RequestTable`] knows what is still taken, `hung_up` is set by the
//! reader. One file for each concern:
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

pub(crate) struct Connection {
    /// The process, for [causes](crate::bus::Cause::process): a random number.
    number: u64,
    /// `name:version/instance-NNN`.
    id: Arc<str>,
    max_frame_bytes: usize,
    send_buffer: Arc<SendBuffer>,
    requests: Mutex<RequestTable>,
    /// Wakes the timer: a deadline is sooner than those it knows of.
    sooner_deadline: Notify,
    /// Wakes those that wait until no caller waits.
    drained: Notify,
    own_calls: Mutex<OwnCalls>,
    /// Set once the reader has ended.
    hung_up: SetOnce<()>,
    /// Why the process is to be ended, if the host found a reason in what it has sent.
    end_reason: OnceLock<String>,
    /// Who waits for the reply to `init`; `None` once it has come.
    init_reply: Mutex<Option<InitReply>>,
    /// Writer, timer and reader.
    tasks: Mutex<Vec<AbortHandle>>,
    spans: Spans,
    call_log: CallLog,
    /// What the module's own calls carry while the host works on them.
    work: Arc<Budget>,
    /// For large frames of all connections.
    reading: Arc<Semaphore>,
    /// Gets what the module says of its start.
    progress: watch::Sender<StartProgress>,
    /// False while the host has too much to do to read what the module sends.
    is_read: AtomicBool,
    /// The module has picked the feature `draining`.
    is_told_draining: AtomicBool,
    /// How many events the module has.
    events: Arc<AtomicUsize>,
    readiness: Readiness,
}

/// What a module can use of its host.
pub(crate) trait Services: Send + Sync + 'static {
    /// Handles a call of the module. Ends it with [`Connection::end_call`] or [`Connection::respond`].
    fn request(
        &self,
        connection: &Arc<Connection>,
        id: Option<u64>,
        request: ServiceRequest<'_>,
        batch: &mut WriteBatch,
    );
    /// Takes a line of the module's log.
    fn log(&self, log: &LogFrame<'_>);
    /// Logs what is wrong with something that the module has sent, where the module can't be told.
    fn complain(&self, complaint: &str);
}

/// How much a process has to do.
pub(crate) struct ProcessLoad {
    /// How many requests it has not answered.
    pub(crate) in_flight: usize,
    /// Whether it is sequential: it has one request at a time, and others are queued for it.
    pub(crate) is_sequential: bool,
    /// Whether it is sequential and has a request.
    pub(crate) is_busy: bool,
}

/// A call or an event that was queued for a sequential module, and that another process is to get.
pub(crate) enum Undelivered {
    Call { envelope: Envelope<'static>, topic: Arc<ModuleTopic>, reply: ReplyTo },
    Event { envelope: Envelope<'static>, reply: ReplyTo },
}

impl Connection {
    /// Sends `init`, and waits for the reply, without a timeout of its own. If it is dropped or fails, the connection is closed.
    pub(crate) async fn open(
        socket: impl Into<ModuleSocket>,
        id: Arc<str>,
        hello: InitOptions<'_>,
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
            send_buffer: Arc::new(SendBuffer::new(writer, hello.framing, max_frame_bytes, &waiting)),
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
            progress: hello.progress,
            is_read: AtomicBool::new(true),
            is_told_draining: AtomicBool::new(false),
            events: Arc::default(),
            readiness: Readiness::default(),
        });
        let guard = CloseOnDrop(Some(Arc::clone(&connection)));
        let init = HostFrame::Init(handshake::init(hello.config, &id, max_frame_bytes));
        let init = Frame { id: Some(INIT_ID), body: init };
        let sent = connection.send_buffer.put(FrameClass::HostRequest, &init, &mut WriteBatch::none());
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

    /// The process, as [causes](crate::bus::Cause::process) name it.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// `name:version/instance-NNN`.
    pub(crate) fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// How much the process has to do; `None` if it takes no calls and events now.
    pub(crate) fn load(&self) -> Option<ProcessLoad> {
        let requests = lock(&self.requests);
        (!requests.is_closed() && self.is_ready()).then(|| ProcessLoad {
            in_flight: requests.len(),
            is_sequential: requests.is_sequential(),
            is_busy: requests.is_busy(),
        })
    }

    /// Whether the module says that it takes calls and events.
    pub(crate) fn is_ready(&self) -> bool {
        self.readiness.is_ready()
    }

    /// Waits until the module says that it takes calls and events. Cancel-safe.
    pub(crate) async fn ready(&self) {
        self.readiness.ready().await;
    }

    /// Sets what is called, with whether the module is ready, whenever that changes. The first one stays.
    pub(crate) fn when_ready(&self, callback: impl Fn(bool) + Send + Sync + 'static) {
        self.readiness.on_change(callback);
    }

    /// How many events the module has. Counted by the code that sends them.
    pub(crate) fn events(&self) -> &Arc<AtomicUsize> {
        &self.events
    }

    /// How many requests the module has not answered, queued ones included.
    pub(crate) fn in_flight(&self) -> usize {
        lock(&self.requests).len()
    }

    /// How many of these are queued.
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.requests).waiting()
    }

    /// How many of these have a caller that waits.
    pub(crate) fn waited_for(&self) -> usize {
        lock(&self.requests).waited_for()
    }

    /// Whether the module gets one request at a time.
    pub(crate) fn is_sequential(&self) -> bool {
        lock(&self.requests).is_sequential()
    }

    /// Whether the module gets one request at a time, and has one.
    pub(crate) fn is_busy(&self) -> bool {
        lock(&self.requests).is_busy()
    }

    /// For a sequential module: how long ago the caller of its current request stopped waiting; `None` if it waits.
    pub(crate) fn abandoned_for(&self) -> Option<Duration> {
        lock(&self.requests).abandoned_for(Instant::now())
    }

    /// Whether the host reads what the module sends. While it has too much to do, a module can't answer.
    pub(crate) fn is_read(&self) -> bool {
        self.is_read.load(Ordering::Relaxed)
    }

    /// How many requests a concurrent module has not answered although their callers stopped waiting long ago:
    /// [`ConnectionLimits::overdue_after`].
    pub(crate) fn overdue(&self) -> usize {
        lock(&self.requests).overdue()
    }

    /// Whether the module has a call that was lost with an earlier process. If this one ends too, the call may be to blame.
    pub(crate) fn has_retried_call(&self) -> bool {
        lock(&self.requests).has_retried_call()
    }

    /// What the module handles under this id; without one, the current request of a sequential module.
    pub(crate) fn handled(&self, id: Option<u64>) -> Option<RequestInfo> {
        lock(&self.requests).handled(id).cloned()
    }

    /// Why the process is to be ended, if the host found a reason in what it has sent.
    pub(crate) fn end_reason(&self) -> Option<String> {
        self.end_reason.get().cloned()
    }

    fn set_end_reason(&self, reason: String) {
        let _ = self.end_reason.set(reason);
    }

    /// Waits until the module has hung up, or the reader has ended for another reason: see `end_reason`. Cancel-safe.
    pub(crate) async fn closed(&self) {
        self.hung_up.wait().await;
    }

    /// Takes no more calls and events; queued ones stay.
    fn take_only_shutdown(&self) {
        lock(&self.requests).take_only_shutdown();
    }

    /// Waits until the module has at most [`EVENT_ROOM`] unread bytes, so that it can be sent an event. Cancel-safe.
    pub(crate) async fn room(&self) {
        self.send_buffer.room(EVENT_ROOM).await;
    }

    /// Whether [`room`](Self::room) would not wait.
    pub(crate) fn has_room(&self) -> bool {
        self.send_buffer.has_room(EVENT_ROOM)
    }
}

/// Closes a connection that was not opened.
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
