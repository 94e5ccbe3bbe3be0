//! Programs that make calls with a client of their own. They read on standard input how many, as a line of JSON each time, and print
//! how long it took.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::{processor_time, wait};

/// A program that takes longer than this for a task hangs. In milliseconds.
const PATIENCE: u16 = 30_000;

/// What to call, and how often.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Drive {
    /// The service, where there are more than one.
    pub topic: String,
    pub payload: Payload,
    /// How many calls are on their way.
    pub depth: usize,
    pub calls: usize,
}

/// What is sent there and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload {
    /// This number of bytes.
    Bytes(usize),
    /// A [`Record`].
    Record,
}

/// A typed request, and its response.
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

/// How long it took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Driven {
    pub seconds: f64,
    /// In seconds, of a call that waits for the one before; otherwise 0.
    pub p50: f64,
    pub p99: f64,
}

impl Driven {
    pub fn since(start: Instant, mut trips: Vec<Duration>) -> Self {
        let seconds = start.elapsed().as_secs_f64();
        trips.sort_unstable();
        let at = |hundredths| trips.get(trips.len() * hundredths / 100).map_or(0.0, Duration::as_secs_f64);
        Self { seconds, p50: at(50), p99: at(99) }
    }
}

/// Makes `drive.calls` calls, by `drive.depth` tasks at once.
pub async fn at_once<F, E>(drive: &Drive, call: impl Fn() -> F + Clone + Send + 'static) -> Result<Driven, E>
where
    F: Future<Output = Result<(), E>> + Send,
    E: Send + 'static,
{
    let Drive { depth, calls, .. } = *drive;
    let start = Instant::now();
    let mut callers = JoinSet::new();
    for caller in 0..depth {
        let call = call.clone();
        callers.spawn(async move {
            let mut trips = Vec::new();
            for _ in (caller..calls).step_by(depth) {
                if depth == 1 {
                    let start = Instant::now();
                    call().await?;
                    trips.push(start.elapsed());
                } else {
                    call().await?;
                }
            }
            Ok(trips)
        });
    }
    let mut trips = Vec::new();
    while let Some(caller) = callers.join_next().await {
        trips.extend(caller.expect("a caller doesn't panic")?);
    }
    Ok(Driven::since(start, trips))
}

/// What a program prints when it is ready for its first task.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ready {
    /// How long it took.
    pub seconds: f64,
    /// The processes that it calls.
    pub pids: Vec<u32>,
}

/// Prints a result or an error, as a line of JSON, for the process that has started this one.
pub fn tell(what: Result<impl Serialize>) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(&what.map_err(|error| format!("{error:#}")))?)?;
    Ok(out.flush()?)
}

/// A running program of that kind.
pub struct Driver {
    child: Child,
    /// Its standard input. `None` when it is to end.
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    pub ready: Ready,
}

impl Driver {
    /// Starts it, and waits until it is ready.
    pub fn start(mut command: Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let requests = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().context("it is piped")?);
        let mut driver = Self { child, requests, answers, ready: Ready { seconds: 0.0, pids: Vec::new() } };
        driver.ready = driver.answer().with_context(|| format!("{command:?}"))?;
        Ok(driver)
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Processor time of the processes that it calls.
    pub fn processor_time_of_called(&self) -> Result<Duration> {
        self.ready.pids.iter().map(|pid| processor_time(*pid)).sum()
    }

    /// Sends it a task, and waits for the result.
    pub fn ask<T: DeserializeOwned>(&mut self, what: &impl Serialize) -> Result<T> {
        writeln!(self.requests.as_mut().context("it is to end")?, "{}", serde_json::to_string(what)?)?;
        self.answer()
    }

    /// Ends it, and the processes that it has started.
    pub fn end(mut self) -> Result<()> {
        self.requests = None;
        wait(&mut self.child, Duration::from_secs(20))
    }

    fn answer<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut readable = [PollFd::new(std::os::fd::AsFd::as_fd(self.answers.get_ref()), PollFlags::POLLIN)];
        ensure!(poll(&mut readable, PollTimeout::from(PATIENCE))? > 0, "it takes longer than half a minute");
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        ensure!(!line.is_empty(), "it has ended");
        serde_json::from_str::<Result<T, String>>(&line)?.map_err(anyhow::Error::msg)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if self.requests.is_some() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
