//! `ixt ps` and `ixt top`: tables of a running host's processes and of the calls that its modules have handled.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use ixt_host::control::{ControlCommand, HostStatus};
use ixt_host::text::{harmless, harmless_lines};
use ixt_host::{InstanceState, InstanceStatus, ModuleStatus, TopicKind, TopicStats};

use super::connection::ControlClient;
use crate::failure::{Failure, Result};
use crate::output::{is_terminal, print, print_json, print_over};

/// The pause of `ixt top` between an answer and the next question.
const INTERVAL: Duration = Duration::from_secs(1);

/// The last answer of the host, for the calls per second: when it came, and its statistics of each topic.
type Before = (Instant, HashMap<TopicKey, TopicStats>);

/// A module's name, and the kind and the name of one of its topics.
type TopicKey = (String, TopicKind, String);

/// `ixt ps`. With `json` the host's answer is printed as it is.
pub(crate) fn ps(socket: Option<&Path>, json: bool) -> Result<()> {
    if json {
        let status = ControlClient::ask(socket, &ControlCommand::Status)?.raw()?;
        return print_json(status.get());
    }
    print(&instances(&status(socket)?))
}

/// `ixt top`: asks the host again and again until a signal ends this process, or until the host has ended, which is a failure. On a
/// terminal each page is drawn over the one before, with the table of topics. Otherwise the table of processes, or with `json` the host's
/// status, is printed each time.
pub(crate) fn top(socket: Option<&Path>, json: bool) -> Result<()> {
    let mut before: Option<Before> = None;
    loop {
        let (status, now) = (status(socket)?, Instant::now());
        if json {
            print_json(&serde_json::to_string(&status).map_err(Failure::module)?)?;
        } else if is_terminal() {
            let table = format!("{}\n{}", instances(&status), topics(&status, before.as_ref(), now));
            print_over(&table, before.is_none())?;
        } else {
            print(&format!("{}\n", instances(&status)))?;
        }
        let topics = status
            .modules
            .iter()
            .flat_map(|module| module.topics.iter().map(|topic| (topic_key(module, topic), topic.clone())));
        before = Some((now, topics.collect()));
        std::thread::sleep(INTERVAL);
    }
}

fn topic_key(module: &ModuleStatus, topic: &TopicStats) -> TopicKey {
    (module.name.clone(), topic.kind, topic.topic.clone())
}

/// Asks the host once, on a new connection.
fn status(socket: Option<&Path>) -> Result<HostStatus> {
    ControlClient::ask(socket, &ControlCommand::Status)?.one()
}

/// A line about the host, a table with a row for each replica (the events in it are those of the module), and below it what a starting
/// process says, and why others are not ready, with their last lines.
fn instances(status: &HostStatus) -> String {
    let mut rows =
        vec![["MODULE", "STATE", "PID", "RESTARTS", "IN FLIGHT", "HEALTH", "FOR", "EVENTS"].map(str::to_owned)];
    let mut notes = String::new();
    for module in &status.modules {
        for instance in &module.instances {
            let InstanceStatus { id, state, pid, restarts, in_flight, healthy, seconds, reason, last_lines, .. } =
                instance;
            let health = match healthy {
                Some(false) => "NOT OK",
                _ if *state == InstanceState::Ready && !instance.takes_calls => "not ready",
                None => "-",
                Some(true) => "ok",
            };
            let events = format!("{} waiting, {} dropped", module.events_waiting, module.events_dropped);
            let events = if (module.events_waiting, module.events_dropped) == (0, 0) { "-".to_owned() } else { events };
            rows.push([
                harmless(id),
                state.to_string(),
                pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
                restarts.to_string(),
                in_flight.to_string(),
                health.to_owned(),
                duration(*seconds),
                events,
            ]);
            if let Some(starting) = &instance.starting {
                let _ = writeln!(notes, "{}: {}", harmless(id), harmless(starting));
            }
            if let Some(reason) = reason
                && !matches!(state, InstanceState::Ready | InstanceState::Stopped)
            {
                let _ = writeln!(notes, "{}: {}", harmless(id), harmless(reason));
                for line in last_lines {
                    let _ = writeln!(notes, "    {}", harmless_lines(line, "    "));
                }
            }
        }
    }
    let mut text =
        format!("host {} (pid {}), up {}\n", harmless(&status.version), status.pid, duration(status.seconds));
    text.push_str(&table(&rows, |row| state_style(&row[1])));
    if !notes.is_empty() {
        text.push('\n');
        text.push_str(&notes);
    }
    text
}

/// A table with a row for each topic, service or event, that was called at least once. Calls per second are those between the last answer
/// and `now`: 0 for the first answer, and when the host was restarted meanwhile and has counted less.
fn topics(status: &HostStatus, before: Option<&Before>, now: Instant) -> String {
    let mut rows = vec![["TOPIC", "MODULE", "CALLS", "PER SECOND", "ERRORS", "P50", "P99"].map(str::to_owned)];
    let topics = status.modules.iter().flat_map(|module| module.topics.iter().map(move |topic| (module, topic)));
    for (module, topic) in topics.filter(|(_, topic)| topic.calls > 0) {
        #[expect(clippy::cast_precision_loss, reason = "a rate, for people")]
        let rate = before.map_or(0.0, |(then, topics)| {
            let calls =
                topic.calls - topics.get(&topic_key(module, topic)).map_or(0, |before| before.calls.min(topic.calls));
            calls as f64 / now.duration_since(*then).as_secs_f64()
        });
        let note = if topic.kind == TopicKind::Event { " (event)" } else { "" };
        rows.push([
            format!("{}{note}", harmless(&topic.topic)),
            harmless(&module.name),
            topic.calls.to_string(),
            format!("{rate:.0}"),
            topic.errors.to_string(),
            latency(topic.p50),
            latency(topic.p99),
        ]);
    }
    if rows.len() == 1 { "no service has been called yet\n".to_owned() } else { table(&rows, |_| Style::new()) }
}

/// The colour of the row of a process in this state.
fn state_style(state: &str) -> Style {
    match state {
        "failed" => AnsiColor::Red.on_default(),
        "starting" | "backoff" | "draining" => AnsiColor::Yellow.on_default(),
        _ => Style::new(),
    }
}

/// The rows as a table with aligned columns. The first row is the head, in bold; `style` says how the others look. Widths are counted
/// in characters.
fn table<const N: usize>(rows: &[[String; N]], style: impl Fn(&[String; N]) -> Style) -> String {
    let bold = Style::new().bold();
    let widths: [usize; N] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default());
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        let style = if index == 0 { bold } else { style(row) };
        let _ = writeln!(text, "{style}{}{style:#}", line.trim_end());
    }
    text
}

/// A number of seconds in its two largest units, rounded down.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the age of a process, never negative")]
fn duration(seconds: f64) -> String {
    let seconds = seconds as u64;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86400 => format!("{}h {}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {}h", seconds / 86400, seconds % 86400 / 3600),
    }
}

/// A number of seconds in µs, ms or s, rounded.
fn latency(seconds: f64) -> String {
    if seconds < 1e-3 {
        format!("{:.0} µs", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_in_the_two_largest_units() {
        for (seconds, text) in [
            (0.9, "0s"),
            (59.0, "59s"),
            (60.0, "1m 0s"),
            (3599.9, "59m 59s"),
            (3600.0, "1h 0m"),
            (86_399.0, "23h 59m"),
            (86_400.0, "1d 0h"),
            (200_000.0, "2d 7h"),
        ] {
            assert_eq!(duration(seconds), text);
        }
        for (seconds, text) in [
            (0.0, "0 µs"),
            (0.000_25, "250 µs"),
            (0.001, "1.0 ms"),
            (0.25, "250.0 ms"),
            (1.0, "1.00 s"),
            (2.5, "2.50 s"),
        ] {
            assert_eq!(latency(seconds), text);
        }
    }
    /// A host with a module of two processes, one of which is ready.
    fn status(calls: u64) -> HostStatus {
        let topic = json!({
            "topic": "orders.place", "kind": "service", "calls": calls, "errors": 1, "codes": {}, "durations": [], "taken": calls, "seconds": 1.0,
            "p50": 0.001, "p99": 2.0,
        });
        let quiet = json!({
            "topic": "orders.get", "kind": "service", "calls": 0, "errors": 0, "codes": {}, "durations": [], "taken": 0, "seconds": 0.0, "p50": 0.0,
            "p99": 0.0,
        });
        let ready = json!({
            "id": "orders:1.0.0/instance-001", "state": "ready", "takes_calls": true, "pid": 7, "restarts": 0, "in_flight": 2,
            "seconds": 61.0, "healthy": true, "health": null, "reason": "an old reason", "last_lines": ["old"],
        });
        let failed = json!({
            "id": "orders:1.0.0/instance-002", "state": "failed", "takes_calls": false, "pid": null, "restarts": 5, "in_flight": 0,
            "seconds": 1.0, "healthy": null, "health": null, "reason": "it exited\u{1b} with status 1", "last_lines": ["no disk"],
        });
        let module = json!({
            "name": "orders", "version": "1.0.0", "instances": [ready, failed], "topics": [topic, quiet], "calls_waiting": 0,
            "events_waiting": 3, "events_dropped": 0,
        });
        let status = json!({ "pid": 1, "version": "0.1.0", "seconds": 5.0, "modules": [module] });
        serde_json::from_value(status).unwrap()
    }

    /// A table without its colours.
    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn each_process_is_a_row_and_only_one_that_is_not_ready_says_why() {
        let text = plain(&instances(&status(10)));
        let expected = "\
host 0.1.0 (pid 1), up 5s
MODULE                     STATE   PID  RESTARTS  IN FLIGHT  HEALTH  FOR    EVENTS
orders:1.0.0/instance-001  ready   7    0         2          ok      1m 1s  3 waiting, 0 dropped
orders:1.0.0/instance-002  failed  -    5         0          -       1s     3 waiting, 0 dropped

orders:1.0.0/instance-002: it exited\\u{1b} with status 1
    no disk
";
        assert_eq!(text, expected);
    }

    #[test]
    fn the_row_of_a_process_is_coloured_by_its_state_and_that_of_a_topic_is_not() {
        let red = AnsiColor::Red.on_default().to_string();
        let mut status = status(10);
        assert!(instances(&status).contains(&red));
        status.modules[0].name = "failed".to_owned();
        assert!(!topics(&status, None, Instant::now()).contains(&red));
    }

    #[test]
    fn calls_per_second_are_those_since_the_answer_before() {
        let (start, before, after) = (Instant::now(), status(10), status(30));
        let now = start + Duration::from_secs(10);
        let topics_before =
            before.modules[0].topics.iter().map(|topic| (topic_key(&before.modules[0], topic), topic.clone()));
        let before: Before = (start, topics_before.collect());
        let text = plain(&topics(&after, Some(&before), now));
        assert_eq!(text.lines().count(), 2, "a topic that was not called has no row: {text}");
        let row: Vec<_> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row, ["orders.place", "orders", "30", "2", "1", "1.0", "ms", "2.00", "s"]);
        // A restarted host counts from 0 again. The rate is 0 then, and not negative.
        assert!(plain(&topics(&status(5), Some(&before), now)).contains("  0 "), "{text}");
        assert_eq!(topics(&status(0), None, now), "no service has been called yet\n");
    }
}
