//! How long a health check and a small request take while handlers compute without awaiting.

use std::io::{BufRead as _, BufReader, Write as _};
use std::time::{Duration, Instant};

use anyhow::Result;
use ixt_bench_wire::{Peer, program};
use ixt_sdk::encode_payload;

fn main() -> Result<()> {
    println!("| handlers that compute for 100 ms | checks | p50, ms | p99, ms | most, ms |");
    println!("|---:|---:|---:|---:|---:|");
    for handlers in [0, 1, 2, 4, 16] {
        let peer = Peer::start(&program("module")?)?;
        let mut socket = peer.client.stream();
        let mut answers = BufReader::new(socket);
        let payload = encode_payload("{\"ms\":100}");
        let (mut delays, mut running) = (Vec::new(), 0);
        while delays.len() < 1000 {
            while running < handlers {
                let compute = format!(
                    "{{\"type\":\"handle\",\"id\":7,\"message\":{{\"topic\":\"compute\",\"payload\":\"{payload}\"}}}}\n"
                );
                socket.write_all(compute.as_bytes())?;
                running += 1;
            }
            let start = Instant::now();
            socket.write_all(b"{\"type\":\"health_check\",\"id\":8}\n")?;
            let mut answer = String::new();
            while answers.read_line(&mut answer)? > 0 && answer.contains("\"id\":7,") {
                running -= 1;
                answer.clear();
            }
            delays.push(start.elapsed());
            std::thread::sleep(Duration::from_micros(2345));
        }
        delays.sort_unstable();
        let at = |quantile: f64| delays[((delays.len() - 1) as f64 * quantile) as usize].as_secs_f64() * 1e3;
        println!("| {handlers} | {} | {:.2} | {:.2} | {:.2} |", delays.len(), at(0.5), at(0.99), at(1.0));
    }
    Ok(())
}
