//! Counters of the handlers that run, of the queued requests, and of the requests without a reply. With them a handler can end without
//! the lock of the request table.
//!
//! The danger is a lost wakeup: one thread queues a request because no permit is free, while at the same moment another ends the last
//! handler and sees no queued request. One of the two must see the other. The thread that queues stores `queued`, then reads `running`;
//! the thread that ends changes `running`, then reads `queued`. Both access `running` by a read-modify-write. So one of them comes
//! second there, and sees all that the other did before.

use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The counters of one session. [`Requests`](super::Requests) has the table and the queue, and calls all of this.
#[derive(Debug)]
pub(super) struct Admission<C = AtomicUsize> {
    /// The number of permits in use. Grows only under the lock of the table. It may be larger than the number of requests: a blocked
    /// thread keeps its permit after its request was answered.
    running: C,
    /// The length of the queue when the lock was last released. May be too large: cancelled requests are subtracted later.
    queued: C,
    /// The number of requests whose reply is not queued for the host yet, `init` and health checks included.
    owed: C,
    /// [`Limits::max_concurrency`](super::Limits).
    max_running: usize,
}

/// An atomic counter: that of the standard library, or that of the model checker.
pub(super) trait Counter: Debug {
    fn new() -> Self;
    fn load(&self, ordering: Ordering) -> usize;
    fn store(&self, value: usize, ordering: Ordering);
    fn fetch_add(&self, value: usize, ordering: Ordering) -> usize;
    fn fetch_sub(&self, value: usize, ordering: Ordering) -> usize;
}

macro_rules! counter {
    ($type:ty) => {
        impl Counter for $type {
            fn new() -> Self {
                <$type>::new(0)
            }

            fn load(&self, ordering: Ordering) -> usize {
                self.load(ordering)
            }

            fn store(&self, value: usize, ordering: Ordering) {
                self.store(value, ordering);
            }

            fn fetch_add(&self, value: usize, ordering: Ordering) -> usize {
                self.fetch_add(value, ordering)
            }

            fn fetch_sub(&self, value: usize, ordering: Ordering) -> usize {
                self.fetch_sub(value, ordering)
            }
        }
    };
}

counter!(AtomicUsize);

impl<C: Counter> Admission<C> {
    /// Counters at 0: all permits are free.
    pub(super) fn new(max_running: usize) -> Self {
        Self { running: C::new(), queued: C::new(), owed: C::new(), max_running }
    }

    /// To be called when a request, `init` or a health check has come, under the lock of the table.
    pub(super) fn arrived(&self) {
        self.owed.fetch_add(1, Ordering::Relaxed);
    }

    /// To be called once for each call of [`arrived`](Self::arrived), when the reply was queued for the host. Returns whether every request
    /// has a reply now.
    pub(super) fn answered(&self) -> bool {
        self.owed.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Whether every request has a reply.
    pub(super) fn is_idle(&self) -> bool {
        self.owed.load(Ordering::Acquire) == 0
    }

    /// Whether a permit is free for a request that has just come. May be false although a permit was returned a moment ago: the request
    /// is then queued, and `may_begin_queued` finds the permit.
    pub(super) fn may_begin(&self) -> bool {
        self.running.load(Ordering::Acquire) < self.max_running
    }

    /// Whether a permit is free for a queued request. To be called under the lock of the table, after `set_queued`.
    pub(super) fn may_begin_queued(&self) -> bool {
        self.running.fetch_add(0, Ordering::AcqRel) < self.max_running
    }

    /// Takes a permit. To be called under the lock of the table.
    pub(super) fn begin(&self) {
        self.running.fetch_add(1, Ordering::AcqRel);
    }

    /// Gives a permit back. Returns whether a queued request may be waiting for it: the caller then has to look, under the lock of the
    /// table. May be called without the lock.
    pub(super) fn end(&self) -> bool {
        self.running.fetch_sub(1, Ordering::AcqRel);
        self.queued.load(Ordering::Acquire) > 0
    }

    /// Sets the length of the queue. To be called under the lock of the table.
    pub(super) fn set_queued(&self, queued: usize) {
        self.queued.store(queued, Ordering::Release);
    }

    /// The number of permits in use.
    pub(super) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use loom::sync::{Arc, Mutex};
    use loom::thread;

    use super::*;

    type ModelCounter = loom::sync::atomic::AtomicUsize;

    counter!(ModelCounter);

    /// The queue behind its lock, as `Requests` has it, and the counters beside it.
    struct Model {
        admission: Admission<ModelCounter>,
        queue: Mutex<Vec<u32>>,
        /// The requests that have begun. Not of the model checker, so that it adds no orders to check.
        begun: std::sync::Mutex<Vec<u32>>,
    }

    impl Model {
        fn new(max_running: usize) -> Arc<Self> {
            Arc::new(Self {
                admission: Admission::new(max_running),
                queue: Mutex::new(Vec::new()),
                begun: std::sync::Mutex::default(),
            })
        }

        /// As `Requests::accept`. Returns whether the request has begun at once.
        fn accept(&self, request: u32) -> bool {
            let mut queue = self.queue.lock().unwrap();
            self.admission.arrived();
            if self.admission.may_begin() && queue.is_empty() {
                self.begin(request);
                return true;
            }
            queue.push(request);
            self.admission.set_queued(queue.len());
            self.begin_queued(&mut queue);
            false
        }

        /// As `Requests::begin_queued`.
        fn begin_queued(&self, queue: &mut Vec<u32>) {
            if !queue.is_empty() && self.admission.may_begin_queued() {
                let request = queue.remove(0);
                self.begin(request);
            }
            self.admission.set_queued(queue.len());
        }

        fn begin(&self, request: u32) {
            self.admission.begin();
            self.begun.lock().unwrap().push(request);
            assert!(self.admission.running() <= 1, "more run than may");
        }

        /// Ends a handler: answers, and returns its permit as `Requests::permit_returned` does. Returns whether no request is left.
        fn end(&self) -> bool {
            let is_last = self.admission.answered();
            if self.admission.end() {
                self.begin_queued(&mut self.queue.lock().unwrap());
            }
            is_last
        }
    }

    /// Checks every order of the threads' steps with at most three preemptions, or with `LOOM_MAX_PREEMPTIONS`, which `tests/long` sets.
    #[test]
    fn no_request_stays_queued_while_a_permit_is_free() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound.get_or_insert(3);
        model.check(|| {
            let model = Model::new(1);
            assert!(model.accept(0));
            let ending = {
                let model = Arc::clone(&model);
                thread::spawn(move || model.end())
            };
            let accepting = {
                let model = Arc::clone(&model);
                thread::spawn(move || model.accept(2))
            };
            model.accept(1);
            ending.join().unwrap();
            accepting.join().unwrap();
            assert_eq!(model.begun.lock().unwrap().len(), 2, "one of the two has the permit that was returned");
            model.end();
            assert_eq!(model.begun.lock().unwrap().len(), 3);
            model.end();
            assert!(model.queue.lock().unwrap().is_empty() && model.admission.is_idle());
            assert_eq!(model.admission.running(), 0);
        });
    }

    #[test]
    fn exactly_one_of_the_threads_that_answer_learns_that_it_was_the_last() {
        loom::model(|| {
            let model = Model::new(2);
            model.admission.arrived();
            model.admission.arrived();
            let other = {
                let model = Arc::clone(&model);
                thread::spawn(move || model.admission.answered())
            };
            let first = model.admission.answered();
            assert!(first ^ other.join().unwrap());
            assert!(model.admission.is_idle());
        });
    }
}
