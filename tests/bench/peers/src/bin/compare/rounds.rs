//! Rounds of calls, in which the contestants take turns.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use ixt_bench::measure::{Ratio, Times};
use ixt_bench_wire::Cost;
use ixt_bench_wire::drive::Payload;

use crate::Part;
use crate::contestants::{Contestant, Running};

/// How many calls are on their way, apart from one after the other.
pub const DEPTHS: [usize; 2] = [64, 1024];
/// How long a contestant calls at a depth, about, in a round.
const TURN: Duration = Duration::from_millis(80);
/// More bytes than these are not on their way at once: of the lean client's calls, and of those by others. A host lets no more
/// than 8 MiB wait for a module.
const MOST: [usize; 2] = [64 << 20, 6 << 20];

/// Of one contestant in one round.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub p50: Duration,
    pub p99: Duration,
    /// At each of the depths, if they are not too many bytes.
    pub many: [Option<Cost>; 2],
}

#[derive(Default)]
pub struct Results(HashMap<(Part, Option<usize>, &'static str), Vec<Sample>>);

/// How many calls a turn has, one after the other and at each depth.
type Calls = [usize; 3];

impl Results {
    /// Starts all contestants and lets them take turns. Gives those that failed.
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
            let first = round % running.len().max(1);
            running.rotate_left(first);
            running.retain_mut(|participant| match participant.turn(payload) {
                Ok(()) => true,
                Err(error) => {
                    failed.push((participant.contestant.name, error));
                    false
                }
            });
        }
        for Participant { contestant, running, samples, .. } in running {
            if let Err(error) = running.end() {
                failed.push((contestant.name, error));
            }
            self.0.insert((part, key(payload), contestant.id), samples);
        }
        failed
    }

    /// A figure of a contestant, a round each.
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

    /// The line of a contestant.
    pub fn row(&self, part: Part, payload: Payload, contestant: &Contestant) -> String {
        let times = |id: &str, of: &dyn Fn(&Sample) -> Option<Duration>| self.times(part, payload, id, of);
        let own = |of: &dyn Fn(&Sample) -> Option<Duration>| times(contestant.id, of);
        let Some(p50) = own(&|sample| Some(sample.p50)) else { return String::new() };
        let micros =
            |times: Option<Times>| times.map_or_else(String::new, |times| format!("{:.2}", times.median() * 1e3));
        let ratio = |a: Option<Times>, b: Option<Times>| -> Option<Ratio> { Some(a?.ratio(&b?)) };
        let cell = |ratio: Option<Ratio>| ratio.map_or_else(String::new, |ratio| ratio.to_string());
        let limit = contestant.limit();
        let mut cells = vec![
            contestant.name.to_owned(),
            format!("{:.1}", p50.median() * 1e3),
            format!("{:.1}", own(&|sample| Some(sample.p99)).map_or(0.0, |times| times.median() * 1e3)),
            cell(ratio(Some(p50), times(limit, &|sample| Some(sample.p50)))),
        ];
        for depth in 0..DEPTHS.len() {
            let each = |sample: &Sample| sample.many[depth].map(|cost| cost.each);
            cells.push(own(&each).map_or_else(String::new, |each| format!("{:.0}", 1e3 / each.median())));
            // Of the rates, so the other way round.
            cells.push(cell(ratio(times(limit, &each), own(&each))));
        }
        cells.push(micros(own(&|sample| sample.many[0].map(|cost| cost.peer))));
        cells.push(micros(own(&|sample| sample.many[0].map(|cost| cost.client))));
        format!("| {} |\n", cells.join(" | "))
    }
}

fn key(payload: Payload) -> Option<usize> {
    match payload {
        Payload::Bytes(bytes) => Some(bytes),
        Payload::Record => None,
    }
}

/// The depths that are not too deep for the payload.
fn depths(running: &Running, payload: Payload) -> impl Iterator<Item = (usize, usize)> + use<> {
    let bytes = key(payload).unwrap_or(300);
    let most = MOST[usize::from(running.calling().is_some())];
    DEPTHS.into_iter().enumerate().filter(move |(_, depth)| depth * bytes <= most)
}

/// One that has its turn in each round.
struct Participant {
    contestant: &'static Contestant,
    running: Running,
    calls: Calls,
    samples: Vec<Sample>,
}

impl Participant {
    /// Starts it, and lets it call until it is clear how many calls make a turn.
    fn start(contestant: &'static Contestant, payload: Payload) -> Result<Self> {
        let mut running = contestant.start(payload)?;
        let mut calls = [20, 0, 0];
        calls[0] = in_a_turn(20, || running.one_by_one(20).map(drop))?;
        calls[0] = in_a_turn(calls[0], || running.one_by_one(calls[0]).map(drop))?;
        for (index, depth) in depths(&running, payload) {
            let few = 2 * depth;
            let more = in_a_turn(few, || running.many(depth, few).map(drop))?.max(few);
            calls[index + 1] = in_a_turn(more, || running.many(depth, more).map(drop))?.max(few);
        }
        Ok(Self { contestant, running, calls, samples: Vec::new() })
    }

    fn turn(&mut self, payload: Payload) -> Result<()> {
        let [p50, p99] = self.running.one_by_one(self.calls[0])?;
        let mut many = [None; 2];
        for (index, depth) in depths(&self.running, payload) {
            many[index] = Some(self.running.many(depth, self.calls[index + 1])?);
        }
        self.samples.push(Sample { p50, p99, many });
        Ok(())
    }
}

/// How many calls make a turn, if so many take as long as this does.
fn in_a_turn(calls: usize, run: impl FnOnce() -> Result<()>) -> Result<usize> {
    let start = Instant::now();
    run()?;
    let turns = TURN.as_secs_f64() / start.elapsed().as_secs_f64();
    Ok(((calls as f64 * turns) as usize).clamp(20, calls * 100))
}
