//! What a host counts, in the text format of Prometheus (exposition format 0.0.4). Whoever serves it over HTTP asks for
//! [`render`] each time.

use std::fmt::Write as _;

use crate::{ModuleStatus, State};

/// The `Content-Type` of [`render`]'s text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The state of a host's modules, as [`Host::status`](crate::Host::status) gives it.
///
/// ```
/// assert!(ixt_host::metrics::render(&[]).contains("# TYPE ixt_calls_total counter\n"));
/// ```
#[must_use]
pub fn render(modules: &[ModuleStatus]) -> String {
    let mut text = String::new();
    let instances =
        || modules.iter().flat_map(|module| module.instances.iter().map(move |instance| (module, instance)));
    let topics = || modules.iter().flat_map(|module| module.topics.iter().map(move |topic| (module, topic)));

    head(&mut text, "ixt_instance_ready", "gauge", "Whether a process of a module takes calls.");
    for (module, instance) in instances() {
        let ready = u8::from(instance.state == State::Ready);
        line(&mut text, "ixt_instance_ready", &[("module", &module.name), ("instance", &instance.id)], ready);
    }
    head(&mut text, "ixt_instance_failed", "gauge", "Whether a process has failed and is not started again.");
    for (module, instance) in instances() {
        let failed = u8::from(instance.state == State::Failed);
        line(&mut text, "ixt_instance_failed", &[("module", &module.name), ("instance", &instance.id)], failed);
    }
    head(&mut text, "ixt_instance_healthy", "gauge", "What the last health check of a process gave.");
    for (module, instance) in instances() {
        if let Some(healthy) = instance.healthy {
            let labels = [("module", module.name.as_str()), ("instance", instance.id.as_str())];
            line(&mut text, "ixt_instance_healthy", &labels, u8::from(healthy));
        }
    }
    head(&mut text, "ixt_instance_restarts_total", "counter", "How often a process was started again.");
    for (module, instance) in instances() {
        let labels = [("module", module.name.as_str()), ("instance", instance.id.as_str())];
        line(&mut text, "ixt_instance_restarts_total", &labels, instance.restarts);
    }
    head(&mut text, "ixt_instance_requests_in_flight", "gauge", "How many requests a process has not answered.");
    for (module, instance) in instances() {
        let labels = [("module", module.name.as_str()), ("instance", instance.id.as_str())];
        line(&mut text, "ixt_instance_requests_in_flight", &labels, instance.in_flight);
    }
    head(&mut text, "ixt_calls_total", "counter", "How many calls of a topic have ended.");
    for (module, topic) in topics() {
        line(&mut text, "ixt_calls_total", &[("module", &module.name), ("topic", &topic.topic)], topic.calls);
    }
    head(&mut text, "ixt_call_errors_total", "counter", "How many of them without success.");
    for (module, topic) in topics() {
        line(&mut text, "ixt_call_errors_total", &[("module", &module.name), ("topic", &topic.topic)], topic.errors);
    }
    head(&mut text, "ixt_call_duration_seconds", "summary", "How long calls of a topic took.");
    for (module, topic) in topics() {
        let labels =
            |quantile| [("module", module.name.as_str()), ("topic", topic.topic.as_str()), ("quantile", quantile)];
        line(&mut text, "ixt_call_duration_seconds", &labels("0.5"), topic.p50);
        line(&mut text, "ixt_call_duration_seconds", &labels("0.99"), topic.p99);
        let labels = [("module", module.name.as_str()), ("topic", topic.topic.as_str())];
        line(&mut text, "ixt_call_duration_seconds_sum", &labels, topic.seconds);
        line(&mut text, "ixt_call_duration_seconds_count", &labels, topic.calls);
    }
    head(&mut text, "ixt_events_waiting", "gauge", "How many events wait for a module.");
    for module in modules {
        line(&mut text, "ixt_events_waiting", &[("module", &module.name)], module.events_waiting);
    }
    head(&mut text, "ixt_events_dropped_total", "counter", "How many events a module did not get.");
    for module in modules {
        line(&mut text, "ixt_events_dropped_total", &[("module", &module.name)], module.events_dropped);
    }
    text
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(text: &mut String, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
    // Names of modules and topics hold neither quotes nor backslashes nor line ends: the manifest sees to that.
    let labels: Vec<_> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
    let _ = writeln!(text, "{name}{{{}}} {value}", labels.join(","));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{InstanceStatus, TopicStats};

    #[test]
    fn each_process_topic_and_module_has_its_lines() {
        let instance = |number: u32, state: State, healthy: Option<bool>| InstanceStatus {
            id: format!("m:1.0.0/instance-00{number}"),
            state,
            pid: None,
            restarts: 2,
            in_flight: 3,
            seconds: 1.0,
            healthy,
            health: None,
            reason: None,
            last_lines: Vec::new(),
        };
        let topic = TopicStats { topic: "t".to_owned(), calls: 5, errors: 1, seconds: 2.5, p50: 0.5, p99: 0.75 };
        let module = ModuleStatus {
            name: "m".to_owned(),
            version: "1.0.0".to_owned(),
            instances: vec![instance(1, State::Ready, Some(true)), instance(2, State::Failed, None)],
            topics: vec![topic],
            events_waiting: 6,
            events_dropped: 7,
        };
        let text = render(&[module]);
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            lines,
            [
                r#"ixt_instance_ready{module="m",instance="m:1.0.0/instance-001"} 1"#,
                r#"ixt_instance_ready{module="m",instance="m:1.0.0/instance-002"} 0"#,
                r#"ixt_instance_failed{module="m",instance="m:1.0.0/instance-001"} 0"#,
                r#"ixt_instance_failed{module="m",instance="m:1.0.0/instance-002"} 1"#,
                r#"ixt_instance_healthy{module="m",instance="m:1.0.0/instance-001"} 1"#,
                r#"ixt_instance_restarts_total{module="m",instance="m:1.0.0/instance-001"} 2"#,
                r#"ixt_instance_restarts_total{module="m",instance="m:1.0.0/instance-002"} 2"#,
                r#"ixt_instance_requests_in_flight{module="m",instance="m:1.0.0/instance-001"} 3"#,
                r#"ixt_instance_requests_in_flight{module="m",instance="m:1.0.0/instance-002"} 3"#,
                r#"ixt_calls_total{module="m",topic="t"} 5"#,
                r#"ixt_call_errors_total{module="m",topic="t"} 1"#,
                r#"ixt_call_duration_seconds{module="m",topic="t",quantile="0.5"} 0.5"#,
                r#"ixt_call_duration_seconds{module="m",topic="t",quantile="0.99"} 0.75"#,
                r#"ixt_call_duration_seconds_sum{module="m",topic="t"} 2.5"#,
                r#"ixt_call_duration_seconds_count{module="m",topic="t"} 5"#,
                r#"ixt_events_waiting{module="m"} 6"#,
                r#"ixt_events_dropped_total{module="m"} 7"#,
            ]
        );
    }
}
