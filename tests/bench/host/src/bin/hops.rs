//! What it costs to bring a call from one module to another, against its two hops alone: a module calls a service of the host
//! itself, which answers at once, and the host itself calls a module.

use anyhow::Result;
use ixt_bench::measure::Times;
use ixt_bench_host::{Told, start_with};
use ixt_bench_wire::drive::{Drive, Driven, Driver, Payload};
use ixt_bench_wire::processor_time;

const ROUNDS: usize = 11;
const DEPTH: usize = 64;
const SIZES: [usize; 3] = [64, 1 << 10, 64 << 10];
/// Who calls what.
const WAYS: [(Option<usize>, &str); 3] = [(Some(0), "echo.n00"), (Some(0), "here.echo"), (None, "echo.n00")];

fn main() -> Result<()> {
    println!(
        "| frames | payload | at once | routed, µs | module → host, µs | host → module, µs | routed/sum | host, µs |"
    );
    println!("|---|---:|---:|---:|---:|---:|---|---:|");
    for (frames, member) in [("length, Rust SDK", "member"), ("lines, std", "lines")] {
        let mut host = start_with(2, member)?;
        for bytes in SIZES {
            for depth in [1, DEPTH] {
                compare(&mut host, frames, bytes, depth)?;
            }
        }
        host.end()?;
    }
    Ok(())
}

fn compare(host: &mut Driver, frames: &str, bytes: usize, depth: usize) -> Result<()> {
    let calls = if depth == 1 { 4_000_000 / (bytes + 2000) } else { 100_000_000 / (bytes + 6000) };
    // By way: of one after the other the middle one, of many the time for each; and the host's processor time.
    let (mut times, mut processor) = ([const { Vec::new() }; 3], Vec::new());
    for round in 0..=ROUNDS {
        for turn in 0..WAYS.len() {
            let way = (round + turn) % WAYS.len();
            let (caller, topic) = WAYS[way];
            let before = processor_time(host.id())?;
            let drive = Drive { topic: topic.to_owned(), payload: Payload::Bytes(bytes), depth, calls };
            let told: [Told; 1] = [(caller, drive)];
            let [driven]: [Driven; 1] = host.ask(&told)?;
            // The first round is to get warm.
            if round > 0 {
                let each = if depth == 1 { driven.p50 } else { driven.seconds / calls as f64 };
                times[way].push(std::time::Duration::from_secs_f64(each));
                if way == 0 {
                    processor.push((processor_time(host.id())? - before).div_f64(calls as f64));
                }
            }
        }
    }
    let sums = times[1].iter().zip(&times[2]).map(|(one, other)| *one + *other).collect::<Times>();
    let [routed, one, other]: [Times; 3] = times.map(|times| times.into_iter().collect());
    let micros = |times: &Times| times.median() * 1e3;
    println!(
        "| {frames} | {bytes} | {depth} | {:.1} | {:.1} | {:.1} | {} | {:.1} |",
        micros(&routed),
        micros(&one),
        micros(&other),
        routed.ratio(&sums),
        micros(&processor.into_iter().collect()),
    );
    Ok(())
}
