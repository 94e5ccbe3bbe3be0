//! What runs the handlers: a seam between the requests in flight and the threads of a process, or the single task of the
//! test harness.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;

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
    async_task::spawn(work, move |runnable| executor.schedule(runnable, urgent))
}

/// Runs one step of a task. A panic ends here: it is one of the author's destructors, the rest is caught before.
pub(crate) fn run(runnable: Runnable) {
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runnable.run()));
}
