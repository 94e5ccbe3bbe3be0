//! `ixt logs`.

use std::time::SystemTime;

use clap::ValueEnum;
use ixt_protocol::LogLevel;

use super::duration;

#[derive(Debug, clap::Args)]
pub(crate) struct LogsArgs {
    /// Print new lines as they come, until Ctrl-C.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Print at most this many of the lines that the host has kept, the newest ones. The default is 100, or all of them with --trace or
    /// --since.
    #[arg(short = 'n', long, value_name = "NUMBER")]
    pub(crate) lines: Option<usize>,
    /// Only lines of this module, and of the host about it.
    pub(crate) module: Option<String>,
    /// Only lines of this level or a more severe one.
    #[arg(short, long)]
    pub(crate) level: Option<LevelArg>,
    /// Only lines of the trace whose id is, or begins with, this text. Eight characters are what other commands show.
    #[arg(long, value_name = "ID", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) trace: Option<String>,
    /// Only lines since this time: a duration before now, such as `10m`, or a time such as `2026-11-28T10:00:00+01:00`.
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub(crate) since: Option<SystemTime>,
}

/// Reads the value of `--since`: a duration before now, up to 1000 years, or a time with an offset, as in RFC 3339. A duration that reaches
/// back beyond 1970 means the start of 1970; a time may be before 1970 or in the future. The error says what is expected.
pub(super) fn since(text: &str) -> Result<SystemTime, String> {
    if let Ok(ago) = duration(text) {
        return Ok(SystemTime::now().checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH).max(SystemTime::UNIX_EPOCH));
    }
    let expected = "expected a duration such as `10m`, or a time in RFC 3339 such as `2026-11-28T10:00:00+01:00`";
    text.parse::<jiff::Timestamp>().map(Into::into).map_err(|_| expected.to_owned())
}

/// The value of `--level`: `LogLevel` with the names that the command line takes, which are in lower case only. From the least to the most
/// severe.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum LevelArg {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

impl From<LevelArg> for LogLevel {
    fn from(level: LevelArg) -> Self {
        match level {
            LevelArg::Trace => Self::Trace,
            LevelArg::Debug => Self::Debug,
            LevelArg::Info => Self::Info,
            LevelArg::Warn => Self::Warn,
            LevelArg::Error => Self::Error,
        }
    }
}
