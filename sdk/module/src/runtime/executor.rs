//! What runs the handlers: a seam between the requests in flight and the threads of a process, or the single task of the
//! test harness.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;

use async_task::{Runnable, Task};
use tokio::time::Instant;

use crate::runtime::handling::Begin;

/// Runs tasks, and looks at the clock.
pub(crate) trait Executor: Debug + Send + Sync {
    /// Does this soon, and not in here: the caller may hold a lock.
    fn schedule(&self, step: Step, how: How);
    /// Sees to it that deadlines are looked at by this time.
    fn wake_at(&self, time: Instant);
}

/// Something to do that is done in a moment, if the author's code is as it should be.
#[derive(Debug)]
pub(crate) enum Step {
    /// A request is handled, as far as that goes without waiting.
    Begin(Begin),
    /// A task goes on.
    Task(Runnable),
}

/// What is known about a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// It comes before all else.
    Urgent,
    /// Nothing.
    Any,
    /// It may block its thread, or compute for long.
    Slow,
}

impl Step {
    /// Does it. The author's panics were caught before; should there be another, the thread lives on.
    pub(crate) fn run(self) {
        let run = || match self {
            Self::Begin(request) => request.run(),
            Self::Task(runnable) => drop(runnable.run()),
        };
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
    }
}

/// A task, and its first step. Dropped, the task is cancelled.
pub(crate) fn spawn(
    executor: &Arc<dyn Executor>,
    work: impl Future<Output = ()> + Send + 'static,
) -> (Runnable, Task<()>) {
    let executor = Arc::clone(executor);
    async_task::spawn(work, move |runnable| executor.schedule(Step::Task(runnable), How::Any))
}
