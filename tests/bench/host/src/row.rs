//! Who calls whom: the rows of tables that compare builds or settings of the same programs.

use std::fmt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use ixt_bench_wire::load::{LoadGenerator, Payload, Workload};
use ixt_bench_wire::{Callee, Framing, frame};

use crate::{Caller, run};

/// Who calls whom.
#[derive(Clone, Copy)]
pub enum Row {
    /// The lean client calls a module.
    LeanClient,
    /// A host, or one of its modules, calls a module of the host.
    Host(Caller),
}

impl Row {
    pub const ALL: [Self; 3] = [Self::LeanClient, Self::Host(Caller::Host), Self::Host(Caller::Pair(0))];

    /// The command that starts the callee, or the host with its two modules. `program` finds a program by its name.
    pub fn command(self, program: impl Fn(&str) -> Result<PathBuf>) -> Result<Command> {
        Ok(match self {
            Self::LeanClient => Command::new(program("module")?),
            Self::Host(_) => {
                let mut command = Command::new(program("hosted")?);
                command.arg("2").arg(program("member")?);
                command
            }
        })
    }

    pub fn start(self, command: Command) -> Result<Contestant> {
        Ok(match self {
            Self::LeanClient => Contestant::Module(Callee::start_command(command, Framing::Line)?),
            Self::Host(caller) => Contestant::Host(LoadGenerator::start(command)?, caller),
        })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LeanClient => "lean client → module",
            Self::Host(Caller::Host) => "host → module",
            Self::Host(Caller::Pair(_)) => "module → host → module",
        })
    }
}

/// The processes of a row.
pub enum Contestant {
    Module(Callee),
    Host(LoadGenerator, Caller),
}

/// What a call costs.
pub struct Sample {
    pub time: Duration,
    /// Processor time of the modules, and of the host if there is one.
    pub processor: Duration,
}

impl Contestant {
    /// Makes calls with payloads of this many bytes, `depth` of them at once.
    pub fn sample(&mut self, bytes: usize, depth: usize, calls: usize) -> Result<Sample> {
        match self {
            Self::Module(module) => {
                let cost = module.throughput(&frame("echo", bytes), depth, calls)?;
                Ok(Sample { time: cost.time, processor: cost.callee })
            }
            Self::Host(host, caller) => {
                let workload = Workload::new("echo.n00", Payload::Bytes(bytes), depth, calls);
                let cost = host.cost(|host| run(host, *caller, workload))?;
                Ok(Sample { time: cost.time, processor: cost.caller + cost.callee })
            }
        }
    }
}
