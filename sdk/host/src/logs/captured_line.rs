//! Finds the level in a line that a program has written to stdout or stderr: at the beginning of the line, as the loggers of
//! many languages write it, or in a JSON object. HOST.md ("Levels of captured output") has the forms. Every other line is
//! `info`, also one that has the name of a level within a sentence.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ixt_protocol::{LogLevel, MAX_TRACE_ID_BYTES};
use serde_json::value::{RawValue, to_raw_value};

/// How far into a line the level may begin, in bytes.
const HEAD_BYTES: usize = 256;
/// The level is one of the first this many words of the line: before it may come a time, a process, a thread and a logger.
const HEAD_WORDS: usize = 8;

/// A line of a program's output, with what was found in it.
#[derive(Debug)]
pub(crate) struct CapturedLine<'a> {
    /// The level that was found; `info` if there is none.
    pub(crate) level: LogLevel,
    /// The line, without the level if it begins with that and has more text; without a syslog priority such as `<3>` in any
    /// case. Of a JSON object with a level: its message, or the whole line if it has none.
    pub(crate) message: Cow<'a, str>,
    /// Empty if the line has none. Only a JSON object with a level can have one.
    pub(crate) trace_id: Cow<'a, str>,
    /// The other keys of a JSON object that has a level and a message; `None` for any other line, and if there are none.
    pub(crate) fields: Option<Box<RawValue>>,
}

/// The level with this name, in any case of letters. Known are the usual names of Python, Node.js, log4j, Java, .NET and
/// syslog: `notice` is info, and `critical`, `fatal`, `severe`, `alert`, `emergency` and `panic` are error. `None` for any
/// other name.
pub(crate) fn level_named(name: &str) -> Option<LogLevel> {
    const NAMES: [(LogLevel, &[&str]); 5] = [
        (LogLevel::Trace, &["trace", "silly"]),
        (LogLevel::Debug, &["debug", "verbose"]),
        (LogLevel::Info, &["info", "information", "notice"]),
        (LogLevel::Warn, &["warn", "warning"]),
        (
            LogLevel::Error,
            &["error", "err", "critical", "crit", "fatal", "severe", "alert", "emergency", "emerg", "panic"],
        ),
    ];
    let is = |other: &&str| name.eq_ignore_ascii_case(other);
    NAMES.into_iter().find(|(_, names)| names.iter().any(is)).map(|(level, _)| level)
}

impl<'a> CapturedLine<'a> {
    /// Reads a line without its line end. Never fails: a line without a level is `info`.
    pub(crate) fn read(line: &'a str) -> Self {
        if let Some((level, message)) = syslog(line) {
            return Self::plain(level, message);
        }
        if let Some(structured) = structured(line) {
            return structured;
        }
        match find_level(line) {
            // The message without the level, which is shown beside it.
            Some(FoundLevel { level, rest: Some(rest) }) if !rest.is_empty() => Self::plain(level, rest),
            Some(FoundLevel { level, .. }) => Self::plain(level, line),
            None => Self::plain(LogLevel::Info, line),
        }
    }

    /// A line that is not JSON.
    fn plain(level: LogLevel, message: &'a str) -> Self {
        Self { level, message: message.into(), trace_id: "".into(), fields: None }
    }
}

/// The level and the text after it, if the line begins with a syslog priority, `<0>` to `<7>`, as in sd-daemon(3).
fn syslog(line: &str) -> Option<(LogLevel, &str)> {
    let (priority, message) = line.strip_prefix('<')?.split_at_checked(1)?;
    let message = message.strip_prefix('>')?;
    let level = match priority.as_bytes()[0] {
        b'0'..=b'3' => LogLevel::Error,
        b'4' => LogLevel::Warn,
        b'5' | b'6' => LogLevel::Info,
        b'7' => LogLevel::Debug,
        _ => return None,
    };
    Some((level, message))
}

/// The line, if it is a JSON object that has a level. Message and trace id are taken from their keys; the other keys
/// become fields. Without a message, the message is the whole line, and there are no fields. A trace id over 256 bytes
/// stays a field.
fn structured(line: &str) -> Option<CapturedLine<'_>> {
    const LEVELS: [&str; 7] = ["level", "severity", "lvl", "levelname", "log.level", "loglevel", "LogLevel"];
    const MESSAGES: [&str; 4] = ["msg", "message", "event", "Message"];
    const TRACES: [&str; 3] = ["trace_id", "traceId", "trace.id"];
    if !line.starts_with('{') {
        return None;
    }
    let mut fields: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(line).ok()?;
    let (key, level) = LEVELS.iter().find_map(|key| Some((key, json_level(fields.get(*key)?)?)))?;
    fields.remove(*key);
    let mut take = |keys: &[&str], max_bytes| {
        let (key, text) = keys.iter().find_map(|key| {
            let text: String = serde_json::from_str(fields.get(*key)?.get()).ok()?;
            (text.len() <= max_bytes).then_some((*key, text))
        })?;
        fields.remove(key);
        Some(text)
    };
    let (message, trace_id) = (take(&MESSAGES, usize::MAX), take(&TRACES, MAX_TRACE_ID_BYTES).unwrap_or_default());
    let (message, rest) = match message {
        Some(message) => (message, to_raw_value(&fields).ok()),
        None => in_fields(&mut fields).unwrap_or_else(|| (line.to_owned(), None)),
    };
    let fields = rest.filter(|fields| fields.get() != "{}");
    Some(CapturedLine { level, message: message.into(), trace_id: trace_id.into(), fields })
}

/// The message in the object `fields`, where the crate tracing-subscriber writes it, and the remaining fields of both objects.
/// `None` if it is not there.
fn in_fields(all: &mut BTreeMap<Cow<'_, str>, &RawValue>) -> Option<(String, Option<Box<RawValue>>)> {
    let mut inner: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(all.remove("fields")?.get()).ok()?;
    let message = serde_json::from_str(inner.remove("message")?.get()).ok()?;
    inner.append(all);
    Some((message, to_raw_value(&inner).ok()))
}

/// A level by name or number: numbers up to 7 are those of syslog, higher ones those of pino and bunyan.
fn json_level(value: &RawValue) -> Option<LogLevel> {
    if let Ok(name) = serde_json::from_str::<String>(value.get()) {
        return level_named(&name);
    }
    Some(match serde_json::from_str::<u32>(value.get()).ok()? {
        0..=3 | 50.. => LogLevel::Error,
        4 | 40..50 => LogLevel::Warn,
        5 | 6 | 30..40 => LogLevel::Info,
        7 | 20..30 => LogLevel::Debug,
        8..20 => LogLevel::Trace,
    })
}

/// A level that was found in a line.
struct FoundLevel<'a> {
    level: LogLevel,
    /// The text after the level, if the line begins with the level; otherwise `None`.
    rest: Option<&'a str>,
}

/// Finds the level after a time, a process, a thread or a logger's name, which are skipped word by word. `None` if any other
/// word comes first.
fn find_level(line: &str) -> Option<FoundLevel<'_>> {
    let mut rest = line;
    // Whether a time or brackets were skipped. Otherwise a word may be the first one of a sentence.
    let mut is_header = false;
    for _ in 0..HEAD_WORDS {
        rest = skip_space(rest);
        if line.len() - rest.len() > HEAD_BYTES {
            return None;
        }
        if let Some((level, behind)) = level_at(rest) {
            let is_first = line.len() == rest.len();
            return Some(FoundLevel { level, rest: is_first.then_some(behind) });
        }
        let word = &rest[..rest.find([' ', '\t', '\u{1b}']).unwrap_or(rest.len())];
        let behind = &rest[word.len()..];
        if word.is_empty() {
            return None;
        }
        if is_time(word) {
            is_header = true;
            rest = behind;
        } else if let Some(behind) = in_brackets(rest) {
            if rest.starts_with("(node:") && !is_header {
                return Some(FoundLevel { level: LogLevel::Warn, rest: None });
            }
            is_header = true;
            rest = behind;
        } else if is_header && (is_filler(word) || is_logger(word, behind)) {
            rest = behind;
        } else {
            return None;
        }
    }
    None
}

/// The text without the white space and the colour codes at its beginning.
fn skip_space(text: &str) -> &str {
    let mut text = text.trim_start();
    while let Some(rest) = text.strip_prefix("\u{1b}[")
        && let Some(end) = rest.find(|c: char| !c.is_ascii_digit() && c != ';')
        && rest[end..].starts_with('m')
    {
        text = rest[end + 1..].trim_start();
    }
    text
}

/// The level with which the text begins, and the message after it: `ERROR …`, `Error: …`, `[error] …`, `level=error`,
/// `WARNING:root:…`. `None` if it does not begin with one.
fn level_at(text: &str) -> Option<(LogLevel, &str)> {
    let (named, closing) = match text.as_bytes().first()? {
        b'[' => (&text[1..], Some(']')),
        b'(' => (&text[1..], Some(')')),
        _ => (["level=", "lvl=", "severity="].iter().find_map(|key| text.strip_prefix(key)).unwrap_or(text), None),
    };
    let is_pair = named.len() != text.len() && closing.is_none();
    let named = named.trim_start_matches(if is_pair { '"' } else { ' ' });
    let end = named.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(named.len());
    let (name, behind) = named.split_at(end);
    let level = level_named(name)?;
    if let Some(closing) = closing {
        let behind = behind.trim_start_matches(' ').strip_prefix(closing)?;
        return Some((level, message_of(behind)));
    }
    let is_loud = name.bytes().all(|byte| byte.is_ascii_uppercase());
    let is_level = match behind.chars().next() {
        None | Some(' ' | '\t' | '\u{1b}' | '/' | ']' | '|' | ',') => is_loud || is_pair,
        Some(':') => true,
        Some('"') => is_pair,
        _ => false,
    };
    is_level.then(|| (level, message_of(behind)))
}

/// The message: the text after a level, without the separator.
fn message_of(behind: &str) -> &str {
    let message = skip_space(behind.strip_prefix([':', '"', '|', ',']).unwrap_or(behind));
    ["- ", "| ", ": ", "-- "].iter().find_map(|mark| message.strip_prefix(mark)).unwrap_or(message).trim_start()
}

/// Whether a word is a date or a time, perhaps with a time zone, and perhaps in brackets or quotes.
fn is_time(word: &str) -> bool {
    let time = ["time=", "ts="].iter().find_map(|key| word.strip_prefix(key)).unwrap_or(word);
    let time = time.trim_start_matches(['[', '"']);
    let digits = time.bytes().filter(u8::is_ascii_digit).count();
    let is_of_time = |byte: u8| byte.is_ascii_digit() || b"-/:.,+TZ]\"".contains(&byte);
    let begins = |pattern: &[u8]| {
        let fits = |(byte, of): (u8, &u8)| {
            if *of == b'0' { byte.is_ascii_digit() } else { byte == *of || *of == b'-' && byte == b'/' }
        };
        time.len() >= pattern.len() && time.bytes().zip(pattern).all(fits)
    };
    digits >= 6 && time.bytes().all(is_of_time) && (begins(b"0000-00-00") || begins(b"00:00:00"))
}

/// The text after `[…]` or `(…)`, if it begins with one of them; otherwise `None`.
fn in_brackets(text: &str) -> Option<&str> {
    let closing = match text.as_bytes().first()? {
        b'[' => ']',
        b'(' => ')',
        _ => return None,
    };
    let end = text.find(closing).filter(|end| *end <= HEAD_BYTES)?;
    Some(&text[end + 1..])
}

/// Whether a word is a number, a time zone, or a separator.
fn is_filler(word: &str) -> bool {
    let word = word.trim_end_matches([']', ':', ',']);
    word.bytes().all(|byte| byte.is_ascii_digit() || b"-|:+".contains(&byte)) || word == "UTC" || word == "Z"
}

/// Whether a word is the name of a logger: it has several parts, or ` - ` or ` | ` follows it.
fn is_logger(word: &str, behind: &str) -> bool {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "._-$:/".contains(c);
    let has_parts = word.trim_end_matches([':', '.']).contains(['.', ':']);
    word.chars().all(is_name) && (has_parts || behind.starts_with(" - ") || behind.starts_with(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> (&'static str, String) {
        let captured = CapturedLine::read(line);
        (captured.level.as_str(), captured.message.into_owned())
    }

    #[test]
    fn a_level_before_a_line_is_taken_from_it() {
        for (line, level, message) in [
            ("ERROR no disk", "error", "no disk"),
            ("WARN: hot", "warn", "hot"),
            ("INFO\tready", "info", "ready"),
            ("WARNING:root:the disk is almost full", "warn", "root:the disk is almost full"),
            ("CRITICAL:root:all is lost", "error", "root:all is lost"),
            ("FATAL spoken", "error", "spoken"),
            ("DEBUG - spoken", "debug", "spoken"),
            ("[error] no disk", "error", "no disk"),
            ("[WARNING]: hot", "warn", "hot"),
            ("INFO:     Started server process [1]", "info", "Started server process [1]"),
            ("error: no disk", "error", "no disk"),
            ("Error: Cannot find module 'x'", "error", "Cannot find module 'x'"),
            ("SEVERE: no disk", "error", "no disk"),
            ("<3>no disk", "error", "no disk"),
            ("<4>hot", "warn", "hot"),
            ("<6>ready", "info", "ready"),
            ("<7>detail", "debug", "detail"),
            ("level=error msg=\"no disk\"", "error", "msg=\"no disk\""),
            ("\u{1b}[31mERROR\u{1b}[0m no disk", "error", "\u{1b}[31mERROR\u{1b}[0m no disk"),
            ("ERROR", "error", "ERROR"),
        ] {
            assert_eq!(read(line), (level, message.to_owned()), "{line}");
        }
    }

    #[test]
    fn a_level_behind_a_time_a_thread_or_a_logger_is_read_and_the_line_stays() {
        for (line, level) in [
            // Python.
            ("2026-11-28 10:00:00,123 - root - WARNING - hot", "warn"),
            ("2026-11-28 10:00:00,123 WARNING hot", "warn"),
            ("2026-11-28 10:00:00,123 app.db WARNING hot", "warn"),
            ("[2026-11-28 10:00:00,123] ERROR in app: no disk", "error"),
            ("[2026-11-28 10:00:00 +0000] [1234] [INFO] Booting worker", "info"),
            ("[2026-11-28 10:00:00,123: WARNING/MainProcess] hot", "warn"),
            ("2026-11-28 10:00:00.123 | CRITICAL | __main__:<module>:1 - lost", "error"),
            // log4j, logback, Spring, slf4j-simple.
            ("2026-11-28 10:00:00,123 [main] ERROR com.foo.Bar - no disk", "error"),
            ("10:00:00.123 [main] FATAL com.foo.Bar - no disk", "error"),
            ("2026-11-28T10:00:00.123+01:00  WARN 12345 --- [main] c.f.Bar : hot", "warn"),
            ("[main] ERROR com.foo.Bar - no disk", "error"),
            // Node.js, winston, log4js, pino-pretty.
            ("2026-11-28T10:00:00.123Z [warn]: hot", "warn"),
            ("2026-11-28T10:00:00.123Z error: no disk", "error"),
            ("[2026-11-28T10:00:00.123] [ERROR] default - no disk", "error"),
            ("[10:00:00.123] WARN (1234): hot", "warn"),
            ("(node:1234) [DEP0001] DeprecationWarning: old", "warn"),
            // Rust, Go.
            ("[2026-11-28T10:00:00Z WARN  orders] hot", "warn"),
            ("\u{1b}[2m2026-11-28T10:00:00.123456Z\u{1b}[0m \u{1b}[31mERROR\u{1b}[0m orders: no disk", "error"),
            ("time=2026-11-28T10:00:00Z level=warn msg=hot", "warn"),
            ("2026/11/28 10:00:00 ERROR no disk", "error"),
        ] {
            assert_eq!(read(line), (level, line.to_owned()), "{line}");
        }
    }

    #[test]
    fn what_only_speaks_of_a_level_has_none() {
        for line in [
            "",
            "INFORMATIONAL",
            "error in line 1",
            "Warning lights are on",
            "Fine: that works",
            "no ERROR was found",
            "the job ended: ERROR",
            "2026-11-28 10:00:00 The ERROR was found",
            "2026-11-28 10:00:00 found no ERROR at all",
            "10 ERROR lines",
            "http://example.org/ERROR",
            "GET /error: 200",
            "[1, 2, 3] errors",
            "<8>eight",
            "<12>twelve",
            "<div>",
            "{\"order\":1}",
            "{\"level\":\"loud\",\"msg\":\"x\"}",
            "{\"level\":\"error\"",
        ] {
            assert_eq!(read(line), ("info", line.to_owned()), "{line}");
        }
        let far = format!("[{}] ERROR x", "x".repeat(HEAD_BYTES));
        assert_eq!(read(&far).0, "info");
    }

    #[test]
    fn an_object_with_a_level_is_read_as_its_logger_means_it() {
        let read = |line: &str| {
            let CapturedLine { level, message, trace_id, fields } = CapturedLine::read(line);
            let fields = fields.map(|fields| fields.get().to_owned()).unwrap_or_default();
            (level.as_str(), message.into_owned(), trace_id.into_owned(), fields)
        };
        let is = |level, message: &str, trace_id: &str, fields: &str| {
            (level, message.to_owned(), trace_id.to_owned(), fields.to_owned())
        };
        // pino, bunyan.
        assert_eq!(
            read(r#"{"level":50,"time":1700000000000,"pid":7,"msg":"no disk","free":1.10}"#),
            is("error", "no disk", "", r#"{"free":1.10,"pid":7,"time":1700000000000}"#)
        );
        assert_eq!(read(r#"{"level":20,"msg":"d"}"#), is("debug", "d", "", ""));
        assert_eq!(read(r#"{"level":60,"msg":"f"}"#), is("error", "f", "", ""));
        // winston with syslog's numbers, python-json-logger, Google's, zap, structlog, ECS.
        assert_eq!(read(r#"{"level":4,"message":"hot"}"#), is("warn", "hot", "", ""));
        assert_eq!(
            read(r#"{"levelname":"CRITICAL","message":"lost","name":"root"}"#),
            is("error", "lost", "", r#"{"name":"root"}"#)
        );
        assert_eq!(read(r#"{"severity":"WARNING","message":"hot","trace_id":"t1"}"#), is("warn", "hot", "t1", ""));
        assert_eq!(read(r#"{"lvl":"warn","msg":"hot"}"#), is("warn", "hot", "", ""));
        assert_eq!(read(r#"{"level":"error","event":"no disk"}"#), is("error", "no disk", "", ""));
        assert_eq!(
            read(r#"{"log.level":"error","message":"no disk","trace.id":"t2"}"#),
            is("error", "no disk", "t2", "")
        );
        // tracing-subscriber.
        assert_eq!(
            read(r#"{"level":"ERROR","fields":{"message":"no disk","free":1},"target":"orders"}"#),
            is("error", "no disk", "", r#"{"free":1,"target":"orders"}"#)
        );
        // A text that is too long for a trace id stays a field.
        let long = format!(r#"{{"trace_id":"{}"}}"#, "t".repeat(MAX_TRACE_ID_BYTES + 1));
        let line = format!(r#"{{"level":"warn","msg":"hot",{}"#, &long[1..]);
        assert_eq!(read(&line), is("warn", "hot", "", &long));
        // An object without a message is its own message, whole.
        let line = r#"{"level":"warn","fields":{"free":1},"msg":{"a":1}}"#;
        assert_eq!(read(line), is("warn", line, "", ""));
    }
}
