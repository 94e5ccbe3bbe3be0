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
    /// Runs a task's next step, soon and not in here: the caller may hold a lock.
    fn schedule(&self, runnable: Runnable, step: Step);
    /// Sees to it that deadlines are looked at by this time.
    fn wake_at(&self, time: Instant);
}

/// What is known about a step of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It comes before all else.
    Urgent,
    /// Nothing.
    Any,
    /// It may block its thread, or compute for long.
    Slow,
}

/// A task, and its first step. Dropped, the task is cancelled.
pub(crate) fn spawn(
    executor: &Arc<dyn Executor>,
    first: Step,
    work: impl Future<Output = ()> + Send + 'static,
) -> (Runnable, Task<()>) {
    let executor = Arc::clone(executor);
    // Of the later steps nothing is known; one that is woken again and again must not be before all else for ever.
    let is_first = AtomicBool::new(true);
    async_task::spawn(work, move |runnable| {
        let step = if is_first.swap(false, Ordering::Relaxed) { first } else { Step::Any };
        executor.schedule(runnable, step);
    })
}

/// Runs one step of a task. The author's panics were caught before; should there be another, the thread lives on.
pub(crate) fn run(runnable: Runnable) {
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runnable.run()));
}
