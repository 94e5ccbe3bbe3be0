//! The workers of the tokio runtime that `Launcher::run` makes: its threads, which run the reader and the author's tasks. A worker with
//! nothing more to run writes the frames that it has gathered, and then waits. One that runs tasks keeps the watchdog awake: that writes
//! the frames of a worker that goes on running, and has a thread read if no worker runs the reader.
//!
//! A handler may block the worker that runs it. The other workers then run the author's tasks and timers. So there are at least two, even
//! on one processor. But there the second one would only take tasks from the first, with a switch of threads each time. So it is held in
//! reserve, by a task that blocks it, until a thread has to read in place of the task for the first time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::available_parallelism;
use std::{env, io};

use rustix::thread::sched_getaffinity;
use tokio::runtime::{Builder, Runtime};

use super::process_executor::ProcessExecutor;
use crate::outgoing::Outgoing;
use crate::this_thread;

/// What the workers of one runtime share.
#[derive(Debug)]
pub(crate) struct Workers {
    /// How many there are, with the one in reserve.
    number: usize,
    /// How many have nothing to run, and wait.
    parked: AtomicUsize,
    /// Whether one is held in reserve. False if there is no reserve.
    holds: Mutex<bool>,
    /// Notified when the reserve is released.
    released: Condvar,
    /// Set once the module is connected.
    connected: OnceLock<Connected>,
}

#[derive(Debug)]
struct Connected {
    executor: Arc<ProcessExecutor>,
    outgoing: Arc<Outgoing>,
}

impl Workers {
    /// Makes a runtime whose blocking pool has this many threads at most. It has as many workers as there are processors, or as
    /// `TOKIO_WORKER_THREADS` says, and a reserve if that is one.
    ///
    /// # Errors
    ///
    /// If the system has no threads, or no epoll.
    pub(crate) fn runtime(max_blocking_threads: usize) -> io::Result<(Runtime, Arc<Self>)> {
        let configured = env::var("TOKIO_WORKER_THREADS").ok().and_then(|number| number.parse().ok());
        let wanted: usize = configured.unwrap_or_else(processors);
        let number = wanted.max(2);
        let this = Arc::new(Self {
            number,
            parked: AtomicUsize::new(0),
            holds: Mutex::new(wanted < number),
            released: Condvar::new(),
            connected: OnceLock::new(),
        });
        let [parks, unparks] = [Arc::clone(&this), Arc::clone(&this)];
        let runtime = Builder::new_multi_thread()
            .enable_all()
            .worker_threads(number)
            .max_blocking_threads(max_blocking_threads)
            .on_thread_park(move || parks.park())
            .on_thread_unpark(move || unparks.unpark())
            .build()?;
        Ok((runtime, this))
    }

    /// From now on workers gather frames for this connection, and one is held in reserve, if there should be a reserve. To be called before
    /// the author's code runs, so that the worker to be held has nothing else to run.
    pub(super) fn connect(
        self: &Arc<Self>,
        executor: Arc<ProcessExecutor>,
        outgoing: Arc<Outgoing>,
        tokio: &tokio::runtime::Handle,
    ) {
        let _ = self.connected.set(Connected { executor, outgoing });
        if *self.holds() {
            let this = Arc::clone(self);
            tokio.spawn(async move {
                let holds = this.holds();
                drop(this.released.wait_while(holds, |holds| *holds));
            });
        }
    }

    /// Lets all workers run tasks from now on.
    pub(super) fn release_reserve(&self) {
        *self.holds() = false;
        self.released.notify_one();
    }

    fn holds(&self) -> std::sync::MutexGuard<'_, bool> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether each worker that is not held in reserve waits. Then one of them waits for input and timers; while one runs a task, perhaps
    /// none does.
    pub(super) fn are_idle(&self) -> bool {
        self.parked.load(Ordering::Relaxed) + usize::from(*self.holds()) >= self.number
    }

    /// This thread has nothing more to run.
    fn park(&self) {
        this_thread::set_gathers(false);
        if let Some(Connected { outgoing, .. }) = self.connected.get() {
            outgoing.flush();
        }
        self.parked.fetch_add(1, Ordering::Relaxed);
    }

    /// This thread has something to run, or looks for it.
    fn unpark(&self) {
        self.parked.fetch_sub(1, Ordering::Relaxed);
        if let Some(Connected { executor, .. }) = self.connected.get() {
            this_thread::set_gathers(true);
            executor.keep_watching();
        }
    }
}

/// The number of processors that this process may use.
fn processors() -> usize {
    let allowed = sched_getaffinity(None).map_or(u32::MAX, |processors| processors.count());
    match usize::try_from(allowed) {
        // A quota of the control group changes little then, and reading it takes 5 % of a module's start.
        Ok(few @ 1..=2) => few,
        _ => available_parallelism().map_or(1, usize::from),
    }
}
