//! What a running host serves and sends to those who watch it: log files, metrics, health over HTTP, and spans.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use ixt_tests::{Running, actors, ixt, parse};
use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use prost::Message as _;
use rustix::process::Signal;
use serde_json::json;

const A: &str = "[provides]\nservices = [\"a\"]\nevents = [\"e\"]";
const B: &str = "[provides]\nservices = [\"b\"]\n[requires]\nevents = [\"e\"]";

/// The address at which it serves HTTP: `ADDRESS:PORT`.
fn http(running: &mut Running) -> String {
    let note = running.noted("* http://");
    let (address, _) = note.strip_prefix("* http://").and_then(|rest| rest.split_once(' ')).expect("an address");
    address.to_owned()
}

/// The answer to a request for this path with these headers.
fn get(at: &str, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\n{headers}connection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn http_at_loopback_is_for_those_who_ask_by_a_name_of_this_machine() {
    let args = ["--http", "127.0.0.1:0", "--http-host", "metrics.example"];
    let mut running = Running::start(actors(&[("a", A)]), &args);
    running.logged("is ready");
    let at = http(&mut running);
    let own = format!("host: {at}\r\n");
    for headers in [own.as_str(), "host: localhost\r\norigin: http://localhost:3000\r\n", "host: metrics.example:9\r\n"]
    {
        assert!(get(&at, "/metrics", headers).starts_with("HTTP/1.1 200 OK\r\n"), "{headers}");
    }
    for headers in ["host: evil.example\r\n", "", "host: localhost\r\norigin: http://evil.example\r\n"] {
        for path in ["/metrics", "/healthz", "/readyz", "/"] {
            let refused = get(&at, path, headers);
            assert!(refused.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{headers}: {refused}");
            assert!(refused.contains("--http-host NAME") && !refused.contains("ixt_instance_ready"), "{refused}");
        }
    }
    assert_eq!(running.stop(), Some(0));
    let module = running.dir.path().join("modules");
    let output = ixt(running.dir.path(), &["run", module.to_str().unwrap(), "--http-host", "x"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("`--http ADDRESS`, or `[http] address`"), "{output:?}");
}

#[test]
fn the_log_is_written_to_files_and_metrics_are_served() {
    let dir = actors(&[("a", A)]);
    let (logs, config) = (dir.path().join("logs"), dir.path().join("host.toml"));
    fs::write(&config, "log_dir = \"logs\"\n[log]\nfile_size = \"1kB\"\nfiles = 3\ncalls = true\n").unwrap();
    let mut running = Running::start(dir, &["--config", config.to_str().unwrap(), "--http", "127.0.0.1:0"]);
    running.logged("is ready");
    running.ok(&["call", "a", r#"{"do":"print","text":"ERROR no disk","times":12}"#]);
    let line = running.logged("no disk");
    assert_eq!(
        (&line["level"], &line["origin"], &line["module"]),
        (&json!("error"), &json!("stdout"), &json!("a:1.0.0/instance-001"))
    );
    let at = http(&mut running);
    let metrics = get(&at, "/metrics", "host: localhost\r\n");
    assert!(metrics.starts_with("HTTP/1.1 200 OK\r\n"), "{metrics}");
    for line in [
        "\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n",
        "\nixt_log_lines_dropped_total 0\n",
        "\nixt_instance_ready{module=\"a\",module_id=\"a:1.0.0/instance-001\"} 1\n",
        "\nixt_calls_total{module=\"a\",topic=\"a\",kind=\"service\",code=\"OK\"} 1\n",
        "\nixt_call_duration_seconds_count{module=\"a\",topic=\"a\",kind=\"service\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{line:?} is not in {metrics}");
    }
    assert!(!metrics.contains("ixt_spans_"), "there are none");
    assert_eq!(running.stop(), Some(0));
    let files: Vec<_> = fs::read_dir(&logs).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 3, "{files:?}");
    assert!(files.iter().all(|file| fs::metadata(file).unwrap().len() <= 1000), "{files:?}");
    assert!(fs::read_to_string(logs.join("ixt.jsonl")).unwrap().contains("has ended"));
}

#[test]
fn whoever_looks_after_a_host_learns_whether_it_lives_and_is_ready() {
    let dir = actors(&[("a", A), ("b", B)]);
    let config = dir.path().join("host.toml");
    fs::write(&config, "[http]\naddress = \"127.0.0.1:0\"\nnames = [\"probe.example\"]\n").unwrap();
    let mut running = Running::start(dir, &["--config", config.to_str().unwrap()]);
    let at = http(&mut running);
    running.logged("is ready");
    running.logged("is ready");
    let get = |path: &str| {
        let answer = get(&at, path, "host: probe.example\r\n");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse::<u16>().unwrap(), body.to_owned())
    };
    assert_eq!((get("/healthz"), get("/readyz")), ((200, "ok\n".to_owned()), (200, "ok\n".to_owned())));
    let verbose = "[+]host ok\n[+]a ok\n[+]b ok\nreadyz check passed\n".to_owned();
    assert_eq!(get("/readyz?verbose"), (200, verbose));
    running.ok(&["stop", "b"]);
    let failed = "[+]host ok\n[+]a ok\n[-]b failed: b:1.0.0/instance-001: stopped\nreadyz check failed\n".to_owned();
    assert_eq!((get("/healthz").0, get("/readyz")), (200, (503, failed)));
    running.ok(&["restart", "b"]);
    assert_eq!(get("/readyz").0, 200);

    // While it shuts down it lives, and is not ready.
    let busy = running.dir.path().join("modules/a/busy");
    fs::write(&busy, "").unwrap();
    running.signal(Signal::TERM);
    running.noted("* the modules finish what they have begun");
    let (status, reasons) = get("/readyz");
    assert!(status == 503 && reasons.starts_with("[-]host failed: it is shutting down\n"), "{reasons}");
    assert_eq!((get("/healthz").0, get("/metrics").0), (200, 200));
    fs::remove_file(&busy).unwrap();
    assert_eq!(running.ends(), Some(0));
    assert!(TcpStream::connect(&at).is_err());
}

/// Accepts one request to a collector of spans. Returns its head and its content.
fn collect(collector: &TcpListener) -> (String, ExportTraceServiceRequest) {
    let mut stream = BufReader::new(collector.accept().unwrap().0);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(stream.read_line(&mut head).unwrap() > 0, "{head}");
    }
    let head = head.to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").unwrap();
    (head, ExportTraceServiceRequest::decode(&*body).unwrap())
}

#[test]
fn spans_go_where_the_standard_variables_of_opentelemetry_say() {
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/", collector.local_addr().unwrap());
    let dir = actors(&[("a", A), ("b", B)]);
    let modules = dir.path().join("modules");
    let command = {
        let dir = dir.path();
        let mut command = ixt(dir, &["run", modules.to_str().unwrap(), "--ephemeral"]);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint);
        command.env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20s3cret");
        command.env("OTEL_SERVICE_NAME", "shop");
        command.env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test");
        command
    };
    let mut running = Running::spawn(dir, command);
    let told = format!("* spans are sent to {endpoint}v1/traces");
    assert_eq!(running.noted("* spans are sent to "), told);
    running.logged("is ready");
    running.logged("is ready");
    let told = parse(&running.ok(&["call", "a", r#"{"do":"call","topic":"b","with":{"do":"tell"}}"#]));
    let traceparent = told["data"]["context"]["traceparent"].as_str().unwrap().to_owned();
    let collecting = std::thread::spawn(move || [collect(&collector), collect(&collector)]);
    assert_eq!(running.stop(), Some(0));
    let mut spans = Vec::new();
    for (head, request) in collecting.join().unwrap() {
        assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
        assert!(head.contains("\r\nauthorization: bearer s3cret\r\n"), "{head}");
        assert!(head.contains("\r\ncontent-type: application/x-protobuf\r\n"), "{head}");
        let [of_module] = &request.resource_spans[..] else { panic!("{request:?}") };
        let attributes = format!("{:?}", of_module.resource);
        for part in ["shop", "deployment.environment.name", "1.0.0", "telemetry.sdk.name"] {
            assert!(attributes.contains(part), "{part} is not in {attributes}");
        }
        let name = of_module.resource.as_ref().unwrap().attributes.iter().find(|it| it.key == "service.name");
        let Some(AnyValue::StringValue(name)) = name.and_then(|it| it.value.clone()?.value) else {
            panic!("{attributes}")
        };
        let [scope] = &of_module.scope_spans[..] else { panic!("{request:?}") };
        let [span] = &scope.spans[..] else { panic!("{request:?}") };
        assert!(scope.schema_url.starts_with("https://opentelemetry.io/schemas/"), "{scope:?}");
        spans.push((name, span.clone()));
    }
    spans.sort_by(|(one, _), (other, _)| one.cmp(other));
    let [(a, outer), (b, inner)] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((a.as_str(), b.as_str(), &outer.name, &inner.name), ("a", "b", &"a".to_owned(), &"b".to_owned()));
    assert_eq!((&inner.parent_span_id, &inner.trace_id), (&outer.span_id, &outer.trace_id));
    let trace_id = TraceId::from_bytes(inner.trace_id[..].try_into().unwrap());
    let span_id = SpanId::from_bytes(inner.span_id[..].try_into().unwrap());
    assert_eq!(traceparent, format!("00-{trace_id}-{span_id}-01"));
}

#[test]
fn a_variable_of_opentelemetry_that_can_not_be_kept_to_is_told_before_anything_runs() {
    let dir = actors(&[("a", A)]);
    let modules = dir.path().join("modules");
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
    for (variable, value, told) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "OTEL_EXPORTER_OTLP_PROTOCOL is `grpc`: expected `http/protobuf`"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "PROTOCOL is `http/json`: expected `http/protobuf`"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://user:s3cret@x/v1", "the scheme `http`, and not `https`"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://[s3cret", "the URL to which spans are to be sent can't be read"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=b,x y=s3cret", "OTEL_EXPORTER_OTLP_HEADERS can't be read"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "OTEL_EXPORTER_OTLP_TIMEOUT is `10s`: expected milliseconds"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "OTEL_TRACES_EXPORTER is `zipkin`: expected `otlp` or `none`"),
        ("OTEL_TRACES_SAMPLER", "xray", "OTEL_TRACES_SAMPLER is `xray`: expected `always_on`"),
        ("OTEL_TRACES_SAMPLER", "parentbased_xray", "OTEL_TRACES_SAMPLER is `xray`: expected `always_on`"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "OTEL_BSP_MAX_QUEUE_SIZE is `0`: expected a number, 1 or more"),
        ("OTEL_SDK_DISABLED", "yes", "OTEL_SDK_DISABLED is `yes`: expected `true` or `false`"),
    ] {
        let mut command = ixt(dir.path(), &["run", modules.to_str().unwrap(), "--ephemeral"]);
        let output = command.envs([endpoint, (variable, value)]).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{variable}={value}: {error}");
        assert!(error.starts_with("error: ") && error.contains(told), "{variable}={value}: {error}");
        assert!(output.stdout.is_empty() && !error.contains("s3cret"), "{error}");
    }
    let ratio = [endpoint, ("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "2")];
    let output = ixt(dir.path(), &["run", modules.to_str().unwrap(), "--ephemeral"]).envs(ratio).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("OTEL_TRACES_SAMPLER_ARG is `2`"), "{output:?}");

    // Nothing is printed, and no host is asked.
    let off = [endpoint, ("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_SAMPLER", "xray")];
    let command = {
        let dir = dir.path();
        let mut command = ixt(dir, &["run", modules.to_str().unwrap(), "--ephemeral"]);
        command.envs(off);
        command
    };
    let mut running = Running::spawn(dir, command);
    running.logged("is ready");
    let told = parse(&running.ok(&["call", "a", r#"{"do":"tell"}"#]));
    assert_eq!(told["context"].get("traceparent"), None);
    assert_eq!(running.stop(), Some(0));
}
