//! Checks the lease in every order of the threads' steps, with a model checker: each step is run exactly once, and what is gathered is
//! written. The lock is the model checker's, the lease is the real one.

use std::sync::atomic::{AtomicUsize, Ordering};

use loom::sync::{Arc, Mutex};
use loom::thread;

use super::*;

struct World {
    lease: ReaderLease<u32, u64>,
    now: Instant,
    /// How many frames the socket has: each makes a step with this number less one.
    input: u32,
    run: Vec<u32>,
    /// As in `Outgoing`: whether something is gathered.
    gathered: bool,
}

impl World {
    fn new(lease: ReaderLease<u32, u64>, input: u32) -> Self {
        Self { lease, now: Instant::now(), input, run: Vec::new(), gathered: false }
    }
}

/// As `Connection::run`, up to where it waits for the host, or has no lease.
fn read(world: &Mutex<World>, reader: u64) {
    loop {
        let mut guard = world.lock().unwrap();
        match guard.lease.next(reader) {
            Next::Leave => return guard.gathered = false,
            Next::Run { step, .. } => {
                guard.run.push(step);
                drop(guard);
                if step == 10 {
                    // Here it may be stuck. Then it wakes another handler, and replies.
                    let mut guard = world.lock().unwrap();
                    if let Some(other) = guard.lease.schedule(Some(reader), 20, false) {
                        guard.run.push(other);
                    }
                    drop(guard);
                    let mut guard = world.lock().unwrap();
                    guard.gathered = true;
                }
            }
            Next::Read { wait } => {
                drop(guard);
                let world = &mut *world.lock().unwrap();
                world.gathered = false;
                if world.input > 0 {
                    world.input -= 1;
                    if let Some(step) = world.lease.schedule(Some(reader), world.input, false) {
                        world.run.push(step);
                    }
                } else if wait {
                    let now = world.now;
                    if world.lease.rest(|| now) {
                        return;
                    }
                }
            }
        }
    }
}

/// Lets the watchdog check so many times, and take over if it is to. Returns whether it did.
fn watch(world: &Mutex<World>, checks: u32) -> bool {
    let mut took_over = false;
    for _ in 0..checks {
        let check = {
            let World { lease, now, input, .. } = &mut *world.lock().unwrap();
            *now += STUCK_AFTER;
            lease.check(*now, || Duration::ZERO, true, || *input > 0)
        };
        if check == Check::TakeOver {
            let others = {
                let world = &mut *world.lock().unwrap();
                world.lease.take_over(2, world.now)
            };
            if let Some((others, _)) = others {
                took_over = true;
                world.lock().unwrap().run.extend(others);
                read(world, 2);
            }
        }
    }
    took_over
}

/// Ends a model: checks that these steps were run, and that nothing is gathered.
fn assert_done(world: &Mutex<World>, expected: impl IntoIterator<Item = u32>) {
    let world = world.lock().unwrap();
    let mut run = world.run.clone();
    run.sort_unstable();
    assert_eq!(run, expected.into_iter().collect::<Vec<_>>());
    assert_eq!(world.input, 0);
    assert!(!world.gathered, "a reply waits for a thread that has left");
}

#[test]
fn nothing_is_lost_or_done_twice_when_the_lease_is_taken() {
    /// The number of executions in which the lease was taken: with none, the model would show nothing.
    static TAKEOVERS: AtomicUsize = AtomicUsize::new(0);

    /// `wakers` is the number of threads that are never the reader, each of which wakes a handler.
    fn model(wakers: u32) {
        let mut lease = ReaderLease::new();
        lease.begin(1, false);
        lease.schedule(Some(1), 10, false);
        lease.schedule(Some(1), 11, false);
        let world = Arc::new(Mutex::new(World::new(lease, 0)));
        let woken = 30..30 + wakers;
        let wakers: Vec<_> = woken
            .clone()
            .map(|step| {
                let world = Arc::clone(&world);
                thread::spawn(move || {
                    let mut world = world.lock().unwrap();
                    if let Some(step) = world.lease.schedule(None, step, false) {
                        world.run.push(step);
                    }
                })
            })
            .collect();
        let watchdog = {
            let world = Arc::clone(&world);
            // A step that runs at three checks is stuck.
            thread::spawn(move || usize::from(watch(&world, 3)))
        };
        read(&world, 1);
        TAKEOVERS.fetch_add(watchdog.join().unwrap(), Ordering::Relaxed);
        for waker in wakers {
            waker.join().unwrap();
        }
        assert_done(&world, [10, 11, 20].into_iter().chain(woken));
    }

    // All orders of two threads. Of three, those in which threads are preempted three times at most, unless `tests/long` asks
    // for more with `LOOM_MAX_PREEMPTIONS`.
    loom::model(|| model(0));
    let mut some = loom::model::Builder::new();
    some.preemption_bound.get_or_insert(3);
    some.check(|| model(1));
    assert!(TAKEOVERS.load(Ordering::Relaxed) > 0);
}

#[test]
fn nothing_is_lost_or_done_twice_when_a_thread_reads_in_place_of_the_task() {
    /// The number of executions in which the lease was taken from the task, since it did not run.
    static TAKEOVERS: AtomicUsize = AtomicUsize::new(0);

    loom::model(|| {
        let mut lease = ReaderLease::new();
        lease.begin(1, true);
        let world = Arc::new(Mutex::new(World::new(lease, 2)));
        let watchdog = {
            let world = Arc::clone(&world);
            // The task is kept waiting at the first check, woken for at the second, and loses the lease at the third.
            thread::spawn(move || usize::from(watch(&world, 3)))
        };
        // A worker runs the task.
        read(&world, 1);
        TAKEOVERS.fetch_add(watchdog.join().unwrap(), Ordering::Relaxed);
        // A thread gives the lease back to the task, which waits for it.
        let later = world.lock().unwrap().now + KEEP_FOR;
        world.lock().unwrap().now = later;
        read(&world, 2);
        read(&world, 1);
        assert_done(&world, [0, 1]);
        assert!(world.lock().unwrap().lease.task_reads());
    });
    assert!(TAKEOVERS.load(Ordering::Relaxed) > 0);
}
