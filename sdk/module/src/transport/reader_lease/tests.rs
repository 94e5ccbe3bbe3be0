//! The lease step by step, with times that the tests choose.

use super::*;

/// A lease that thread 1 has.
fn first<S>() -> ReaderLease<S, u64> {
    let mut lease = ReaderLease::new();
    lease.begin(1, false);
    lease
}

/// Repeats the watchdog's check each millisecond, up to `most`, until it returns something else than to wait. Returns that and the
/// milliseconds.
fn look(
    lease: &mut ReaderLease<u32, u64>,
    from: Instant,
    most: u32,
    waited: impl Fn(Duration) -> Duration,
) -> (Check, u32) {
    for ms in 0..most {
        let passed = CHECK_INTERVAL * ms;
        let look = lease.check(from + passed, || waited(passed), true, || false);
        if !matches!(look, Check::Wait(_)) {
            return (look, ms);
        }
    }
    (Check::Wait(None), most)
}

fn never(_: Duration) -> Duration {
    Duration::ZERO
}

fn read() -> Next<u32> {
    Next::Read { wait: true }
}

/// Lets the watchdog check at each of these ticks.
fn tick(lease: &mut ReaderLease<u32, u64>, from: Instant, ticks: std::ops::Range<u32>) {
    for tick in ticks {
        let check = lease.check(from + CHECK_INTERVAL * tick, || Duration::ZERO, true, || false);
        assert!(matches!(check, Check::Wait(_)), "{check:?}");
    }
}

#[test]
fn the_holder_runs_the_steps_that_it_schedules_and_other_threads_run_theirs() {
    let mut lease = first();
    assert_eq!(lease.next(1), read());
    assert_eq!(lease.schedule(Some(1), 10, false), None);
    assert_eq!(lease.schedule(None, 20, false), Some(20));
    assert_eq!(lease.schedule(Some(1), 11, false), None);
    assert_eq!(lease.next(1), Next::Run { step: 10, notify: true });
    assert_eq!(lease.next(1), Next::Run { step: 11, notify: false });
    assert_eq!(lease.next(1), read());
    assert_eq!(lease.next(2), Next::Leave);
}

#[test]
fn the_holder_reads_after_each_burst_and_runs_urgent_steps_first() {
    let (mut lease, now) = (first(), Instant::now());
    for handler in 0..3 {
        lease.schedule(Some(1), handler, false);
    }
    assert_eq!(lease.next(1), Next::Run { step: 0, notify: true });
    tick(&mut lease, now, 0..2);
    assert_eq!(lease.next(1), Next::Read { wait: false });
    lease.schedule(Some(1), 10, true);
    lease.schedule(Some(1), 11, true);
    for handler in [10, 11, 1, 2] {
        assert_eq!(lease.next(1), Next::Run { step: handler, notify: false });
    }
    assert_eq!(lease.next(1), read());
}

#[test]
fn the_time_of_many_short_handlers_adds_up_to_a_burst() {
    let (mut lease, now) = (first(), Instant::now());
    let mut steps = 0;
    // A tick after every fifth handler.
    let mut run_until_it_reads = |lease: &mut ReaderLease<u32, u64>| {
        for handler in 0..100 {
            match lease.next(1) {
                Next::Run { .. } => {
                    steps += 1;
                    if steps % 5 == 0 {
                        tick(lease, now, steps / 5..steps / 5 + 1);
                    }
                }
                Next::Read { wait: true } => drop(lease.schedule(Some(1), handler, false)),
                Next::Read { wait: false } => break,
                Next::Leave => panic!("it has the lease"),
            }
        }
        steps
    };
    assert_eq!(run_until_it_reads(&mut lease), 10);
    assert_eq!(run_until_it_reads(&mut lease), 20);
    // Time in which it waits for the host doesn't count, and checks within one tick count once.
    lease.schedule(Some(1), 1, false);
    lease.next(1);
    assert_eq!(lease.next(1), read());
    assert!(lease.rest(|| now));
    tick(&mut lease, now, 5..20);
    lease.schedule(Some(1), 1, false);
    assert_eq!(lease.next(1), Next::Run { step: 1, notify: false });
    for _ in 0..10 {
        tick(&mut lease, now, 20..21);
    }
    assert_eq!(lease.next(1), read());
}

#[test]
fn a_thread_that_is_stuck_loses_the_lease_and_the_steps_that_were_ready() {
    let (mut lease, now) = (first(), Instant::now());
    lease.schedule(Some(1), 10, false);
    lease.schedule(Some(1), 11, false);
    assert_eq!(lease.next(1), Next::Run { step: 10, notify: true });
    assert_eq!(look(&mut lease, now, 10, never), (Check::TakeOver, 3));
    let late = now + 3 * CHECK_INTERVAL;
    assert_eq!(
        lease.check(late, || Duration::ZERO, true, || false),
        Check::Wait(Some(CHECK_INTERVAL)),
        "one thread is enough"
    );
    // A step that the stuck thread wakes before the takeover is run elsewhere, like those that were ready before.
    assert_eq!(lease.schedule(Some(1), 12, false), None);
    assert_eq!(lease.take_over(2, now), Some((VecDeque::from([11, 12]), true)));
    assert_eq!(lease.schedule(Some(1), 13, false), Some(13));
    assert_eq!(lease.next(1), Next::Leave);
    assert_eq!(lease.next(2), read());
}

#[test]
fn a_thread_that_came_free_in_time_keeps_the_lease() {
    let (mut lease, now) = (first(), Instant::now());
    lease.schedule(Some(1), 10, false);
    lease.next(1);
    assert_eq!(look(&mut lease, now, 10, never).0, Check::TakeOver);
    lease.schedule(Some(1), 11, false);
    assert_eq!(lease.next(1), Next::Read { wait: false });
    lease.next(1);
    assert_eq!(lease.take_over(2, now), None, "it polls another one now");
    assert_eq!(lease.next(1), read());
}

#[test]
fn a_thread_that_has_no_processor_is_not_stuck() {
    let (mut lease, now) = (first(), Instant::now());
    lease.schedule(Some(1), 10, false);
    lease.next(1);
    assert_eq!(look(&mut lease, now, 100, |passed| passed), (Check::Wait(None), 100));
    // It has one for half of the time.
    assert_eq!(
        look(&mut lease, now + CHECK_INTERVAL * 100, 100, |passed| CHECK_INTERVAL * 100 + passed / 2).0,
        Check::TakeOver
    );
}

#[test]
fn a_takeover_that_no_thread_could_be_started_for_is_tried_again() {
    let (mut lease, now) = (first(), Instant::now());
    lease.schedule(Some(1), 10, false);
    lease.next(1);
    assert_eq!(look(&mut lease, now, 10, never), (Check::TakeOver, 3));
    lease.take_over_later();
    assert_eq!(look(&mut lease, now + CHECK_INTERVAL * 3, 10, never), (Check::TakeOver, 3));
}

#[test]
fn the_watchdog_sleeps_while_no_step_runs() {
    let (mut lease, now) = (first::<u32>(), Instant::now());
    assert_eq!(lease.check(now, || Duration::ZERO, true, || false), Check::Wait(None));
    lease.schedule(Some(1), 10, false);
    lease.next(1);
    lease.next(1);
    let looks = (0..1000)
        .filter(|_| lease.check(now, || Duration::ZERO, true, || false) == Check::Wait(Some(CHECK_INTERVAL)))
        .count();
    assert!(looks > 10 && looks < 200, "{looks}");
    lease.schedule(Some(1), 11, false);
    assert_eq!(lease.next(1), Next::Run { step: 11, notify: true }, "the watchdog sleeps");
}

#[test]
fn a_thread_that_has_read_the_end_leaves_its_steps_to_other_threads() {
    let (mut lease, now) = (first(), Instant::now());
    for (handler, urgent) in [(10, false), (11, false), (20, true)] {
        lease.schedule(Some(1), handler, urgent);
    }
    lease.next(1);
    tick(&mut lease, now, 0..2);
    assert_eq!(lease.next(1), Next::Read { wait: false });
    assert_eq!(lease.retire(), [10, 11]);
    assert_eq!(lease.schedule(Some(1), 12, false), Some(12));
    assert_eq!(lease.next(1), Next::Leave);
}

#[test]
fn the_task_gets_the_lease_back_when_it_is_free() {
    let now = Instant::now();
    let mut lease = ReaderLease::<u32, u64>::new();
    lease.begin(1, true);
    assert!(lease.rest(|| now), "it has the lease");
    lease.schedule(Some(1), 10, false);
    lease.next(1);
    assert_eq!(look(&mut lease, now, 10, never).0, Check::TakeOver);
    assert_eq!(lease.take_over(2, now), Some((VecDeque::new(), true)));
    let late = now + KEEP_FOR;
    assert!(lease.rest(|| late), "the task is in its step");
    assert_eq!(lease.next(1), Next::Leave);
    assert!(lease.rest(|| late - CHECK_INTERVAL), "not at once");
    assert_eq!(lease.next(2), read());
    assert!(!lease.rest(|| late));
    assert_eq!(lease.next(2), Next::Leave);
    assert_eq!(lease.next(1), read());
}

#[test]
fn a_task_that_has_work_and_does_not_run_loses_the_lease() {
    let now = Instant::now();
    let check = |lease: &mut ReaderLease<u32, u64>, ms, has_input| {
        lease.check(now + CHECK_INTERVAL * ms, || Duration::ZERO, true, || has_input)
    };
    let waits = |check| matches!(check, Check::Wait(_));
    let mut lease = ReaderLease::<u32, u64>::new();
    lease.begin(1, true);
    assert!((0..10).all(|ms| waits(check(&mut lease, ms, false))));
    for ms in 0..10 {
        assert!(waits(check(&mut lease, ms, true)));
        // It has run after all.
        assert_eq!(lease.next(1), read());
        assert!(lease.rest(|| now));
    }
    lease.next(1);
    assert!((0..10).all(|ms| waits(check(&mut lease, ms, true))), "it takes a frame for long");
    assert!(lease.rest(|| now));
    assert!((0..10).all(|_| waits(check(&mut lease, 0, true))));
    assert_eq!(check(&mut lease, 1, true), Check::Wake);
    assert!(waits(check(&mut lease, 2, true)));
    assert_eq!(check(&mut lease, 3, true), Check::TakeOver);
    assert_eq!(lease.take_over(2, now), Some((VecDeque::new(), false)));
    assert_eq!(lease.next(1), Next::Leave);
    assert!((0..10).all(|ms| waits(check(&mut lease, ms, true))), "a thread reads");
    assert!(!lease.rest(|| now + KEEP_FOR));
    // After a burst it has more to do: here an urgent step, which the host need send nothing for.
    lease.schedule(Some(1), 10, false);
    lease.next(1);
    tick(&mut lease, now, 20..22);
    lease.schedule(Some(1), 11, true);
    assert_eq!(lease.next(1), Next::Read { wait: false });
    assert!(waits(check(&mut lease, 30, false)));
    assert_eq!(check(&mut lease, 31, false), Check::Wake);
    // Its thread had no processor for the half of the time.
    let half = |ms: u32| move || CHECK_INTERVAL * ms / 2;
    assert!((2..5).all(|ms| waits(lease.check(now + CHECK_INTERVAL * (30 + ms), half(ms), true, || false))));
    assert_eq!(lease.check(now + CHECK_INTERVAL * 36, half(6), true, || false), Check::TakeOver);
    assert!(matches!(lease.next(1), Next::Run { step: 11, .. }));
    assert_eq!(lease.take_over(3, now), None, "it runs a step now");
}

#[test]
fn the_watchdog_goes_on_while_a_worker_is_busy_that_the_task_may_need() {
    for is_task in [true, false] {
        let (mut lease, now) = (ReaderLease::<u32, u64>::new(), Instant::now());
        lease.begin(1, is_task);
        lease.keep_watching();
        let mut check = |is_idle| lease.check(now, || Duration::ZERO, is_idle, || false);
        // A thread that reads needs no worker.
        assert_eq!((0..1000).all(|_| check(false) == Check::Wait(Some(CHECK_INTERVAL))), is_task);
        assert!((0..1000).any(|_| check(true) == Check::Wait(None)));
    }
}

#[test]
fn the_watchdog_checks_deadlines_in_time() {
    let (mut lease, now) = (first::<u32>(), Instant::now());
    let second = Duration::from_secs(1);
    assert!(lease.wake_at(now + 2 * second));
    assert!(lease.wake_at(now + second));
    assert!(!lease.wake_at(now + 3 * second), "it checks before that anyway");
    assert_eq!(lease.check(now, || Duration::ZERO, true, || false), Check::Wait(Some(second)));
    assert_eq!(lease.check(now + second, || Duration::ZERO, true, || false), Check::Expire);
    assert_eq!(lease.check(now + second, || Duration::ZERO, true, || false), Check::Wait(None));
}
