//! Load generators: programs that make calls with a client of their own, in a process of their own.
//!
//! When it is ready, such a program prints [`Ready`]. It then reads requests from stdin and prints a result for each, until stdin
//! ends. Each of these is a line of JSON.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::AsFd as _;
use std::process::{ChildStdin, ChildStdout, Command};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use futures_util::TryStreamExt as _;
use futures_util::stream::FuturesUnordered;
use ixt_bench::measure::quantile;
use ixt_bench::process::{Process, processor_time};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::Cost;

/// How long a program may take to get ready, and for a request. In milliseconds.
const TIMEOUT: u16 = 30_000;

/// What to call, and how often.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Workload {
    /// The service. Programs that know only one ignore it.
    pub topic: String,
    pub payload: Payload,
    /// The number of calls that are in flight at the same time. At least 1.
    pub depth: usize,
    /// The number of calls in all.
    pub calls: usize,
    /// Absent: [`Callers::Tasks`].
    #[serde(default)]
    pub callers: Callers,
    /// The time from the beginning of a call to that of the caller's next one, in whole milliseconds. A caller that is late makes up for it.
    /// Absent: each call begins when the one before has ended.
    #[serde(default)]
    pub every: Option<Duration>,
}

impl Workload {
    /// A workload whose callers are tasks.
    pub fn new(topic: &str, payload: Payload, depth: usize, calls: usize) -> Self {
        Self { topic: topic.to_owned(), payload, depth, calls, callers: Callers::Tasks, every: None }
    }
}

/// How the calls that are in flight at the same time are made. At a depth of 1 both make one call after the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Callers {
    /// By tasks that are spawned, one for each call in flight.
    #[default]
    Tasks,
    /// By futures of one task: in a module, within the handler.
    Futures,
}

/// What is sent with each call, and is sent back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload {
    /// Bytes without a meaning: their number.
    Bytes(usize),
    /// [`Record::example`], as a typed request and response.
    Record,
}

/// A typed request, which is also its response.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub id: i64,
    pub name: String,
    pub email: String,
    pub active: bool,
    pub score: f64,
    pub quantity: i64,
    pub tags: Vec<String>,
    pub note: String,
}

impl Record {
    /// The one that all contestants send.
    pub fn example() -> Self {
        Self {
            id: 4_711,
            name: "Ada Lovelace".to_owned(),
            email: "ada@example.org".to_owned(),
            active: true,
            score: 98.5,
            quantity: 12,
            tags: ["first", "second", "third"].map(str::to_owned).to_vec(),
            note: "Leave it with the neighbours".to_owned(),
        }
    }
}

/// How long the calls of a [`Workload`] took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Timing {
    /// The number of calls that were made.
    pub calls: usize,
    /// From the start of the first call to the end of the last one.
    pub elapsed: Duration,
    /// The median time of a call, at a depth of 1. At other depths it is not measured, and 0.
    pub p50: Duration,
    /// The 99th percentile of the time of a call, at a depth of 1; otherwise 0.
    pub p99: Duration,
    /// The 99.9th percentile of the time of a call, at a depth of 1; otherwise 0. Older builds do not have it.
    #[serde(default)]
    pub p999: Duration,
}

impl Timing {
    /// Of calls that have just ended. `trips` has the time of each call at a depth of 1, and is empty at others.
    pub fn since(start: Instant, calls: usize, mut trips: Vec<Duration>) -> Self {
        let elapsed = start.elapsed();
        trips.sort_unstable();
        let at = |share| quantile(&trips, share).unwrap_or_default();
        Self { calls, elapsed, p50: at(0.5), p99: at(0.99), p999: at(0.999) }
    }

    /// The wall-clock time for a call: with several in flight, from one reply to the next.
    pub fn per_call(&self) -> Duration {
        self.elapsed.div_f64(self.calls as f64)
    }
}

/// Makes the calls of a workload. `workload.depth` callers each make one call after the other. Ends at the first error.
pub async fn run_workload<F, E>(workload: &Workload, call: impl Fn() -> F + Clone + Send + 'static) -> Result<Timing, E>
where
    F: Future<Output = Result<(), E>> + Send,
    E: Send + 'static,
{
    let Workload { depth, calls, callers, every, .. } = *workload;
    let caller = |number: usize| {
        let call = call.clone();
        async move {
            let mut trips = Vec::new();
            let mut ticks = every.map(tokio::time::interval);
            for _ in (number..calls).step_by(depth) {
                if let Some(ticks) = &mut ticks {
                    ticks.tick().await;
                }
                if depth == 1 {
                    let start = Instant::now();
                    call().await?;
                    trips.push(start.elapsed());
                } else {
                    call().await?;
                }
            }
            Ok(trips)
        }
    };
    let start = Instant::now();
    let mut trips = Vec::new();
    match callers {
        Callers::Tasks => {
            let mut callers: JoinSet<_> = (0..depth).map(caller).collect();
            while let Some(caller) = callers.join_next().await {
                trips.extend(caller.expect("a caller doesn't panic")?);
            }
        }
        Callers::Futures => {
            let mut callers: FuturesUnordered<_> = (0..depth).map(caller).collect();
            while let Some(caller) = callers.try_next().await? {
                trips.extend(caller);
            }
        }
    }
    Ok(Timing::since(start, calls, trips))
}

/// What a load generator prints when it is ready for the first request.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ready {
    /// From the start of what it calls until that is ready. Each program says what exactly this includes.
    pub elapsed: Duration,
    /// The IDs of the processes that it calls.
    pub pids: Vec<u32>,
}

/// Prints a result or an error as a line of JSON, for [`LoadGenerator`].
pub fn print_result(result: Result<impl Serialize>) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(&result.map_err(|error| format!("{error:#}")))?)?;
    Ok(out.flush()?)
}

/// A load generator that runs. It is killed when this is dropped.
pub struct LoadGenerator {
    process: Process,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    pub ready: Ready,
}

impl LoadGenerator {
    /// Starts one, and waits until it is ready, at most 30 seconds.
    pub fn start(mut command: Command) -> Result<Self> {
        let (mut process, stdin, stdout) = Process::start_piped(&mut command)?;
        let mut stdout = BufReader::new(stdout);
        let ready = read_result(&mut stdout).map_err(|error| process.explain(error))?;
        Ok(Self { process, stdin, stdout, ready })
    }

    /// The process ID.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The processor time that the processes that it calls have used so far, in all.
    pub fn processor_time_of_callees(&self) -> Result<Duration> {
        self.ready.pids.iter().map(|pid| processor_time(*pid)).sum()
    }

    /// Sends a request, and waits for its result, at most 30 seconds. An error ends the program.
    pub fn request<T: DeserializeOwned>(&mut self, request: &impl Serialize) -> Result<T> {
        let Self { process, stdin, stdout, .. } = self;
        let text = serde_json::to_string(request)?;
        let result = writeln!(stdin, "{text}").context("it does not read any more").and_then(|()| read_result(stdout));
        result.map_err(|error| process.explain(error))
    }

    /// What a call costs while `workload` makes this program run one. Processor times include what it takes to hand the workload over.
    pub fn cost(&mut self, workload: impl FnOnce(&mut Self) -> Result<Timing>) -> Result<Cost> {
        let before = [self.processor_time_of_callees()?, processor_time(self.id())?];
        let timing = workload(self)?;
        let after = [self.processor_time_of_callees()?, processor_time(self.id())?];
        let per_call = |time: Duration| time.div_f64(timing.calls as f64);
        Ok(Cost {
            time: timing.per_call(),
            callee: per_call(after[0] - before[0]),
            caller: per_call(after[1] - before[1]),
        })
    }

    /// Ends it and the processes that it has started. Fails if it fails, or if it has not ended after 20 seconds.
    pub fn end(self) -> Result<()> {
        drop(self.stdin);
        self.process.wait()
    }
}

fn read_result<T: DeserializeOwned>(stdout: &mut BufReader<ChildStdout>) -> Result<T> {
    let mut readable = [PollFd::new(stdout.get_ref().as_fd(), PollFlags::POLLIN)];
    ensure!(poll(&mut readable, PollTimeout::from(TIMEOUT))? > 0, "it takes longer than {} s", TIMEOUT / 1000);
    let mut line = String::new();
    stdout.read_line(&mut line)?;
    ensure!(!line.is_empty(), "it closed its stdout");
    serde_json::from_str::<Result<T, String>>(&line)?.map_err(|error| anyhow!(error))
}
