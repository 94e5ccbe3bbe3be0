//! The host's metrics in Prometheus' text format (exposition format 0.0.4). The library only makes the text: the
//! program that serves it over HTTP, such as `ixt run --http`, calls [`render`] for each request.

use std::fmt::{Display, Write as _};
use std::time::SystemTime;

use ixt_manifest::text::harmless;

use crate::host::Host;
use crate::stats::{DURATION_BOUNDS, TopicStats};
use crate::status::{InstanceState, InstanceStatus, ModuleStatus};
use crate::trace::SpanCounts;

/// The value of the HTTP header `Content-Type` for the text of [`render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Returns the current values of all metrics: of the host, its modules, their processes and their topics. Counters
/// count from the start of the host, except for those of a process, which begin at 0 again when the module is restarted
/// by hand. The metrics of spans are only there with an exporter. Each line has a line end, also the last one. Does not
/// wait for any process. The names and labels are in the [guide](crate::guide).
#[must_use]
pub fn render(host: &Host) -> String {
    let mut text = String::new();
    let started = host.started().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    head(&mut text, "ixt_build_info", "gauge", "1, with the version of the host.");
    line(&mut text, "ixt_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    head(&mut text, "ixt_start_time_seconds", "gauge", "When the host was started, in seconds since 1970.");
    line(&mut text, "ixt_start_time_seconds", &[], started.as_secs_f64());
    let dropped = "How many lines of the log were dropped for the terminal or the log files, which were too slow.";
    head(&mut text, "ixt_log_lines_dropped_total", "counter", dropped);
    line(&mut text, "ixt_log_lines_dropped_total", &[], host.logs().missed());
    if let Some(SpanCounts { sent, dropped }) = host.spans().counts() {
        head(&mut text, "ixt_spans_sent_total", "counter", "How many spans the collector has accepted.");
        line(&mut text, "ixt_spans_sent_total", &[], sent);
        let help = "How many spans were lost: the collector did not accept them, or too many waited to be sent.";
        head(&mut text, "ixt_spans_dropped_total", "counter", help);
        line(&mut text, "ixt_spans_dropped_total", &[], dropped);
    }
    render_modules(&mut text, &host.status());
    text
}

/// Writes the metrics of modules, then of their processes, then of their topics.
fn render_modules(text: &mut String, modules: &[ModuleStatus]) {
    let mut of_modules = |name, kind, help, value: &dyn Fn(&ModuleStatus) -> u64| {
        head(text, name, kind, help);
        for module in modules {
            line(text, name, &[("module", &module.name)], value(module));
        }
    };
    let help = "Whether a module takes calls, that is at least one of its processes does.";
    of_modules("ixt_module_ready", "gauge", help, &|module| module.is_ready().into());
    let help = "How many calls wait for a module, and events in the queue of one of its processes.";
    of_modules("ixt_calls_waiting", "gauge", help, &|module| module.calls_waiting);
    let help = "How many events wait for a module, until a process takes them.";
    of_modules("ixt_events_waiting", "gauge", help, &|module| module.events_waiting);
    let help = "How many events for a module were dropped, or lost with the process that had them.";
    of_modules("ixt_events_dropped_total", "counter", help, &|module| module.events_dropped);

    let mut of_instances = |name, kind, help, value: &dyn Fn(&InstanceStatus) -> Option<u64>| {
        head(text, name, kind, help);
        for (module, instance) in modules.iter().flat_map(|module| module.instances.iter().map(move |it| (module, it)))
        {
            if let Some(value) = value(instance) {
                // Prometheus uses the label `instance` for the host itself.
                line(text, name, &[("module", &module.name), ("module_id", &instance.id)], value);
            }
        }
    };
    let help = "Whether a process runs.";
    of_instances("ixt_instance_up", "gauge", help, &|it| Some(it.pid.is_some().into()));
    let help = "Whether the state of a process is `ready`: it has replied to `init`.";
    of_instances("ixt_instance_ready", "gauge", help, &|it| Some((it.state == InstanceState::Ready).into()));
    let help = "Whether a process has failed and is not started again.";
    of_instances("ixt_instance_failed", "gauge", help, &|it| Some((it.state == InstanceState::Failed).into()));
    let help = "Whether a process passed its last health check; absent before the first.";
    of_instances("ixt_instance_healthy", "gauge", help, &|it| it.healthy.map(u64::from));
    let help = "How often a process was started again.";
    of_instances("ixt_instance_restarts_total", "counter", help, &|it| Some(it.restarts));
    let help = "How many requests a process has not replied to.";
    of_instances("ixt_instance_requests_in_flight", "gauge", help, &|it| Some(it.in_flight));

    let topics = || modules.iter().flat_map(|module| module.topics.iter().map(move |topic| (module, topic)));
    let name = "ixt_calls_total";
    let help = "How many calls of a service, or events that a module takes, have ended, by error code; OK is success.";
    head(text, name, "counter", help);
    for (module, topic) in topics() {
        let [module, topic_label, kind] = topic_labels(module, topic);
        let labels = |code| [module, topic_label, kind, ("code", code)];
        line(text, name, &labels("OK"), topic.calls - topic.errors);
        for (code, count) in &topic.codes {
            line(text, name, &labels(code), count);
        }
    }
    let help =
        "How long calls took, from when they were given to a process until their callers had a result or gave up.";
    head(text, "ixt_call_duration_seconds", "histogram", help);
    for (module, topic) in topics() {
        let labels = topic_labels(module, topic);
        let mut bucket = |bound: &str, count| {
            line(text, "ixt_call_duration_seconds_bucket", &[labels[0], labels[1], labels[2], ("le", bound)], count);
        };
        for (bound, count) in DURATION_BOUNDS.iter().zip(&topic.durations) {
            bucket(&bound.to_string(), *count);
        }
        bucket("+Inf", topic.taken);
        line(text, "ixt_call_duration_seconds_sum", &labels, topic.seconds);
        line(text, "ixt_call_duration_seconds_count", &labels, topic.taken);
    }
}

/// The labels of a topic. A module may have a service and an event of one name, which only the kind tells apart.
fn topic_labels<'a>(module: &'a ModuleStatus, topic: &'a TopicStats) -> [(&'static str, &'a str); 3] {
    [("module", &module.name), ("topic", &topic.topic), ("kind", topic.kind.as_str())]
}

/// Writes the lines before the samples of a metric. Only the name of a counter ends with `_total`.
fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    debug_assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// Writes one sample. `labels` are names and unescaped values.
fn line(text: &mut String, name: &str, labels: &[(&str, &str)], value: impl Display) {
    text.push_str(name);
    for (at, (label, value)) in labels.iter().enumerate() {
        let before = if at == 0 { '{' } else { ',' };
        let _ = write!(text, "{before}{label}=\"{}\"", escaped(value));
    }
    text.push_str(if labels.is_empty() { "" } else { "}" });
    let _ = writeln!(text, " {value}");
}

/// Escapes the value of a label. Modules choose their error codes, which may contain any character.
fn escaped(value: &str) -> String {
    harmless(value).replace('\\', r"\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::time::Duration;

    use super::*;
    use crate::stats::Stats;
    use crate::topic_kind::TopicKind;

    fn module(code: &str) -> ModuleStatus {
        let instance = |number: u32, state: InstanceState, healthy: Option<bool>| InstanceStatus {
            id: format!("m:1.0.0/instance-00{number}"),
            state,
            takes_calls: state == InstanceState::Ready,
            starting: None,
            pid: (state == InstanceState::Ready).then_some(7),
            restarts: 2,
            in_flight: 3,
            seconds: 1.0,
            healthy,
            health: None,
            reason: None,
            last_lines: Vec::new(),
        };
        let stats = Stats::new();
        stats.finished(Duration::from_micros(250), None);
        stats.finished(Duration::from_millis(250), None);
        stats.finished(Duration::from_secs(200), Some(code));
        stats.refused("UNAVAILABLE");
        ModuleStatus {
            name: "m".to_owned(),
            version: "1.0.0".to_owned(),
            instances: vec![instance(1, InstanceState::Ready, Some(true)), instance(2, InstanceState::Failed, None)],
            topics: vec![stats.snapshot(TopicKind::Service, "t")],
            calls_waiting: 4,
            events_waiting: 6,
            events_dropped: 7,
        }
    }

    #[test]
    fn each_process_topic_and_module_has_its_lines() {
        let mut text = String::new();
        render_modules(&mut text, &[module("NO")]);
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let buckets =
            |line: &&&str| line.contains("_bucket{") && !line.contains("+Inf") && !line.contains(r#"le="0.25""#);
        assert_eq!(lines.iter().filter(buckets).count(), DURATION_BOUNDS.len() - 1);
        assert_eq!(
            lines.iter().filter(|line| !buckets(line)).copied().collect::<Vec<_>>(),
            [
                r#"ixt_module_ready{module="m"} 1"#,
                r#"ixt_calls_waiting{module="m"} 4"#,
                r#"ixt_events_waiting{module="m"} 6"#,
                r#"ixt_events_dropped_total{module="m"} 7"#,
                r#"ixt_instance_up{module="m",module_id="m:1.0.0/instance-001"} 1"#,
                r#"ixt_instance_up{module="m",module_id="m:1.0.0/instance-002"} 0"#,
                r#"ixt_instance_ready{module="m",module_id="m:1.0.0/instance-001"} 1"#,
                r#"ixt_instance_ready{module="m",module_id="m:1.0.0/instance-002"} 0"#,
                r#"ixt_instance_failed{module="m",module_id="m:1.0.0/instance-001"} 0"#,
                r#"ixt_instance_failed{module="m",module_id="m:1.0.0/instance-002"} 1"#,
                r#"ixt_instance_healthy{module="m",module_id="m:1.0.0/instance-001"} 1"#,
                r#"ixt_instance_restarts_total{module="m",module_id="m:1.0.0/instance-001"} 2"#,
                r#"ixt_instance_restarts_total{module="m",module_id="m:1.0.0/instance-002"} 2"#,
                r#"ixt_instance_requests_in_flight{module="m",module_id="m:1.0.0/instance-001"} 3"#,
                r#"ixt_instance_requests_in_flight{module="m",module_id="m:1.0.0/instance-002"} 3"#,
                r#"ixt_calls_total{module="m",topic="t",kind="service",code="OK"} 2"#,
                r#"ixt_calls_total{module="m",topic="t",kind="service",code="NO"} 1"#,
                r#"ixt_calls_total{module="m",topic="t",kind="service",code="UNAVAILABLE"} 1"#,
                r#"ixt_call_duration_seconds_bucket{module="m",topic="t",kind="service",le="0.25"} 2"#,
                r#"ixt_call_duration_seconds_bucket{module="m",topic="t",kind="service",le="+Inf"} 3"#,
                r#"ixt_call_duration_seconds_sum{module="m",topic="t",kind="service"} 200.25025"#,
                r#"ixt_call_duration_seconds_count{module="m",topic="t",kind="service"} 3"#,
            ]
        );
    }

    #[test]
    fn it_is_prometheus_text_whatever_the_code_of_an_error_is() {
        for code in ["NO", "\"} 1\nevil{a=\"b", "back\\slash", "\\\"", "\r\u{2028}\u{0}é", ""] {
            let mut text = String::new();
            render_modules(&mut text, &[module(code), ModuleStatus { name: "other".to_owned(), ..module(code) }]);
            let families = read(&text);
            assert_eq!(families["ixt_calls_total"].kind, "counter");
            let codes: BTreeSet<_> =
                families["ixt_calls_total"].samples.iter().map(|(labels, _)| labels["code"].as_str()).collect();
            assert_eq!(codes, BTreeSet::from(["OK", "UNAVAILABLE", &harmless(code)]));
        }
    }

    #[test]
    fn a_service_and_an_event_of_one_name_are_two_series() {
        let mut module = module("NO");
        let event = TopicStats { kind: TopicKind::Event, ..module.topics[0].clone() };
        module.topics.push(event);
        let mut text = String::new();
        render_modules(&mut text, &[module]);
        let families = read(&text);
        let kinds: BTreeSet<_> =
            families["ixt_calls_total"].samples.iter().map(|(labels, _)| labels["kind"].as_str()).collect();
        assert_eq!(kinds, BTreeSet::from(["event", "service"]));
    }

    #[derive(Default)]
    struct Read {
        kind: String,
        /// The samples by their labels. The label `suffix` is what follows the family's name in the sample's name.
        samples: Vec<(BTreeMap<String, String>, f64)>,
    }

    /// Reads the text, and checks it as strictly as the page of the format and the naming rules demand.
    fn read(text: &str) -> BTreeMap<String, Read> {
        assert!(text.ends_with('\n'), "the last line has an end");
        let is_name = |name: &str| {
            name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                && !name.starts_with(|c: char| c.is_ascii_digit())
        };
        let mut families = BTreeMap::<String, Read>::new();
        let mut lines = text.split_terminator('\n').peekable();
        while let Some(help) = lines.next() {
            let (name, help) = help.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')).expect(help);
            assert!(is_name(name) && !help.contains('\\'), "{name}: {help}");
            let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {name} ")).expect(name).to_owned();
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
            let mut family = Read { kind, ..Read::default() };
            while let Some(sample) = lines.next_if(|line| !line.starts_with('#')) {
                let (before, rest) = sample.split_at(sample.find(['{', ' ']).expect(sample));
                let suffix = before.strip_prefix(name).expect(sample);
                let suffixes: &[_] = if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
                assert!(suffixes.contains(&suffix), "{sample}");
                let (mut labels, rest) = labels(rest);
                assert!(labels.keys().all(|label| is_name(label) && !label.starts_with("__")), "{sample}");
                labels.insert("suffix".to_owned(), suffix.to_owned());
                let value = rest.strip_prefix(' ').expect(sample).parse().expect(sample);
                assert!(family.samples.iter().all(|(others, _)| *others != labels), "twice: {sample}");
                family.samples.push((labels, value));
            }
            if family.kind == "histogram" {
                check_histogram(&family);
            }
            assert!(families.insert(name.to_owned(), family).is_none(), "{name} twice");
        }
        families
    }

    /// Reads the labels `{name="value",…}`, if there are any. Returns them and the text that follows.
    fn labels(text: &str) -> (BTreeMap<String, String>, &str) {
        let mut labels = BTreeMap::new();
        let Some(mut rest) = text.strip_prefix('{') else { return (labels, text) };
        loop {
            let (name, value) = rest.split_once("=\"").expect(text);
            let (mut read, mut chars) = (String::new(), value.chars());
            loop {
                match chars.next().expect(text) {
                    '"' => break,
                    '\\' => read.push(match chars.next().expect(text) {
                        'n' => '\n',
                        c @ ('\\' | '"') => c,
                        c => panic!("no escape: \\{c} in {text}"),
                    }),
                    c => read.push(c),
                }
            }
            assert!(labels.insert(name.to_owned(), read).is_none(), "{name} twice: {text}");
            match chars.next() {
                Some(',') => rest = chars.as_str(),
                Some('}') => return (labels, chars.as_str()),
                c => panic!("{c:?} after a label of {text}"),
            }
        }
    }

    /// Checks that the buckets of each set of labels are cumulative, and that the last of them is the count.
    fn check_histogram(family: &Read) {
        let mut sets = BTreeMap::<_, Vec<_>>::new();
        for (labels, value) in &family.samples {
            let mut labels = labels.clone();
            let (suffix, bound) = (labels.remove("suffix").unwrap(), labels.remove("le"));
            assert_eq!(suffix == "_bucket", bound.is_some());
            sets.entry(labels).or_default().push((suffix, bound, *value));
        }
        for set in sets.into_values() {
            let [buckets @ .., (sum, ..), (count, _, all)] = &set[..] else { panic!("{set:?}") };
            assert_eq!((sum.as_str(), count.as_str()), ("_sum", "_count"));
            let bounds: Vec<f64> =
                buckets.iter().map(|(_, bound, _)| bound.as_ref().unwrap().replace('+', "").parse().unwrap()).collect();
            assert!(bounds.is_sorted_by(|a, b| a < b) && bounds.last() == Some(&f64::INFINITY), "{bounds:?}");
            assert!(buckets.is_sorted_by_key(|(_, _, value)| *value), "{set:?}");
            assert_eq!(buckets.last().map(|(_, _, value)| value), Some(all));
        }
    }
}
