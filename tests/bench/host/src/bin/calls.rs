//! A call of one module by another: against a relay that parses nothing, with few modules and with many; then one pair of modules
//! against 50 pairs at once.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use ixt_bench::measure::{Times, in_turns, quantile};
use ixt_bench::process::processor_time;
use ixt_bench_host::{run_pairs, start};
use ixt_bench_wire::load::{LoadGenerator, Payload, Timing, Workload};
use ixt_bench_wire::{Callee, frame};

const ROUNDS: usize = 11;
const MODULES: [usize; 3] = [2, 10, 100];
const PAIRS: usize = 50;
const DEPTH: usize = 64;
const SIZES: [usize; 3] = [64, 1 << 10, 64 << 10];

/// What passes calls on.
enum Contestant {
    Relay(Callee),
    Host(LoadGenerator),
}

/// The figures of one round.
struct Sample {
    /// The median time of a call, each made after the one before; the mean over the pairs.
    p50: Duration,
    /// The 99th percentile of these times; the mean over the pairs.
    p99: Duration,
    /// Wall-clock time for a call with [`depth`] calls in flight in each pair, from the first start to the last end.
    time: Duration,
    /// Processor time of the host or the relay for a call, each made after the one before in its pair.
    host_alone: Duration,
    /// Processor time of the host or the relay for a call with [`depth`] in flight.
    host: Duration,
    /// Processor time of both modules for a call with [`depth`] in flight. 0 for the relay.
    modules: Duration,
}

impl Contestant {
    fn host_time(&self) -> Result<Duration> {
        processor_time(match self {
            Self::Relay(relay) => relay.id(),
            Self::Host(host) => host.id(),
        })
    }

    fn modules_time(&self) -> Result<Duration> {
        match self {
            Self::Relay(_) => Ok(Duration::ZERO),
            Self::Host(host) => host.processor_time_of_callees(),
        }
    }

    /// Makes `calls` calls in each pair, one after the other. Returns the 50th and the 99th percentile of their times.
    fn round_trips(&mut self, bytes: usize, pairs: usize, calls: usize) -> Result<[Duration; 2]> {
        match self {
            Self::Relay(relay) => {
                let trips = relay.round_trips(&frame("echo.n00", bytes), calls)?;
                let at = |share| quantile(&trips, share).context("no calls");
                Ok([at(0.5)?, at(0.99)?])
            }
            Self::Host(host) => {
                let timings = run_pairs(host, pairs, &workload(bytes, 1, calls))?;
                let mean = |of: fn(&Timing) -> Duration| timings.iter().map(of).sum::<Duration>().div_f64(pairs as f64);
                Ok([mean(|timing| timing.p50), mean(|timing| timing.p99)])
            }
        }
    }

    /// Makes `calls` calls in each pair, [`depth`] at once. Returns the wall-clock time for a call.
    fn throughput(&mut self, bytes: usize, pairs: usize, calls: usize) -> Result<Duration> {
        match self {
            Self::Relay(relay) => Ok(relay.throughput(&frame("echo.n00", bytes), depth(bytes, 1), calls)?.time),
            Self::Host(host) => {
                // Not the pairs' own times: they start and end one after the other. What it takes to hand the workloads over is a small
                // part of this.
                let begin = Instant::now();
                run_pairs(host, pairs, &workload(bytes, depth(bytes, pairs), calls))?;
                Ok(begin.elapsed().div_f64((calls * pairs) as f64))
            }
        }
    }

    fn sample(&mut self, bytes: usize, pairs: usize) -> Result<Sample> {
        // Enough calls in each pair that the time in which not all pairs call is a small part.
        let few = (6_000_000 / (bytes + 4000)).clamp(40, 1500).div_ceil(pairs).max(40);
        let many = (120_000_000 / (bytes + 6000)).clamp(256, 20_000).div_ceil(pairs).max(DEPTH * 3);
        let before = self.host_time()?;
        let [p50, p99] = self.round_trips(bytes, pairs, few)?;
        let (between, modules_before) = (self.host_time()?, self.modules_time()?);
        let time = self.throughput(bytes, pairs, many)?;
        let per_call = |time: Duration, calls: usize| time.div_f64((calls * pairs) as f64);
        Ok(Sample {
            p50,
            p99,
            time,
            host_alone: per_call(between - before, few),
            host: per_call(self.host_time()? - between, many),
            modules: per_call(self.modules_time()? - modules_before, many),
        })
    }

    fn end(self) -> Result<()> {
        match self {
            Self::Relay(relay) => relay.end(),
            Self::Host(host) => host.end(),
        }
    }
}

/// How many calls each pair has in flight: [`DEPTH`], and fewer if all pairs together would have more than 96 MiB. A host lets 160 MiB wait
/// for modules, with what a request takes besides its payload.
fn depth(bytes: usize, pairs: usize) -> usize {
    DEPTH.min(96 * 1024 * 1024 / (bytes * pairs))
}

/// [`run_pairs`] sets the topic.
fn workload(bytes: usize, depth: usize, calls: usize) -> Workload {
    Workload::new("", Payload::Bytes(bytes), depth, calls)
}

fn times(samples: &[Sample], of: fn(&Sample) -> Duration) -> Times {
    samples.iter().map(of).collect()
}

fn micros(samples: &[Sample], of: fn(&Sample) -> Duration) -> f64 {
    times(samples, of).median_micros()
}

fn main() -> Result<()> {
    println!(
        "| payload | modules | p50, µs | p99, µs | p50/relay | 1/s | relay rate/rate | host, µs | host, µs, of 64 | modules, µs, of 64 |"
    );
    println!("|---:|---|---:|---:|---|---:|---|---:|---:|---:|");
    for bytes in SIZES {
        against_relay(bytes)?;
    }
    println!();
    println!(
        "| payload | pairs that call | at once in each | p50, µs | p99, µs | 1/s | rate of one/rate | host, µs | host, µs, at once | modules, µs, at once |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---|---:|---:|---:|");
    for bytes in SIZES {
        all_pairs(bytes)?;
    }
    Ok(())
}

fn against_relay(bytes: usize) -> Result<()> {
    let mut relay = Contestant::Relay(Callee::start("relay")?);
    let [few, some, many] = MODULES.map(|modules| start(modules).map(Contestant::Host));
    let (mut few, mut some, mut many) = (few?, some?, many?);
    let samples = in_turns(
        ROUNDS,
        [&mut || relay.sample(bytes, 1), &mut || few.sample(bytes, 1), &mut || some.sample(bytes, 1), &mut || {
            many.sample(bytes, 1)
        }],
    )?;
    let names = ["the relay".to_owned()].into_iter().chain(MODULES.map(|modules| modules.to_string()));
    for (name, of) in names.zip(&samples) {
        let ratio = |which| times(of, which).ratio(&times(&samples[0], which)).to_string();
        println!(
            "| {bytes} | {name} | {:.1} | {:.1} | {} | {:.0} | {} | {:.1} | {:.2} | {:.2} |",
            micros(of, |sample| sample.p50),
            micros(of, |sample| sample.p99),
            ratio(|sample| sample.p50),
            1e6 / micros(of, |sample| sample.time),
            ratio(|sample| sample.time),
            micros(of, |sample| sample.host_alone),
            micros(of, |sample| sample.host),
            micros(of, |sample| sample.modules),
        );
    }
    for contestant in [relay, few, some, many] {
        contestant.end()?;
    }
    Ok(())
}

fn all_pairs(bytes: usize) -> Result<()> {
    let host = RefCell::new(Contestant::Host(start(2 * PAIRS)?));
    let samples =
        in_turns(ROUNDS, [&mut || host.borrow_mut().sample(bytes, 1), &mut || host.borrow_mut().sample(bytes, PAIRS)])?;
    for (pairs, of) in [1, PAIRS].into_iter().zip(&samples) {
        let time = |of| times(of, |sample| sample.time);
        println!(
            "| {bytes} | {pairs} | {} | {:.1} | {:.1} | {:.0} | {} | {:.1} | {:.2} | {:.2} |",
            depth(bytes, pairs),
            micros(of, |sample| sample.p50),
            micros(of, |sample| sample.p99),
            1e3 / time(of).median(),
            time(of).ratio(&time(&samples[0])),
            micros(of, |sample| sample.host_alone),
            micros(of, |sample| sample.host),
            micros(of, |sample| sample.modules),
        );
    }
    host.into_inner().end()
}
