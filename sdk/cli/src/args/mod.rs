//! The command line. The doc comments of commands and of their arguments are the text of `--help`. This file has the commands, and the
//! arguments of `docs`, `guard`, `restart` and `stop`; `ps`, `schema` and `top` have none. The others have theirs in files: `build`,
//! `conformance`, `kv`, `logs`, `run`; `call` (with `publish`); `manifest` (`check`, `diff`, `generate`). `setting`, `input` and `duration`
//! are kinds of values that several commands take. Files, variables and stdin that an argument names are read later, by the commands.

mod build;
mod call;
mod conformance;
mod duration;
mod input;
mod kv;
mod logs;
mod manifest;
mod run;
mod setting;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub(crate) use build::{BuildArgs, BuildOptions};
pub(crate) use call::{CallArgs, MessageArgs, PublishArgs};
pub(crate) use conformance::ConformanceArgs;
pub(crate) use duration::{duration, timeout};
pub(crate) use input::DataInput;
pub(crate) use kv::KvCommand;
pub(crate) use logs::LogsArgs;
pub(crate) use manifest::{CheckArgs, DiffArgs, GenerateArgs};
pub(crate) use run::{RunArgs, http_host};
pub(crate) use setting::{Setting, ValueSource};

const EXIT_STATUS: &str = "\
Exit status: 0 if the command did what was asked; 1 if the answer is no, or an error; 2 if the command can't be carried out as it was given, \
or no host is running; 3 if a module or the connection to the host failed. `ixt help COMMAND` says more.";

/// Checks, generates, runs and calls IXT modules.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = EXIT_STATUS)]
pub(crate) struct CommandLine {
    /// The host's control socket. The default is `ixt/host.sock` in `$XDG_RUNTIME_DIR`, or without that variable,
    /// `ixt-UID/host.sock` in the directory for temporary files.
    #[arg(long, global = true, env = "IXT_HOST", value_name = "PATH")]
    pub(crate) host: Option<PathBuf>,
    /// Print JSON for programs, one object per line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: CliCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CliCommand {
    /// Report the mistakes in manifests.
    ///
    /// Exits 1 if there are errors. Warnings alone don't count.
    Check(CheckArgs),
    /// Print or write the Rust code that a build script generates from a manifest.
    ///
    /// Exits 1 if the manifest has errors, or if --check finds a file that is out of date.
    Generate(GenerateArgs),
    /// Report what a change of a manifest means for the module's callers and for its configurations.
    ///
    /// Exits 1 if the change breaks anything, and 2 if one of the manifests has errors.
    Diff(DiffArgs),
    /// Print a module's reference page in Markdown: its services, events, configuration and types.
    ///
    /// Exits 1 if the manifest has errors.
    Docs {
        /// The manifest.
        manifest: PathBuf,
    },
    /// Print a JSON Schema of manifests, with which editors for TOML complete and check them.
    Schema,
    /// Build modules as `ixt run` does, and print the programs that it would start.
    ///
    /// Exits 2 if the arguments or the manifests have errors, 3 if a module could not be built, and 130 or 143 if Ctrl-C or
    /// SIGTERM came.
    Build(BuildArgs),
    /// Run modules: build, start and connect them, and restart those that end, until Ctrl-C or SIGTERM.
    ///
    /// SIGHUP ends a host that was started on a terminal. For any other host it is a reload: modules that have changed are
    /// replaced by their new versions.
    ///
    /// The log goes to stdout: for people if that is a terminal, and otherwise, or with --json, as JSON lines.
    ///
    /// Exits 0 if all modules have ended well, 1 if one has failed or did not end well, 2 if the arguments, the file of --config
    /// or the manifests have errors, 3 if a module could not be built, and 130 or 143 if Ctrl-C or SIGTERM came twice, or before
    /// the modules were started.
    Run(RunArgs),
    /// Call a service of a running host, or with --module, of a module that is started for this call alone.
    ///
    /// Prints the data of the reply as JSON on stdout. With --module, the module's output goes to stderr, each line after the
    /// module's name.
    ///
    /// Exits 1 if the module or the host answers with an error, and 2 if the call can't be made as it was given. With --module
    /// it exits 3 if the manifest has errors, or if the module could not be built, started or initialized, or ended before it
    /// answered, and 130 or 143 if Ctrl-C or SIGTERM came.
    Call(CallArgs),
    /// Publish an event at a running host.
    ///
    /// Waits until the host has accepted it, not until subscribers have handled it. It is not an error if there are no subscribers.
    ///
    /// Exits 1 if the host answers with an error, and 2 if the event can't be published as it was given.
    Publish(PublishArgs),
    /// Show the state of a running host and of its modules' processes.
    Ps,
    /// Show what `ixt ps` shows once a second until Ctrl-C, and for each service how often it is called and how long that takes.
    Top,
    /// Show the log of a running host.
    Logs(LogsArgs),
    /// Replace a module of a running host by its newest version.
    ///
    /// Builds the module, reads its manifest and its configuration again, and reports what changes. The new processes start
    /// beside the old ones and take over when they are ready; the old ones finish what they have begun. If the new ones don't
    /// start, the old ones go on.
    Restart {
        /// The name of the module.
        module: String,
        /// Don't build: start the program of the last build.
        #[arg(long)]
        no_build: bool,
    },
    /// Shut down a module of a running host, or the host with all its modules.
    Stop {
        /// The name of the module. Without it, the host is shut down.
        module: Option<String>,
    },
    /// Read, write and back up the keys and values that a running host keeps for its modules; check and repair those of a host that
    /// is not running.
    #[command(subcommand)]
    Kv(KvCommand),
    /// End what a host has started, once the host has ended. A host starts this command beside itself.
    #[command(hide = true)]
    Guard {
        /// The time in milliseconds that the modules have to finish their requests.
        shutdown_grace: u64,
        /// The time in milliseconds that they have to exit after that, and again after SIGTERM.
        exit_grace: u64,
    },
    /// Check whether a module, in any language, keeps to the protocol (sdk/protocol/PROTOCOL.md).
    ///
    /// Plays the host: each check starts the module anew. Prints a line for each check: `ok`, `FAILED` with what was expected and
    /// what the module did, or `skipped` with the reason.
    ///
    /// Services are really called: each one with an empty payload, and one of those that take bytes also with other payloads. Use
    /// --skip for services that would do harm, and --echo to name the one that gets other payloads.
    ///
    /// Exits 1 if a check has failed, 2 if the arguments have errors, 3 if the manifest has errors or the command can't be
    /// started, and 130 or 143 if Ctrl-C or SIGTERM came.
    Conformance(ConformanceArgs),
}
