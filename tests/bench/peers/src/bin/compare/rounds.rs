//! Calls of all contestants, which run at the same time and take turns in each round.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use ixt_bench::measure::{Ratio, Times, order};
use ixt_bench_wire::Cost;
use ixt_bench_wire::load::Payload;

use crate::Part;
use crate::contestants::{Contestant, Running};

/// The numbers of calls in flight, apart from 1.
pub const DEPTHS: [usize; 2] = [64, 1024];
/// About how long a contestant calls at each depth in a round.
const TURN: Duration = Duration::from_millis(80);
/// The maximum number of bytes of payloads in flight with the lean client. Deeper depths are left out.
const MAX_BYTES_OF_LEAN_CLIENT: usize = 64 << 20;
/// The same with other clients. A host rejects calls when 8 MiB wait for a module.
const MAX_BYTES: usize = 6 << 20;
/// About the size of a record in JSON.
const RECORD_BYTES: usize = 300;

/// The figures of one contestant in one round.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// The median time of a call at a depth of 1.
    pub p50: Duration,
    pub p99: Duration,
    /// At each of [`DEPTHS`]. `None` where that would be too many bytes.
    pub in_flight: [Option<Cost>; 2],
}

/// The samples of each contestant that did not fail, one for each round.
#[derive(Default)]
pub struct Results(HashMap<(Part, Option<usize>, &'static str), Vec<Sample>>);

/// The number of calls of a turn: at a depth of 1, and at each of [`DEPTHS`].
type Calls = [usize; 3];

impl Results {
    /// Starts all contestants and lets them take turns. Returns those that failed, and why.
    pub fn measure(
        &mut self,
        part: Part,
        payload: Payload,
        contestants: &[&'static Contestant],
        rounds: usize,
    ) -> Vec<(&'static str, anyhow::Error)> {
        let (mut running, mut failed) = (Vec::new(), Vec::new());
        for contestant in contestants.iter().filter(|contestant| contestant.takes(payload)) {
            match Participant::start(contestant, payload) {
                Ok(participant) => running.push(participant),
                Err(error) => failed.push((contestant.name, error)),
            }
        }
        for round in 0..rounds {
            let mut has_failed = vec![false; running.len()];
            for index in order(round, running.len()) {
                if let Err(error) = running[index].turn(payload) {
                    failed.push((running[index].contestant.name, error));
                    has_failed[index] = true;
                }
            }
            let mut has_failed = has_failed.into_iter();
            running.retain(|_| has_failed.next() == Some(false));
        }
        for Participant { contestant, running, samples, .. } in running {
            if let Err(error) = running.end() {
                failed.push((contestant.name, error));
            }
            self.0.insert((part, key(payload), contestant.id), samples);
        }
        failed
    }

    /// A figure of a contestant, for each round. `None` if it was not measured, has failed, or lacks this figure.
    pub fn times(
        &self,
        part: Part,
        payload: Payload,
        id: &str,
        of: impl Fn(&Sample) -> Option<Duration>,
    ) -> Option<Times> {
        let id = crate::CONTESTANTS.iter().find(|contestant| contestant.id == id)?.id;
        self.0.get(&(part, key(payload), id))?.iter().map(of).collect()
    }

    /// The row of a contestant. Empty if it was not measured, or has failed.
    pub fn row(&self, part: Part, payload: Payload, contestant: &Contestant) -> String {
        let times = |id: &str, of: &dyn Fn(&Sample) -> Option<Duration>| self.times(part, payload, id, of);
        let own = |of: &dyn Fn(&Sample) -> Option<Duration>| times(contestant.id, of);
        let Some(p50) = own(&|sample| Some(sample.p50)) else { return String::new() };
        let micros =
            |times: Option<Times>| times.map_or_else(String::new, |times| format!("{:.2}", times.median_micros()));
        let ratio = |a: Option<Times>, b: Option<Times>| -> Option<Ratio> { Some(a?.ratio(&b?)) };
        let cell = |ratio: Option<Ratio>| ratio.map_or_else(String::new, |ratio| ratio.to_string());
        let limit = contestant.limit();
        let mut cells = vec![
            contestant.name.to_owned(),
            format!("{:.1}", p50.median_micros()),
            format!("{:.1}", own(&|sample| Some(sample.p99)).map_or(0.0, |times| times.median_micros())),
            cell(ratio(Some(p50), times(limit, &|sample| Some(sample.p50)))),
        ];
        for depth in 0..DEPTHS.len() {
            let each = |sample: &Sample| sample.in_flight[depth].map(|cost| cost.time);
            cells.push(own(&each).map_or_else(String::new, |each| format!("{:.0}", 1e3 / each.median())));
            // The ratio of rates is the inverse of that of times.
            cells.push(cell(ratio(times(limit, &each), own(&each))));
        }
        cells.push(micros(own(&|sample| sample.in_flight[0].map(|cost| cost.callee))));
        cells.push(micros(own(&|sample| sample.in_flight[0].map(|cost| cost.caller))));
        format!("| {} |\n", cells.join(" | "))
    }
}

fn key(payload: Payload) -> Option<usize> {
    match payload {
        Payload::Bytes(bytes) => Some(bytes),
        Payload::Record => None,
    }
}

/// The depths, with their indices, at which a contestant is measured with this payload.
fn depths(running: &Running, payload: Payload) -> impl Iterator<Item = (usize, usize)> + use<> {
    let bytes = key(payload).unwrap_or(RECORD_BYTES);
    let max_bytes = if running.caller().is_some() { MAX_BYTES } else { MAX_BYTES_OF_LEAN_CLIENT };
    DEPTHS.into_iter().enumerate().filter(move |(_, depth)| depth * bytes <= max_bytes)
}

/// A contestant that runs, and its samples.
struct Participant {
    contestant: &'static Contestant,
    running: Running,
    calls: Calls,
    samples: Vec<Sample>,
}

impl Participant {
    /// Starts it, and lets it call until it is warm and the number of calls of a turn is known.
    fn start(contestant: &'static Contestant, payload: Payload) -> Result<Self> {
        let mut running = contestant.start(payload)?;
        let mut calls = [20, 0, 0];
        calls[0] = in_a_turn(20, || running.one_by_one(20).map(drop))?;
        calls[0] = in_a_turn(calls[0], || running.one_by_one(calls[0]).map(drop))?;
        for (index, depth) in depths(&running, payload) {
            let few = 2 * depth;
            let more = in_a_turn(few, || running.in_flight(depth, few).map(drop))?.max(few);
            calls[index + 1] = in_a_turn(more, || running.in_flight(depth, more).map(drop))?.max(few);
        }
        Ok(Self { contestant, running, calls, samples: Vec::new() })
    }

    fn turn(&mut self, payload: Payload) -> Result<()> {
        let [p50, p99] = self.running.one_by_one(self.calls[0])?;
        let mut in_flight = [None; 2];
        for (index, depth) in depths(&self.running, payload) {
            in_flight[index] = Some(self.running.in_flight(depth, self.calls[index + 1])?);
        }
        self.samples.push(Sample { p50, p99, in_flight });
        Ok(())
    }
}

/// The number of calls that take as long as a turn, judged by how long `run` takes, which makes `calls` calls.
fn in_a_turn(calls: usize, run: impl FnOnce() -> Result<()>) -> Result<usize> {
    let start = Instant::now();
    run()?;
    let turns = TURN.as_secs_f64() / start.elapsed().as_secs_f64();
    Ok(((calls as f64 * turns) as usize).clamp(20, calls * 100))
}
