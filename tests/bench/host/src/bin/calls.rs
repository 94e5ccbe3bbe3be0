//! What a call of one module by another costs: against a relay that looks at nothing, with few modules and with many, and with
//! one pair of them and all at once.

use std::time::Duration;

use anyhow::Result;
use ixt_bench::measure::Times;
use ixt_bench_host::{drive_pairs, start};
use ixt_bench_wire::drive::{Drive, Driven, Driver, Payload};
use ixt_bench_wire::{Peer, frame, processor_time, program};

const ROUNDS: usize = 11;
const MODULES: [usize; 3] = [2, 10, 100];
const DEPTH: usize = 64;
const SIZES: [usize; 3] = [64, 1 << 10, 64 << 10];

enum Contestant {
    Relay(Peer),
    Host(Driver),
}

/// Of one round.
#[derive(Default)]
struct Sample {
    p50: Duration,
    p99: Duration,
    /// A call, while there are always as many on their way.
    each: Duration,
    /// Processor time for a call that waits for the one before; then for one of many.
    alone: Duration,
    processor: Duration,
    /// Of the modules, for one of many.
    modules: Duration,
}

impl Contestant {
    fn id(&self) -> u32 {
        match self {
            Self::Relay(peer) => peer.id(),
            Self::Host(host) => host.id(),
        }
    }

    fn modules(&self) -> Result<Duration> {
        match self {
            Self::Relay(_) => Ok(Duration::ZERO),
            Self::Host(host) => host.processor_time_of_called(),
        }
    }

    /// The middle one of so many calls one after the other, and the one that takes longer than 99 % of them.
    fn round_trips(&mut self, bytes: usize, pairs: usize, calls: usize) -> Result<[Duration; 2]> {
        match self {
            Self::Relay(peer) => {
                let trips = peer.round_trips(&frame("echo.n00", bytes), calls)?;
                Ok([trips[calls / 2], trips[calls * 99 / 100]])
            }
            Self::Host(host) => {
                let driven = drive_pairs(host, pairs, &drive(bytes, 1, calls))?;
                let mean = |of: fn(&Driven) -> f64| {
                    Duration::from_secs_f64(driven.iter().map(of).sum::<f64>() / driven.len() as f64)
                };
                Ok([mean(|driven| driven.p50), mean(|driven| driven.p99)])
            }
        }
    }

    /// The time of a call among many.
    fn throughput(&mut self, bytes: usize, pairs: usize, calls: usize) -> Result<Duration> {
        let seconds = match self {
            Self::Relay(peer) => return Ok(peer.throughput(&frame("echo.n00", bytes), DEPTH, calls)?.each),
            Self::Host(host) => {
                let driven = drive_pairs(host, pairs, &drive(bytes, DEPTH, calls))?;
                // Until the last one is done.
                driven.iter().map(|driven| driven.seconds).fold(0.0, f64::max) / (calls * pairs) as f64
            }
        };
        Ok(Duration::from_secs_f64(seconds))
    }

    fn sample(&mut self, bytes: usize, pairs: usize) -> Result<Sample> {
        // So many that the pairs' own beginnings and ends don't count.
        let few = (6_000_000 / (bytes + 4000)).clamp(40, 1500).div_ceil(pairs).max(40);
        let many = (120_000_000 / (bytes + 6000)).clamp(256, 20_000).div_ceil(pairs).max(DEPTH * 3);
        let before = processor_time(self.id())?;
        let [p50, p99] = self.round_trips(bytes, pairs, few)?;
        let between = processor_time(self.id())?;
        let modules = self.modules()?;
        let each = self.throughput(bytes, pairs, many)?;
        let per = |time: Duration, calls: usize| Duration::from_secs_f64(time.as_secs_f64() / (calls * pairs) as f64);
        Ok(Sample {
            p50,
            p99,
            each,
            alone: per(between - before, few),
            processor: per(processor_time(self.id())? - between, many),
            modules: per(self.modules()? - modules, many),
        })
    }
}

fn drive(bytes: usize, depth: usize, calls: usize) -> Drive {
    Drive { topic: String::new(), payload: Payload::Bytes(bytes), depth, calls }
}

fn times(samples: &[Sample], of: impl Fn(&Sample) -> Duration) -> Times {
    samples.iter().map(of).collect()
}

/// In microseconds.
fn micros(samples: &[Sample], of: impl Fn(&Sample) -> Duration) -> f64 {
    times(samples, of).median() * 1e3
}

/// Runs each once per round.
fn in_turns(turns: &mut [&mut dyn FnMut() -> Result<Sample>]) -> Result<Vec<Vec<Sample>>> {
    let mut samples: Vec<Vec<Sample>> = turns.iter().map(|_| Vec::new()).collect();
    for run in &mut *turns {
        run()?;
    }
    for round in 0..ROUNDS {
        for turn in 0..turns.len() {
            let contestant = (round + turn) % turns.len();
            samples[contestant].push(turns[contestant]()?);
        }
    }
    Ok(samples)
}

fn main() -> Result<()> {
    println!(
        "| payload | modules | p50, µs | p99, µs | p50/relay | 1/s | relay rate/rate | host, µs | host, µs, of 64 | modules, µs, of 64 |"
    );
    println!("|---:|---|---:|---:|---|---:|---|---:|---:|---:|");
    for bytes in SIZES {
        let mut relay = Contestant::Relay(Peer::start(&program("relay")?)?);
        let mut hosts = Vec::new();
        for modules in MODULES {
            hosts.push(Contestant::Host(start(modules)?));
        }
        let [few, some, many] = &mut hosts[..] else { unreachable!("there are three") };
        let samples = in_turns(&mut [
            &mut || relay.sample(bytes, 1),
            &mut || few.sample(bytes, 1),
            &mut || some.sample(bytes, 1),
            &mut || many.sample(bytes, 1),
        ])?;
        let names = ["the relay".to_owned()].into_iter().chain(MODULES.map(|modules| modules.to_string()));
        for (name, of) in names.zip(&samples) {
            let ratio = |which: fn(&Sample) -> Duration| times(of, which).ratio(&times(&samples[0], which)).to_string();
            println!(
                "| {bytes} | {name} | {:.1} | {:.1} | {} | {:.0} | {} | {:.1} | {:.2} | {:.2} |",
                micros(of, |sample| sample.p50),
                micros(of, |sample| sample.p99),
                ratio(|sample| sample.p50),
                1e6 / micros(of, |sample| sample.each),
                ratio(|sample| sample.each),
                micros(of, |sample| sample.alone),
                micros(of, |sample| sample.processor),
                micros(of, |sample| sample.modules),
            );
        }
        for host in hosts {
            if let Contestant::Host(host) = host {
                host.end()?;
            }
        }
    }
    println!();
    println!(
        "| payload | pairs that call | p50, µs | p99, µs | 1/s | rate of one/rate | host, µs | host, µs, of 64 | modules, µs, of 64 |"
    );
    println!("|---:|---:|---:|---:|---:|---|---:|---:|---:|");
    for bytes in SIZES {
        let hosted = std::cell::RefCell::new(Contestant::Host(start(100)?));
        let samples = in_turns(&mut [&mut || hosted.borrow_mut().sample(bytes, 1), &mut || {
            hosted.borrow_mut().sample(bytes, 50)
        }])?;
        for (pairs, of) in [1, 50].into_iter().zip(&samples) {
            let each = |of| times(of, |sample| sample.each);
            println!(
                "| {bytes} | {pairs} | {:.1} | {:.1} | {:.0} | {} | {:.1} | {:.2} | {:.2} |",
                micros(of, |sample| sample.p50),
                micros(of, |sample| sample.p99),
                1e3 / each(of).median(),
                each(of).ratio(&each(&samples[0])),
                micros(of, |sample| sample.alone),
                micros(of, |sample| sample.processor),
                micros(of, |sample| sample.modules),
            );
        }
        if let Contestant::Host(host) = hosted.into_inner() {
            host.end()?;
        }
    }
    Ok(())
}
