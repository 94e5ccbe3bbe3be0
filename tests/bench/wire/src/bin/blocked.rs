//! How long a health check takes while 0 to 16 handlers compute for 100 ms each without awaiting.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use ixt_bench::process::program;
use ixt_bench_wire::health::{HealthProbe, row};

const CHECKS: usize = 1000;

fn main() -> Result<()> {
    println!("| handlers that compute for 100 ms | checks | p50, ms | p99, ms | max, ms |");
    println!("|---:|---:|---:|---:|---:|");
    for handlers in [0, 1, 2, 4, 16] {
        let mut probe = HealthProbe::start(Command::new(program("module")?))?;
        let mut delays = Vec::with_capacity(CHECKS);
        while delays.len() < CHECKS {
            probe.compute(handlers)?;
            delays.push(probe.check()?);
            // No divisor of 100 ms, so that checks fall into all moments of a handler.
            std::thread::sleep(Duration::from_micros(2345));
        }
        println!("| {handlers} | {CHECKS} | {} |", row(delays)?);
    }
    Ok(())
}
