//! Deterministic simulation, for tests alone: a real host and real modules of the Rust SDK, in one thread, with a clock
//! that only advances when all tasks wait, with sockets in memory that delay and split what is sent, and with processes
//! that are killed. A seed is a number from which all random choices of a world follow, so that the same seed makes the
//! same world again. `world` has the checks at the end of each.
//!
//! `world` has the host and its clients, `modules` the modules, `machine` their processes, `pipe` the sockets, `store`
//! the key-value store, and `history` the check of what the store has answered.
//!
//! ```sh
//! IXT_SIMULATION_SEED=4711 cargo test -p ixt-host simulation            # the world of this seed, with its trace
//! IXT_SIMULATION_REQUESTS=1000000 cargo test -p ixt-host simulation     # new worlds, until they have had this many requests
//! ```

mod history;
mod machine;
mod modules;
mod pipe;
mod store;
mod world;

pub(crate) use machine::{Machine, Process};
pub(crate) use pipe::{ReadEnd, Socket, WriteEnd};

use std::sync::atomic::{AtomicU64, Ordering};

use world::{Lived, World};

/// How many worlds a test run simulates if no variable is set. Their seeds are 0, 1 and so on.
const SEEDS: u64 = 2000;

/// Reads a number from an environment variable. `None` if it is not set; panics if it is not a number.
fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is `{text}`, which is not a number")))
}

/// Runs the world of a seed to its end, and checks it. Panics if something is wrong with it, with the command to run it
/// again.
fn run(seed: u64) -> Lived {
    let again = format!("again: IXT_SIMULATION_SEED={seed} cargo test -p ixt-host simulation");
    let world = std::panic::catch_unwind(|| World::run(seed));
    match world {
        Ok(Ok(lived)) => lived,
        Ok(Err(wrong)) => panic!("in the world {seed}: {wrong}\n{again}"),
        Err(panic) => {
            eprintln!("the world {seed} panicked; {again}");
            std::panic::resume_unwind(panic)
        }
    }
}

#[test]
fn in_every_world_each_request_ends_once_and_nothing_is_left() {
    if let Some(seed) = variable("IXT_SIMULATION_SEED") {
        println!("{}", run(seed).trace);
        return;
    }
    let wanted = variable("IXT_SIMULATION_REQUESTS");
    let first = wanted.map_or(0, |_| fastrand::u64(..u64::MAX / 2));
    let (next, requests) = (AtomicU64::new(0), AtomicU64::new(0));
    let goes_on = |number| match wanted {
        None => number < SEEDS,
        Some(wanted) => requests.load(Ordering::Relaxed) < wanted,
    };
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if !goes_on(number) {
                break;
            }
            requests.fetch_add(run(first + number).requests, Ordering::Relaxed);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    println!("{} requests in {} worlds from {first} on", requests.into_inner(), next.into_inner() - threads as u64);
}

/// Otherwise a failure could not be reproduced from its seed.
#[test]
fn the_same_seed_is_the_same_world() {
    for seed in 0..100 {
        let (one, again) = (run(seed).trace, run(seed).trace);
        assert!(one == again, "the world {seed} is not the same again:\n{}", first_difference(&one, &again));
    }
}

/// The first line in which two traces differ, of both.
fn first_difference(one: &str, other: &str) -> String {
    let lines = one.lines().zip(other.lines()).enumerate().find(|(_, (one, other))| one != other);
    lines.map_or_else(
        || "one is longer".to_owned(),
        |(line, (one, other))| format!("line {line}: {one}\n      or: {other}"),
    )
}
