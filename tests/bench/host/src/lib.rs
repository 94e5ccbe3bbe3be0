//! A host in a process of its own, seen from outside.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result};
use ixt_bench_wire::program;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What a caller is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Drive {
    pub topic: String,
    /// The size of the payload.
    pub bytes: usize,
    /// How many calls are on their way.
    pub depth: usize,
    pub calls: usize,
}

/// How long it took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Driven {
    pub seconds: f64,
    /// In seconds, of a call.
    pub p50: f64,
    pub p99: f64,
}

/// A host's modules are ready.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ready {
    pub seconds: f64,
    /// Of the modules.
    pub pids: Vec<u32>,
}

/// The manifest of a host's module: those with an even number call the next one.
pub fn manifest(number: usize) -> String {
    let kind = if number.is_multiple_of(2) { "drive" } else { "echo" };
    format!(
        "schema_version = \"3.0\"\n[module]\nname = \"member-{number}\"\nversion = \"1.0.0\"\n\
         [provides]\nservices = [\"{kind}.n{:02}\"]\n",
        number / 2
    )
}

/// A host.
pub struct Hosted {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    pub ready: Ready,
}

impl Hosted {
    /// Starts a host with so many modules, and waits until they are ready.
    pub fn start(modules: usize) -> Result<Self> {
        let mut command = Command::new(program("hosted")?);
        command.arg(modules.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let requests = child.stdin.take().context("it is piped")?;
        let mut answers = BufReader::new(child.stdout.take().context("it is piped")?);
        let ready = read(&mut answers)?;
        Ok(Self { child, requests, answers, ready })
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Lets the first pairs of modules call each other, all at once.
    pub fn drive(&mut self, pairs: usize, bytes: usize, depth: usize, calls: usize) -> Result<Vec<Driven>> {
        let drive = |pair| (pair, Drive { topic: format!("echo.n{pair:02}"), bytes, depth, calls });
        let drives: Vec<_> = (0..pairs).map(drive).collect();
        writeln!(self.requests, "{}", serde_json::to_string(&drives)?)?;
        read(&mut self.answers)
    }

    /// Ends it, and its modules.
    pub fn end(self) -> Result<()> {
        let Self { mut child, requests, .. } = self;
        drop(requests);
        child.wait()?;
        Ok(())
    }
}

fn read<T: DeserializeOwned>(lines: &mut BufReader<ChildStdout>) -> Result<T> {
    let mut line = String::new();
    lines.read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}
