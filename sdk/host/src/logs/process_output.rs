//! Where the output of a process goes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use ixt_protocol::LogLevel;
use tokio::io::AsyncRead;

use super::{CapturedLine, LineReader, Logs, Origin, Part, Record, shortened};
use crate::lock::lock;

/// So many of the last lines of stderr, and of the errors of its log, are told when a process has failed.
const TAIL_LINES: usize = 20;
/// And so much of each.
const TAIL_LINE_BYTES: usize = 2 * 1024;
/// Where the output of a process goes.
#[derive(Debug)]
pub(crate) struct ProcessOutput {
    logs: Logs,
    /// The process, by its id.
    instance: Arc<str>,
    /// The last lines of stderr, and errors of its log.
    tail: Mutex<VecDeque<String>>,
}

impl ProcessOutput {
    pub(crate) fn new(logs: Logs, instance: Arc<str>) -> Self {
        Self { logs, instance, tail: Mutex::default() }
    }

    /// The id of the process.
    pub(crate) fn instance(&self) -> &Arc<str> {
        &self.instance
    }

    /// The last lines of stderr, and errors of its log.
    pub(crate) fn tail(&self) -> Vec<String> {
        lock(&self.tail).iter().cloned().collect()
    }

    /// It may be what tells why the process ends.
    pub(crate) fn keep(&self, line: &str) {
        let mut tail = lock(&self.tail);
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(shortened(line, TAIL_LINE_BYTES).into_owned());
    }

    /// Passes on all that comes.
    pub(crate) async fn pump(self: Arc<Self>, source: impl AsyncRead + Unpin, origin: Origin) {
        let mut pieces = LineReader::new(source);
        let mut level = LogLevel::Info;
        while let Some((line, part)) = pieces.next().await {
            if origin == Origin::Stderr {
                self.keep(&line);
            }
            // A flood of output waits here; the pipe is then full, and whoever writes into it waits too.
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
