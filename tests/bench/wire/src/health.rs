//! How long a health check takes while handlers compute.

use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ixt_bench::measure::quantile;

use crate::{Callee, Framing};

/// The IDs of the requests, as they stand in the frames. Neither is the beginning of the other.
const COMPUTE_ID: &str = "\"id\":7";
const HEALTH_CHECK_ID: &str = "\"id\":8";

/// The program `module`, of which some handlers compute for 100 ms without awaiting. Its frames are lines.
pub struct HealthProbe {
    callee: Callee,
    replies: BufReader<UnixStream>,
    computing: usize,
}

impl HealthProbe {
    /// Starts the module.
    pub fn start(command: Command) -> Result<Self> {
        let mut callee = Callee::start_command(command, Framing::Line)?;
        let stream = callee.talk(|client| Ok(client.stream().try_clone()?))?;
        Ok(Self { callee, replies: BufReader::new(stream), computing: 0 })
    }

    /// Sends requests until this number of handlers compute.
    pub fn compute(&mut self, handlers: usize) -> Result<()> {
        let payload = ixt_sdk::encode_payload("{\"ms\":100}");
        let request = format!(
            "{{\"type\":\"handle\",{COMPUTE_ID},\"message\":{{\"topic\":\"compute\",\"payload\":\"{payload}\"}}}}\n"
        );
        while self.computing < handlers {
            self.callee.talk(|client| client.send(request.as_bytes()))?;
            self.computing += 1;
        }
        Ok(())
    }

    /// Sends a health check. Returns the time to its reply. Handlers may end meanwhile.
    pub fn check(&mut self) -> Result<Duration> {
        let start = Instant::now();
        self.callee
            .talk(|client| client.send(format!("{{\"type\":\"health_check\",{HEALTH_CHECK_ID}}}\n").as_bytes()))?;
        while !self.receive()? {}
        Ok(start.elapsed())
    }

    /// Waits until no handler computes.
    pub fn wait_for_handlers(&mut self) -> Result<()> {
        while self.computing > 0 {
            self.receive()?;
        }
        Ok(())
    }

    /// Reads a reply. Returns whether it is that to the health check.
    fn receive(&mut self) -> Result<bool> {
        let Self { callee, replies, computing } = self;
        callee.talk(|_| {
            let mut reply = String::new();
            ensure!(replies.read_line(&mut reply)? > 0, "it closed the connection");
            ensure!(reply.contains("\"type\":\"success\""), "it replies {reply}");
            if reply.contains(COMPUTE_ID) {
                *computing = computing.checked_sub(1).context("it replies twice")?;
            }
            Ok(reply.contains(HEALTH_CHECK_ID))
        })
    }
}

/// A row of a table: the 50th and 99th percentile and the maximum of these times, in milliseconds.
pub fn row(mut delays: Vec<Duration>) -> Result<String> {
    delays.sort_unstable();
    let at = |share: f64| quantile(&delays, share).context("nothing was measured");
    Ok([at(0.5)?, at(0.99)?, at(1.0)?].map(|delay| format!("{:.2}", delay.as_secs_f64() * 1e3)).join(" | "))
}
