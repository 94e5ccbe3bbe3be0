//! The log to which a line goes, and the request to which it belongs, for functions that have no such argument: `ixt_sdk::log("…")`. Each
//! poll of a handler runs in the scope of its request.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use ixt_protocol::LogFrame;

/// Takes log lines for the host, and knows the request to which they belong.
pub(crate) trait LogTarget: Send + Sync {
    /// Sends a line to the host, without waiting. Returns false if the host takes no lines or is gone, or `init` has not come: the caller
    /// then writes to stderr.
    fn send_log(self: Arc<Self>, line: LogFrame<'_>) -> bool;

    /// The topic of the request; `None` outside of requests.
    fn topic(&self) -> Option<&str> {
        None
    }

    /// The trace id of the request, which is empty if the host has sent none; `None` outside of requests.
    fn trace_id(&self) -> Option<&str> {
        None
    }
}

/// The log target of the running code: that of a request while its handler is polled, otherwise that of the session. Cheap to clone.
#[derive(Clone)]
pub(crate) enum Scope {
    /// A session. Weak, because the scope of the process outlives its session.
    Session(Weak<dyn LogTarget>),
    /// A request that is being handled.
    Request(Arc<dyn LogTarget>),
}

thread_local! {
    /// The scope of the code that runs on this thread. The only thread-local state of this crate: authors log with free functions, from
    /// code without a context, and a panic hook has no context either. It is set only while `Scope::run` is on the stack.
    static CURRENT: RefCell<Option<Scope>> = const { RefCell::new(None) };
}

/// The scope of threads and tasks that the author has spawned: that of the process's session. `None` before there is one, and in the test
/// harness.
static PROCESS: Mutex<Option<Scope>> = Mutex::new(None);

impl Scope {
    /// The scope of a session.
    pub(crate) fn of_session(target: &Arc<impl LogTarget + 'static>) -> Self {
        let target = Arc::downgrade(target);
        Self::Session(target)
    }

    /// The scope of a request.
    pub(crate) fn of_request(target: Arc<dyn LogTarget>) -> Self {
        Self::Request(target)
    }

    /// The target; `None` if the session no longer exists.
    pub(super) fn target(&self) -> Option<Arc<dyn LogTarget>> {
        match self {
            Self::Session(target) => target.upgrade(),
            Self::Request(target) => Some(Arc::clone(target)),
        }
    }

    /// The topic of the request or event; empty in the scope of a session.
    pub(crate) fn topic(&self) -> &str {
        match self {
            Self::Session(_) => "",
            Self::Request(target) => target.topic().unwrap_or_default(),
        }
    }

    /// Runs `work` in this scope, on this thread. Restores the scope from before, also after a panic. May be nested.
    pub(crate) fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        struct Restore(Option<Scope>);
        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.set(self.0.take());
            }
        }
        let _restore = Restore(CURRENT.replace(Some(self.clone())));
        work()
    }

    /// Runs each poll of `work` in this scope.
    pub(crate) async fn enclose<T>(self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|cx| self.run(|| work.as_mut().poll(cx))).await
    }

    /// Makes this the scope of all code of the process that runs in no other scope, such as threads that the author has started. The last
    /// call counts.
    pub(crate) fn make_default(self) {
        *PROCESS.lock().unwrap_or_else(PoisonError::into_inner) = Some(self);
    }

    /// The scope of the code that calls this: that of the innermost `run`, or else the default. `None` if there is neither: a log line then
    /// goes to stderr.
    pub(crate) fn current() -> Option<Self> {
        // `try_`: the panic hook calls this too, perhaps while the thread ends, or while this very cell is borrowed.
        let current = CURRENT.try_with(|current| current.try_borrow().ok().and_then(|current| current.clone()));
        current.ok().flatten().or_else(|| PROCESS.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}
