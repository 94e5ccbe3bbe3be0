//! What the SDK does by hand against the plain way to do it, in the same module: the rate and the processor time of calls, and how
//! long a health check waits beside a handler that blocks.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;
use ixt_bench::measure::{Times, in_turns};
use ixt_bench_wire::{Framing, Peer, frame, program};

const ROUNDS: usize = 41;
/// As `ixt_sdk`'s feature `compare-machinery` has them.
const PLAIN: [&str; 3] = ["", "tasks", "buffers"];

fn start(plain: &str) -> Result<Peer> {
    let mut command = Command::new(program("module")?);
    command.env("IXT_BENCH_PLAIN", plain);
    Peer::start_by(command, Framing::Line)
}

fn main() -> Result<()> {
    println!("| payload | at once | time of a call, by hand, µs | again (control) | plain tasks | fresh buffers |");
    println!("|---:|---:|---:|---|---|---|");
    for (bytes, depth) in
        [(64, 1), (64, 64), (1 << 10, 1), (1 << 10, 64), (64 << 10, 1), (64 << 10, 16), (1 << 20, 1), (1 << 20, 4)]
    {
        let frame = frame("echo", bytes);
        let many = (24_000_000 / (bytes + 4000)).clamp(40, 6_000);
        let [mut by_hand, mut again, mut tasks, mut buffers] =
            [start(PLAIN[0])?, start(PLAIN[0])?, start(PLAIN[1])?, start(PLAIN[2])?];
        let one = |peer: &mut Peer| -> Result<Duration> { Ok(peer.throughput(&frame, depth, many)?.each) };
        for peer in [&mut by_hand, &mut again, &mut tasks, &mut buffers] {
            one(peer)?;
        }
        let [by_hand, again, tasks, buffers] = in_turns(
            ROUNDS,
            [&mut || one(&mut by_hand), &mut || one(&mut again), &mut || one(&mut tasks), &mut || one(&mut buffers)],
        )?;
        let ratio = |times: &Times| times.ratio(&by_hand);
        println!(
            "| {bytes} | {depth} | {:.1} | {} | {} | {} |",
            by_hand.median() * 1e3,
            ratio(&again),
            ratio(&tasks),
            ratio(&buffers)
        );
    }
    println!("\n| beside one handler that computes for 100 ms, a health check takes | p50, ms | p99, ms | most, ms |");
    println!("|---|---:|---:|---:|");
    for (name, plain) in [("by hand", PLAIN[0]), ("plain tasks", PLAIN[1])] {
        let delays = delays(&start(plain)?)?;
        let at = |quantile: f64| delays[((delays.len() - 1) as f64 * quantile) as usize].as_secs_f64() * 1e3;
        println!("| {name} | {:.2} | {:.2} | {:.2} |", at(0.5), at(0.99), at(1.0));
    }
    Ok(())
}

/// The times of health checks, each sent while a handler computes, sorted.
fn delays(peer: &Peer) -> Result<Vec<Duration>> {
    let mut socket = peer.client.stream();
    let mut answers = BufReader::new(socket);
    let payload = ixt_sdk::encode_payload("{\"ms\":100}");
    let mut delays = Vec::new();
    for _ in 0..100 {
        let compute = format!(
            "{{\"type\":\"handle\",\"id\":7,\"message\":{{\"topic\":\"compute\",\"payload\":\"{payload}\"}}}}\n"
        );
        socket.write_all(compute.as_bytes())?;
        std::thread::sleep(Duration::from_millis(1));
        let start = Instant::now();
        socket.write_all(b"{\"type\":\"health_check\",\"id\":8}\n")?;
        let (mut health, mut answered) = (None, 0);
        while answered < 2 {
            let mut answer = String::new();
            anyhow::ensure!(answers.read_line(&mut answer)? > 0, "it hung up");
            answered += 1;
            if answer.contains("\"id\":8") {
                health = Some(start.elapsed());
            }
        }
        delays.extend(health);
    }
    delays.sort_unstable();
    Ok(delays)
}
