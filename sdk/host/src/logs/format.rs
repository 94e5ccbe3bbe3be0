//! Shows lines of the log, as text for people or as JSON. The keys of the JSON are the fields of [`Record`](super::Record).

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style as Ansi};
use ixt_manifest::text::{harmless, harmless_json, harmless_lines};
use ixt_protocol::LogLevel;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::logs::{Origin, Part, Record};

/// How a line of the log is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// For a terminal: time of day (with the date if it is not today), level, module, message, fields and the first 8
    /// characters of the trace id, with ANSI colours, in the system's time zone. The module is shown without its version, and
    /// with the number of the process only from 2 on. A line of the host has a `*` before the message, and a captured one a
    /// `|`. Fields of the host's own lines are left out, since its messages say the same; so are the fields `spans` and
    /// `target`, and in captured lines those that have a time, the process id, the machine's name or the logger's version. For
    /// an output without colours, the caller has to remove the colours.
    Pretty,
    /// Like `Pretty`, but with date, time to the millisecond and offset from UTC: for text that is kept or sent on.
    Dated,
    /// A JSON object in one line, with the fields of [`Record`]: `trace_id`, `part` and `fields` only if they are set, the
    /// others always.
    Json,
}

impl Style {
    /// The record as text that ends with a line end. For people, it has several lines if the message or a field has. Characters
    /// that could move the cursor, or reorder or hide text, are escaped; for people, foreground colours of a message stay.
    #[must_use]
    pub fn show(self, record: &Record) -> String {
        let time = || Timestamp::try_from(record.time).unwrap_or_default().to_zoned(TimeZone::system());
        match self {
            // A record can always be serialized.
            Self::Json => serde_json::to_string(record).map(|json| harmless_json(&json) + "\n").unwrap_or_default(),
            Self::Pretty => pretty(record, &time_of_day(&time(), &Zoned::now())),
            Self::Dated => pretty(record, &time().strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string()),
        }
    }
}

/// The time of day, with the date if that is not the one of `now`.
fn time_of_day(time: &Zoned, now: &Zoned) -> String {
    let format = if time.date() == now.date() { "%H:%M:%S%.3f" } else { "%Y-%m-%d %H:%M:%S%.3f" };
    time.strftime(format).to_string()
}

/// The colour of a level's name.
fn color(level: LogLevel) -> Ansi {
    match level {
        LogLevel::Trace | LogLevel::Debug => AnsiColor::BrightBlack.on_default(),
        LogLevel::Info => AnsiColor::Green.on_default(),
        LogLevel::Warn => AnsiColor::Yellow.on_default(),
        LogLevel::Error => AnsiColor::Red.on_default(),
    }
}

/// The text of [`Style::Pretty`] and [`Style::Dated`], with `time` as its time.
fn pretty(record: &Record, time: &str) -> String {
    let dim = AnsiColor::BrightBlack.on_default();
    let level = color(record.level);
    let name = match record.level {
        LogLevel::Trace => "TRACE",
        LogLevel::Debug => "DEBUG",
        LogLevel::Info => "INFO ",
        LogLevel::Warn => "WARN ",
        LogLevel::Error => "ERROR",
    };
    // Most modules have one process.
    let module = harmless(&short(&record.module));
    let mut line = format!("{dim}{time}{dim:#} {level}{name}{level:#} {module:<14} ");
    match record.origin {
        Origin::Host => line.push_str("* "),
        Origin::Module => {}
        Origin::Stdout | Origin::Stderr => {
            let _ = write!(line, "{dim}|{dim:#} ");
        }
    }
    if matches!(record.part, Some(Part::Middle | Part::Last)) {
        let _ = write!(line, "{dim}(continued){dim:#} ");
    }
    line.push_str(&harmless_lines(&record.message, "    "));
    if matches!(record.part, Some(Part::First | Part::Middle)) {
        let _ = write!(line, " {dim}(goes on){dim:#}");
    }
    let mut blocks = String::new();
    // The host's messages contain its fields in words.
    if record.origin != Origin::Host
        && let Some(fields) = &record.fields
        && let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(fields.get())
    {
        for (key, value) in fields.into_iter().filter(|(key, _)| !is_left_out(key, record.origin)) {
            let key = harmless(&key);
            match value.as_str().filter(|text| text.contains('\n')) {
                // A text with several lines, such as a backtrace.
                Some(text) => {
                    let text = harmless_lines(text.trim_end(), "        ");
                    let _ = write!(blocks, "\n    {dim}{key}:{dim:#}\n        {text}");
                }
                None => {
                    let _ = write!(line, " {dim}{key}={dim:#}{}", harmless(&value.to_string()));
                }
            }
        }
    }
    if !record.trace_id.is_empty() {
        let trace: String = record.trace_id.chars().take(8).collect();
        let _ = write!(line, " {dim}[{}]{dim:#}", harmless(&trace));
    }
    line.push_str(&blocks);
    line.push('\n');
    line
}

/// Whether a field is not shown to people, because the line says the same elsewhere, or because it takes much room and
/// tells little. JSON has all fields.
fn is_left_out(key: &str, origin: Origin) -> bool {
    // Fields of the crate tracing.
    let of_spans = ["spans", "target"].contains(&key);
    // Fields of loggers that write JSON.
    let is_captured = matches!(origin, Origin::Stdout | Origin::Stderr);
    of_spans
        || is_captured && ["time", "timestamp", "@timestamp", "ts", "asctime", "pid", "hostname", "v"].contains(&key)
}

/// The short name of a process: `orders` for `orders:1.0.0/instance-001`, `orders/2` for `orders:1.0.0/instance-002`. A name
/// without a version stays as it is.
fn short(module: &str) -> String {
    let Some((name, rest)) = module.split_once(':') else { return module.to_owned() };
    match rest.rsplit_once("/instance-").and_then(|(_, number)| number.parse::<u32>().ok()) {
        None | Some(1) => name.to_owned(),
        Some(number) => format!("{name}/{number}"),
    }
}

/// Serializes times as RFC 3339 in UTC, with microseconds.
pub(crate) mod rfc3339 {
    use std::time::SystemTime;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        let time = jiff::Timestamp::try_from(*time).unwrap_or_default();
        serializer.collect_str(&format_args!("{time:.6}"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time: jiff::Timestamp = text.parse().map_err(serde::de::Error::custom)?;
        Ok(time.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_can_not_take_over_the_terminal() {
        let fields = serde_json::value::RawValue::from_string("{\"k\\n\":\r\n\"\u{202e}\"}".to_owned()).unwrap();
        let message = "a\u{1b}[2J\u{1b}[31mred\nforged\r".to_owned();
        let record = Record {
            fields: Some(fields),
            trace_id: "\u{1b}[8m".to_owned(),
            origin: Origin::Module,
            ..Record::new("m\u{7}", message)
        };
        let shown = Style::Pretty.show(&record);
        for part in [
            r"m\u{7}         a\u{1b}[2J",
            "\u{1b}[31mred\n    forged\u{1b}[0m ",
            r"k\n=",
            r#""\u{202e}""#,
            r"[\u{1b}[8m]",
        ] {
            assert!(shown.contains(part), "{part:?} is not in {shown:?}");
        }
        let json = Style::Json.show(&record);
        assert!(json.ends_with("\"fields\":{\"k\\n\":  \"\\u202e\"}}\n"), "{json:?}");
    }

    #[test]
    fn the_date_is_told_wherever_it_is_not_clear() {
        let at = |text: &str| text.parse::<Zoned>().unwrap();
        let time = at("2026-11-28T23:59:59.5+01:00[+01:00]");
        assert_eq!(time_of_day(&time, &at("2026-11-28T00:00+01:00[+01:00]")), "23:59:59.500");
        assert_eq!(time_of_day(&time, &at("2026-11-29T00:00+01:00[+01:00]")), "2026-11-28 23:59:59.500");
        let record = Record::new("m", "text");
        let shown = Style::Dated.show(&record);
        let (time, _) = shown.strip_prefix("\u{1b}[90m").unwrap().split_once('\u{1b}').unwrap();
        let time: Timestamp = time.parse().unwrap();
        assert_eq!(time.as_millisecond(), Timestamp::try_from(record.time).unwrap().as_millisecond());
    }

    #[test]
    fn a_piece_is_marked_and_a_field_of_several_lines_stands_below() {
        let plain = |record: Record| {
            let shown = Style::Pretty.show(&record);
            let (_, shown) = shown.split_once(" m ").unwrap();
            shown.replace("\u{1b}[90m", "").replace("\u{1b}[0m", "").trim().to_owned()
        };
        let piece = |part| Record { part: Some(part), ..Record::new("m", "x") };
        assert_eq!(plain(piece(Part::First)), "* x (goes on)");
        assert_eq!(plain(piece(Part::Middle)), "* (continued) x (goes on)");
        assert_eq!(plain(piece(Part::Last)), "* (continued) x");
        let fields = r#"{"time":1,"n":2,"stack":"a\nb\u001b\n"}"#.to_owned();
        let fields = Some(serde_json::value::RawValue::from_string(fields).unwrap());
        let record = Record { origin: Origin::Stderr, fields, trace_id: "t".to_owned(), ..Record::new("m", "x") };
        assert_eq!(plain(record.clone()), "| x n=2 [t]\n    stack:\n        a\n        b\\u{1b}");
        assert_eq!(plain(Record { origin: Origin::Host, ..record }), "* x [t]");
    }

    #[test]
    fn processes_have_short_names() {
        assert_eq!(short("orders:1.0.0/instance-001"), "orders");
        assert_eq!(short("orders:1.0.0/instance-012"), "orders/12");
        assert_eq!(short("host"), "host");
    }

    #[test]
    fn a_record_is_the_same_after_json() {
        let fields = serde_json::value::RawValue::from_string("{\"a\":1}".to_owned()).unwrap();
        let record =
            Record { fields: Some(fields), trace_id: "t".to_owned(), ..Record::new("m:1.0.0/instance-001", "x") };
        let record = Record { part: Some(Part::First), ..record };
        let json = Style::Json.show(&record);
        let read: Record = serde_json::from_str(&json).unwrap();
        assert_eq!(Style::Json.show(&read), json);
        assert!(json.contains(r#""part":"first""#), "{json}");
        assert!(json.contains(r#""fields":{"a":1}"#), "{json}");
    }
}
