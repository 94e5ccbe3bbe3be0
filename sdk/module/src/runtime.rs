//! The module's view of its host and its process.

use std::sync::Arc;
use std::time::Duration;

use ixt_protocol::MAX_EXTEND_MS;
use tokio::sync::SetOnce;

use crate::caller::Caller;
use crate::caller::sealed::Sealed;
use crate::host_services::calls::Calls;
use crate::host_services::link::Link;

/// The module's view of its host, given to `Handler::init`. Cheap to clone; keep it for background tasks, and call the host and other
/// modules with it as a [`Caller`]. Not the tokio runtime.
#[derive(Debug, Clone)]
pub struct Runtime {
    module_id: Arc<str>,
    link: Link,
    stopping: Arc<SetOnce<()>>,
}

impl Caller for Runtime {}

impl Sealed for Runtime {
    fn link(&self) -> &Link {
        &self.link
    }
}

impl Runtime {
    pub(crate) fn new(module_id: &str, calls: &Arc<Calls>, stopping: &Arc<SetOnce<()>>) -> Self {
        Self { module_id: module_id.into(), link: Link::of_module(calls), stopping: Arc::clone(stopping) }
    }

    /// This process's id, `name:version/instance-NNN`: the one in the host's `init`, or else in the environment variable `IXT_MODULE_ID`.
    /// Empty if the host has set neither. With the host of the test harness it is `test:0.0.0/instance-001`.
    #[must_use]
    pub fn module_id(&self) -> &str {
        &self.module_id
    }

    /// Tells the host what `Handler::init` is doing, and asks it to wait until `extend` from now, or until its own `init_timeout`,
    /// whichever is later. A later call never shortens the time. More than an hour counts as an hour: call this again for more. The host
    /// logs the message, unless it is empty or the last one again. With [`Duration::ZERO`] no timeout changes. Returns at once.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use ixt_sdk::Runtime;
    /// # async fn init(runtime: Runtime) {
    /// runtime.starting("migrating the database", Duration::from_secs(300));
    /// # }
    /// ```
    ///
    /// It does nothing after `init` was answered, or if the host doesn't know the frame `starting`: such a host waits for its own
    /// `init_timeout` only.
    pub fn starting(&self, message: impl AsRef<str>, extend: Duration) {
        let extend_ms = u64::try_from(extend.as_millis()).unwrap_or(u64::MAX).min(MAX_EXTEND_MS);
        self.link.outgoing().starting(message.as_ref(), extend_ms);
    }

    /// Sets whether this process takes new calls and events. The default is true; the value that holds already changes nothing. It may be
    /// called in `init`: with false, the process is not ready when `init` ends. Returns at once; the SDK tells the host at once, or, if the
    /// host doesn't know the frame `ready`, with the next health check.
    ///
    /// While a process is not ready, the host sends new calls and events to other processes of the module, or queues them. The process
    /// still handles the requests that it has, and still gets health checks. A health check that returns
    /// [`Health::not_ready`](crate::Health::not_ready) has the same effect: the process gets calls only while this value is true and the
    /// last health check was ready.
    pub fn set_ready(&self, ready: bool) {
        self.link.outgoing().set_ready(ready);
    }

    /// Waits until this process begins to stop: the host drains it before a restart or a stop, or it shuts down. Returns at once after
    /// that; a process that has begun to stop never takes it back. If `init` fails, the process ends, and this does not return. For
    /// background tasks, and for handlers that would otherwise delay the end, such as a long poll. Calls to the host and to other modules
    /// still work until `Handler::shutdown` has ended, unless the host is gone.
    pub async fn stopping(&self) {
        self.stopping.wait().await;
    }
}
