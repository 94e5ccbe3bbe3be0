//! The output of a process on its way into the log, and its last lines, which may say why the process has ended.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use ixt_protocol::LogLevel;
use tokio::io::AsyncRead;

use super::{CapturedLine, LineReader, Logs, Origin, Part, Record, shortened};
use crate::lock::lock;

/// How many last lines are kept in case the process fails; each further one displaces the oldest.
const TAIL_LINES: usize = 20;
/// How many bytes of each are kept; of a longer one, the rest is replaced by its length.
const TAIL_LINE_BYTES: usize = 2 * 1024;

/// The output of one process. Its services keep the errors of the module's log here too.
#[derive(Debug)]
pub(crate) struct ProcessOutput {
    logs: Logs,
    /// The id of the process, `name:version/instance-NNN`.
    instance: Arc<str>,
    /// See [`ProcessOutput::tail`].
    tail: Mutex<VecDeque<String>>,
}

impl ProcessOutput {
    /// The output of the process with the id `instance`, on its way into `logs`.
    pub(crate) fn new(logs: Logs, instance: Arc<str>) -> Self {
        Self { logs, instance, tail: Mutex::default() }
    }

    /// The id of the process, `name:version/instance-NNN`.
    pub(crate) fn instance(&self) -> &Arc<str> {
        &self.instance
    }

    /// The last lines of stderr and the last errors of the module's log, together at most 20, oldest first. One over 2
    /// KiB is cut, and ends with its length. Those of stderr have no line ends; an error of the log may have some
    /// within it.
    pub(crate) fn tail(&self) -> Vec<String> {
        lock(&self.tail).iter().cloned().collect()
    }

    /// Adds a line to the last lines. Does not log it.
    pub(crate) fn keep(&self, line: &str) {
        let mut tail = lock(&self.tail);
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(shortened(line, TAIL_LINE_BYTES).into_owned());
    }

    /// Logs all lines of stdout or stderr until its end, or until it can't be read. If a follower of all lines is
    /// behind, this waits before the next line, for up to a second (see [`Logs::room`]); the pipe fills up meanwhile,
    /// so that the process waits too. The later pieces of a long line have the level of the first one.
    pub(crate) async fn pump(self: Arc<Self>, source: impl AsyncRead + Unpin, origin: Origin) {
        let mut pieces = LineReader::new(source);
        let mut level = LogLevel::Info;
        while let Some((line, part)) = pieces.next().await {
            if origin == Origin::Stderr {
                self.keep(&line);
            }
            self.logs.room().await;
            let is_continued = matches!(part, Some(Part::Middle | Part::Last));
            let record = if is_continued {
                Record { level, ..Record::new(&self.instance, line) }
            } else {
                let CapturedLine { level, message, trace_id, fields } = CapturedLine::read(&line);
                let trace_id = trace_id.into_owned();
                Record { level, trace_id, fields, ..Record::new(&self.instance, message) }
            };
            level = record.level;
            self.logs.write(Record { origin, part, ..record });
        }
    }
}
