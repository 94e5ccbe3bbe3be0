//! `ixt call --module`: builds a module (with `--no-build`, finds its program), starts it in a host without a control socket, calls it
//! once, shows its output on stderr, and shuts it down. What comes before the build is in `mod`.

use ixt_host::logs::{Origin, Record};
use ixt_host::text::{harmless, harmless_lines};
use ixt_host::{Build, Builds, CallError, CallOptions, Config, Deployment, Host, LogLevel, Module, RestartPolicy};
use serde_json::{Map, Value};

use crate::args::CallArgs;
use crate::building::{self, OnStderr};
use crate::configuration::HostFile;
use crate::failure::{Failure, Result};
use crate::interrupts::Interrupts;
use crate::output::say;

/// Calls the service, and returns the data of the reply as JSON. `config` and `payload` were checked. The module is started once, and not
/// restarted. A signal during the call shuts the module down in order, and a signal during the shutdown kills it; a signal before the call
/// kills what was started. When this returns, the module's processes have ended or were killed.
///
/// Fails with status 1 if the module or the host answers with an error, such as that the payload is too long for a frame; with 2 if a
/// feature or program does not exist, or the host does not start, for example because its data directory is in use; with 3 if the module
/// can't be built or started, or ends before it answers; with the signal's status after a signal, even if the reply has come. A module that
/// does not end as it should after a reply is a warning on stderr alone.
pub(super) async fn call(module: &Module, config: &Config<'_>, args: &CallArgs, payload: &[u8]) -> Result<String> {
    let mut interrupts = Interrupts::new().map_err(Failure::module)?;
    let mut builds = Builds::new(args.build.build());
    builds.module(module.clone(), Build::default());
    let builds = if args.no_build { builds.without_building() } else { builds };
    let programs = interrupts.or(builds.programs(&OnStderr::new())).await?;
    let programs = programs.map_err(|error| building::failure(&error, &HostFile::default(), &[]))?;
    let [program] = <[_; 1]>::try_from(programs).expect("a module has a program");
    let mut settings = crate::runtime::settings();
    settings.restart = RestartPolicy::never();
    settings.data_dir.clone_from(&args.data_dir);
    let mut builder = Host::builder(settings);
    let mut follower = builder.logs().follow_all();
    let output = tokio::spawn(async move {
        while let Some(record) = follower.next().await {
            if let Some(text) = shown(&record) {
                say(&text);
            }
        }
    });
    let deployment = Deployment::new(module, program, config).map_err(Failure::usage)?;
    builder.module(deployment).map_err(Failure::usage)?;
    let host = builder.start().await.map_err(Failure::usage)?;
    let host = match interrupts.or(host.ready()).await? {
        Ok(()) => host,
        Err(error) => {
            drop(host);
            // The module's own output comes first: it says more than the error.
            let _ = output.await;
            return Err(Failure::module(error.kind()));
        }
    };
    let options = CallOptions { priority: args.priority.into(), ttl: args.ttl };
    let reply = interrupts.or(host.call(&args.request.topic, payload, options)).await;
    let complaints = interrupts.or(host.shutdown()).await?;
    let _ = output.await;
    match reply? {
        Err(CallError::Replied(reply)) => Err(Failure::replied(&reply)),
        Err(error @ CallError::TooLong { .. }) => Err(Failure::usage(error)),
        Err(error) => Err(Failure::module(error)),
        Ok(data) => {
            // The call has succeeded, even if the module did not end as it should.
            for complaint in complaints {
                say(&format!("warning: {}\n", harmless(&complaint)));
            }
            Ok(data.into_json())
        }
    }
}

/// A record of the log as text for people, with its line end: `NAME | LEVEL message fields`. The level is in upper case; output of the
/// level info has none. Further lines of the message, and fields with several lines, are indented below. `None` for a record of the host:
/// what matters of it is in the command's failure.
fn shown(record: &Record) -> Option<String> {
    let name = record.module.split(':').next().unwrap_or_default();
    let level = match (record.origin, record.level) {
        (Origin::Host, _) => return None,
        // What a program prints has no level, unless the line names one.
        (Origin::Stdout | Origin::Stderr, LogLevel::Info) => String::new(),
        (_, level) => format!("{} ", level.as_str().to_uppercase()),
    };
    let (fields, blocks) = fields(record);
    let message = harmless_lines(&record.message, "    ");
    Some(format!("{name} | {level}{message}{}{blocks}\n", harmless(&fields)))
}

/// The fields of a record. First those for its line, as JSON after a space; then those with several lines, such as a backtrace, each as an
/// indented block below the line. Both are empty if there are none. Each field is in one of them, in the order of their names.
fn fields(record: &Record) -> (String, String) {
    let Some(fields) = &record.fields else { return <_>::default() };
    let Ok(Value::Object(all)) = serde_json::from_str(fields.get()) else {
        return (format!(" {fields}"), String::new());
    };
    let has_lines = |value: &Value| value.as_str().is_some_and(|text| text.contains('\n'));
    let (blocks, inline): (Map<_, _>, Map<_, _>) = all.into_iter().partition(|(_, value)| has_lines(value));
    let blocks = blocks.iter().map(|(key, value)| {
        let text = harmless_lines(value.as_str().unwrap_or_default().trim_end(), "        ");
        format!("\n    {}:\n        {text}", harmless(key))
    });
    let fields = if inline.is_empty() { String::new() } else { format!(" {}", Value::Object(inline)) };
    (fields, blocks.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(origin: &str, level: &str, message: &str, fields: &Value) -> Option<String> {
        let record = json!({
            "time": "2026-11-28T10:00:00Z", "level": level, "origin": origin, "module": "m:1.0.0/instance-001",
            "message": message, "fields": fields,
        });
        shown(&serde_json::from_value(record).unwrap())
    }

    #[test]
    fn a_line_has_the_modules_name_and_its_fields() {
        assert_eq!(line("host", "error", "x", &Value::Null), None);
        assert_eq!(line("stdout", "info", "hello", &Value::Null).unwrap(), "m | hello\n");
        assert_eq!(line("stderr", "error", "no disk", &Value::Null).unwrap(), "m | ERROR no disk\n");
        let fields = json!({ "n": 1, "trace": "one\ntwo\n" });
        let expected = "m | INFO a\n    b {\"n\":1}\n    trace:\n        one\n        two\n";
        assert_eq!(line("module", "info", "a\nb", &fields).unwrap(), expected);
        assert!(!line("module", "info", "\u{1b}[2J", &json!({ "k\u{1b}": "v\u{1b}\n" })).unwrap().contains('\u{1b}'));
    }
}
