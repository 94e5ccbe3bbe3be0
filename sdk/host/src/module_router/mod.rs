//! A module in its host: its replicas, which of them gets a call or an event, and what waits until a replica can take
//! it. `calls` routes calls, `parked` has those that wait for a replica, `event_queue` the events; `replicas` has the
//! replicas, and `topics` what the bus knows of the module. The router starts and ends no process: the `supervisor`
//! does.
//!
//! A call on its way through the host:
//!
//! ```text
//!  Bus::call ──> TopicEndpoint::call ──> call: depth and deadline
//!                                          │
//!                                          v
//!                                        route: an idempotent call keeps a copy, to try again
//!                                          │
//!                                          v
//!  ┌───────────────────────────────────> dispatch ──> ended: deadline passed, cancelled, or would wait for itself
//!  │                                       │
//!  │ a replica is ready,                   ├── no replica is ready ──> Parked ──> refused: its deadline passes,
//!  │ or none will be                       │                            │      too many wait, or no replica comes
//!  ├────────────────────────────────────────────────────────────────────┘
//!  │ not sent: the process                 v
//!  │ was told to end before              Connection::send_message (see `connection::request_table`)
//!  └───────────────────────────────────────┤
//!                                          │ result
//!                                          v
//!                                        lost and idempotent ──> route again, at most 3 attempts
//!                                          │ otherwise
//!                                          v
//!                                        ReplyTo::send, to the caller
//! ```
//!
//! Events wait in the [queue](event_queue) until a replica takes them.

mod calls;
mod event_queue;
mod parked;
mod replicas;
#[cfg(test)]
mod tests;
mod topics;

use std::fmt;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard, Weak};
use std::time::Duration;

use ixt_protocol::LogLevel;
use tokio::sync::watch;

use crate::budget::Budget;
use crate::bus::Bus;
use crate::call_log::CallLog;
use crate::connection::Connection;
use crate::lock::{lock, read};
use crate::logs::{Logs, Record};
use crate::release::Release;
use crate::services::Backends;
use crate::status::ModuleStatus;

use event_queue::EventQueue;
use parked::ParkedCalls;
use replicas::Replicas;
pub(crate) use replicas::StartPermit;
use topics::Topics;
pub(crate) use topics::Unregistered;

/// The most memory, in bytes, for everything that waits for a module: parked and queued calls, copies of idempotent
/// ones, events, and what its processes have not read. Beyond it, calls are refused with `RESOURCE_EXHAUSTED`, and new
/// events are dropped. Events that a process gives back are kept even beyond it.
const MAX_WAITING_BYTES: usize = 48 * 1024 * 1024;

/// A module in its host. The host makes one for each module when it starts, and keeps it until it ends; a restart by
/// hand changes its releases and replicas. The bus calls it for each call and event; it never blocks the bus's thread
/// to wait for a process.
pub(crate) struct ModuleRouter {
    /// This router, for callbacks and tasks that must not keep it alive.
    this: Weak<Self>,
    /// The module's name.
    name: Arc<str>,
    /// See [`Settings::call_timeout`](crate::Settings::call_timeout).
    call_timeout: Duration,
    logs: Logs,
    call_log: CallLog,
    bus: Arc<dyn Bus>,
    /// Where the reason goes when a replica has failed for good: see [`Host::failed`](crate::Host::failed).
    failures: watch::Sender<Option<String>>,
    topics: Mutex<Topics>,
    replicas: Mutex<Replicas>,
    serving: RwLock<Serving>,
    /// Where the next search for the process with the fewest requests begins, so that processes with equally many take
    /// turns: an index into `Serving::ready`, modulo its length.
    next_start: AtomicUsize,
    /// See [`MAX_WAITING_BYTES`].
    waiting: Arc<Budget>,
    /// The calls that wait until a replica is ready, in the order in which they were parked.
    parked: Mutex<ParkedCalls>,
    events: Mutex<EventQueue>,
    /// Locked during a restart by hand, also while the loader of a reload works, so that there is one at a time.
    pub(crate) restarting: Arc<tokio::sync::Mutex<()>>,
}

/// Which processes take calls and events.
struct Serving {
    /// The current release: the newest one of which a process has become ready. If no process was ready when a start or
    /// restart began, it is the release that was to be started, whether or not that went well.
    release: Arc<Release>,
    /// The processes that have become ready, and have neither ended nor been told to end. Each may say that it is not
    /// ready now.
    ready: Vec<Ready>,
    /// Whether the first start or a restart by hand is between [`ModuleRouter::connect`] and
    /// [`ModuleRouter::disconnect`].
    is_changing: bool,
    /// Whether the replicas may be of different releases, so that the search for a process has to look whether its
    /// release takes the topic.
    is_mixed: bool,
}

/// A process that has become ready. It takes calls and events of the topics of its release.
struct Ready {
    connection: Arc<Connection>,
    release: Arc<Release>,
}

impl ModuleRouter {
    /// Makes a module without replicas, whose topics are not registered: [`connect`](Self::connect) registers them.
    /// `failures` receives a sentence when a replica has failed for good.
    pub(crate) fn new(
        release: Arc<Release>,
        call_timeout: Duration,
        backends: &Backends,
        failures: watch::Sender<Option<String>>,
    ) -> Arc<Self> {
        let name = release.deployment().name().into();
        Arc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            name,
            call_timeout,
            logs: backends.logs.clone(),
            call_log: backends.call_log.clone(),
            bus: Arc::clone(&backends.bus),
            failures,
            topics: Mutex::default(),
            replicas: Mutex::default(),
            serving: RwLock::new(Serving { release, ready: Vec::new(), is_changing: false, is_mixed: false }),
            next_start: AtomicUsize::new(0),
            waiting: backends.memory.part(MAX_WAITING_BYTES),
            parked: Mutex::default(),
            events: Mutex::default(),
            restarting: Arc::default(),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The current release: the newest one of which a process has become ready. If no process was ready when a start or
    /// restart began, it is the release that was to be started, whether or not that went well.
    pub(crate) fn release(&self) -> Arc<Release> {
        Arc::clone(&self.serving().release)
    }

    /// The budget for what waits for the module: [`MAX_WAITING_BYTES`], as a part of the host's budget.
    pub(crate) fn waiting(&self) -> &Arc<Budget> {
        &self.waiting
    }

    fn serving(&self) -> RwLockReadGuard<'_, Serving> {
        read(&self.serving)
    }

    /// The status of the module and its replicas. Its parts are read one after the other, not at one moment.
    pub(crate) fn status(&self) -> ModuleStatus {
        let release = self.release();
        let topics = lock(&self.topics).all().map(|topic| topic.snapshot()).collect();
        let replicas = self.replicas();
        let parked = lock(&self.parked).len();
        let queued = self.serving().ready.iter().map(|ready| ready.connection.queued()).sum::<usize>();
        let events = lock(&self.events);
        ModuleStatus {
            name: self.name.to_string(),
            version: release.manifest().module.version.to_string(),
            instances: replicas.iter().map(|replica| replica.status()).collect(),
            topics,
            calls_waiting: (parked + queued) as u64,
            events_waiting: events.waiting() as u64,
            events_dropped: events.dropped,
        }
    }

    /// Logs a warning about the module, with a trace id.
    fn warn(&self, trace_id: &str, message: String) {
        let trace_id = trace_id.to_owned();
        self.logs.write(Record { level: LogLevel::Warn, trace_id, ..Record::new(self.release().source(), message) });
    }
}

impl fmt::Debug for ModuleRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ModuleRouter").field(&self.name).finish()
    }
}
