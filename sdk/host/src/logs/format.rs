//! How a line of the log is shown: to people, or as JSON.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style as Ansi};
use ixt_manifest::text::{harmless, harmless_json, harmless_lines};
use ixt_protocol::LogLevel;

use crate::logs::{Line, Origin, Record};

/// How a line of the log is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// To people: time, level, module, message, fields, trace. In colours, which a stream that is no terminal has to strip.
    Pretty,
    /// A JSON object.
    Json,
}

impl Style {
    /// A line, with its line end.
    #[must_use]
    pub fn show(self, line: &Line) -> String {
        match (self, line) {
            (Self::Json, Line::Record(record)) => {
                // A record has nothing that JSON has not.
                serde_json::to_string(&**record).map(|json| harmless_json(&json) + "\n").unwrap_or_default()
            }
            (Self::Json, Line::Missed(missed)) => {
                format!("{}\n", serde_json::json!({ "level": "warn", "module": "host", "missed": missed }))
            }
            (Self::Pretty, Line::Record(record)) => pretty(record),
            (Self::Pretty, Line::Missed(missed)) => {
                let warn = color(LogLevel::Warn);
                format!("{warn}… {missed} lines came too fast to be shown{warn:#}\n")
            }
        }
    }
}

fn color(level: LogLevel) -> Ansi {
    match level {
        LogLevel::Trace | LogLevel::Debug => AnsiColor::BrightBlack.on_default(),
        LogLevel::Info => AnsiColor::Green.on_default(),
        LogLevel::Warn => AnsiColor::Yellow.on_default(),
        LogLevel::Error => AnsiColor::Red.on_default(),
    }
}

fn pretty(record: &Record) -> String {
    let dim = AnsiColor::BrightBlack.on_default();
    let level = color(record.level);
    let name = match record.level {
        LogLevel::Trace => "TRACE",
        LogLevel::Debug => "DEBUG",
        LogLevel::Info => "INFO ",
        LogLevel::Warn => "WARN ",
        LogLevel::Error => "ERROR",
    };
    let time = jiff::Timestamp::try_from(record.time).unwrap_or_default();
    let time = time.to_zoned(jiff::tz::TimeZone::system()).strftime("%H:%M:%S%.3f");
    // The first process is the only one, mostly.
    let module = harmless(&short(&record.module));
    let mut line = format!("{dim}{time}{dim:#} {level}{name}{level:#} {module:<14} ");
    match record.origin {
        Origin::Host => line.push_str("* "),
        Origin::Module => {}
        Origin::Stdout | Origin::Stderr => {
            let _ = write!(line, "{dim}|{dim:#} ");
        }
    }
    line.push_str(&harmless_lines(&record.message, "    "));
    if let Some(fields) = &record.fields
        && let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(fields.get())
    {
        // Of tracing's, more than a line holds; JSON has them.
        for (key, value) in fields.into_iter().filter(|(key, _)| key != "spans" && key != "target") {
            let _ = write!(line, " {dim}{}={dim:#}{}", harmless(&key), harmless(&value.to_string()));
        }
    }
    if !record.trace_id.is_empty() {
        let trace: String = record.trace_id.chars().take(8).collect();
        let _ = write!(line, " {dim}[{}]{dim:#}", harmless(&trace));
    }
    line.push('\n');
    line
}

/// `orders` of `orders:1.0.0/instance-001`, and `orders/2` of the second.
fn short(module: &str) -> String {
    let Some((name, rest)) = module.split_once(':') else { return module.to_owned() };
    match rest.rsplit_once("/instance-").and_then(|(_, number)| number.parse::<u32>().ok()) {
        None | Some(1) => name.to_owned(),
        Some(number) => format!("{name}/{number}"),
    }
}

/// Times in JSON: RFC 3339, in UTC, with microseconds.
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
        let record =
            Record { fields: Some(fields), trace_id: "\u{1b}[8m".to_owned(), ..Record::new("m\u{7}", message) };
        let line = Line::Record(std::sync::Arc::new(record));
        let shown = Style::Pretty.show(&line);
        for part in [
            r"m\u{7}         * a\u{1b}[2J",
            "\u{1b}[31mred\n    forged\u{1b}[0m ",
            r"k\n=",
            r#""\u{202e}""#,
            r"[\u{1b}[8m]",
        ] {
            assert!(shown.contains(part), "{part:?} is not in {shown:?}");
        }
        let json = Style::Json.show(&line);
        assert!(json.ends_with("\"fields\":{\"k\\n\":  \"\\u202e\"}}\n"), "{json:?}");
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
        let json = Style::Json.show(&Line::Record(std::sync::Arc::new(record)));
        let read: Record = serde_json::from_str(&json).unwrap();
        assert_eq!(Style::Json.show(&Line::Record(std::sync::Arc::new(read))), json);
        assert!(json.contains(r#""fields":{"a":1}"#), "{json}");
    }
}
