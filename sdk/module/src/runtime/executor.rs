//! What runs the handlers: a seam between the requests in flight and the threads of a process, or the single task of the
//! test harness.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_task::{Runnable, Task};
use tokio::time::Instant;

/// Runs tasks, and looks at the clock.
pub(crate) trait Executor: Debug + Send + Sync {
    /// Runs a task's next step, soon and not in here: the caller may hold a lock. What is urgent is before all else.
    fn schedule(&self, runnable: Runnable, urgent: bool);
    /// Sees to it that deadlines are looked at by this time.
    fn wake_at(&self, time: Instant);
}

/// A task, and its first step. Dropped, the task is cancelled.
pub(crate) fn spawn(
    executor: &Arc<dyn Executor>,
    urgent: bool,
    work: impl Future<Output = ()> + Send + 'static,
) -> (Runnable, Task<()>) {
    let executor = Arc::clone(executor);
    // Later steps are not, or one that wakes itself again and again would be before all else for ever.
    let first = AtomicBool::new(urgent);
    async_task::spawn(work, move |runnable| executor.schedule(runnable, first.swap(false, Ordering::Relaxed)))
}

/// Runs one step of a task. The author's panics were caught before; should there be another, the thread lives on.
pub(crate) fn run(runnable: Runnable) {
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runnable.run()));
}
