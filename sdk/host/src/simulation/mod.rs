//! Deterministic simulation: a real host and real modules of the Rust SDK, in one thread, on a clock that is paused, with sockets in
//! memory that delay and cut what is sent, and with processes that are killed. Each seed is another world; the same seed is the same
//! world again. What must hold in all of them is checked at the end of each.
//!
//! ```sh
//! IXT_SIMULATION_SEED=4711 cargo test -p ixt-host simulation      # one world again
//! IXT_SIMULATION_SEEDS=100000 cargo test -p ixt-host simulation   # more of them
//! ```

mod history;
mod machine;
mod modules;
mod pipe;
mod store;
mod world;

pub(crate) use machine::{Machine, Process};
pub(crate) use pipe::{ReadEnd, Socket, WriteEnd};

use world::World;

/// How many worlds a run of the tests looks at.
const SEEDS: u64 = 1000;

/// The variable's number, if it is set.
fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is `{text}`, which is no number")))
}

/// Runs a world to its end, and checks it.
fn run(seed: u64) -> String {
    let again = format!("again: IXT_SIMULATION_SEED={seed} cargo test -p ixt-host simulation");
    let world = std::panic::catch_unwind(|| World::run(seed));
    match world {
        Ok(Ok(trace)) => trace,
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
        println!("{}", run(seed));
        return;
    }
    let seeds = variable("IXT_SIMULATION_SEEDS").unwrap_or(SEEDS);
    for seed in 0..seeds {
        run(seed);
    }
}

/// Otherwise a failure could not be looked at again.
#[test]
fn the_same_seed_is_the_same_world() {
    for seed in 0..20 {
        let (one, again) = (run(seed), run(seed));
        assert!(one == again, "the world {seed} is not the same again:\n{}", first_difference(&one, &again));
    }
}

fn first_difference(one: &str, other: &str) -> String {
    let lines = one.lines().zip(other.lines()).enumerate().find(|(_, (one, other))| one != other);
    lines.map_or_else(
        || "one is longer".to_owned(),
        |(line, (one, other))| format!("line {line}: {one}\n      or: {other}"),
    )
}
