//! Exports spans to an OpenTelemetry collector, if `--otlp` or the standard `OTEL_…` variables ask for it: this file reads the options, and
//! `ixt_host` makes the spans. A variable that is read here and whose value `ixt` can't follow is an error, so that spans never go to
//! another place, or are other spans, than was meant. There are three exceptions: compression, of which there is none, is a warning; a
//! batch size above the queue's is lowered to that; and of `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`, what can't be read is
//! ignored. Variables are read at the start, once.

use std::env;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use hyper::Uri;
use hyper::header::HeaderName;
use ixt_host::{HostBuilder, SpanOptions};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{Sampler, ShouldSample};

use crate::output::say;

/// Makes the host export spans, if the command line or a variable asks for it. `url` is the value of `--otlp`. Returns a sentence that says
/// where they go, without a password, a query or a line end; `None` if no spans are exported. Does not connect: whether the collector
/// answers shows later, in the log. Call it within a runtime. Fails if a variable or the URL is wrong; the scheme has to be `http`.
pub(super) fn export_spans(builder: &mut HostBuilder, url: Option<&str>) -> Result<Option<String>> {
    let Some(endpoint) = endpoint(url)? else { return Ok(None) };
    check_protocol()?;
    check_headers()?;
    // It may contain a password, so that errors don't quote it.
    let uri: Uri = endpoint.parse().context("the URL to which spans are to be sent can't be read")?;
    let Some(authority) = uri.authority().filter(|_| uri.scheme_str() == Some("http")) else {
        let scheme = uri.scheme_str().unwrap_or("none");
        bail!(
            "spans are sent to a URL with the scheme `http`, and not `{scheme}`: let a collector beside the host pass them on to \
             one that is elsewhere"
        );
    };
    let exporter = SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary);
    let timeout = of_both("TIMEOUT", milliseconds)?.unwrap_or(Duration::from_secs(10));
    let exporter = exporter.with_endpoint(&endpoint).with_timeout(timeout).build();
    let mut options = SpanOptions::default();
    options.sampler = sampler()?;
    options.resource = resource();
    options.max_queue_size = variable("OTEL_BSP_MAX_QUEUE_SIZE", positive)?.unwrap_or(options.max_queue_size);
    let batch = variable("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", positive)?.unwrap_or(options.max_export_batch_size);
    options.max_export_batch_size = batch.min(options.max_queue_size);
    options.schedule_delay = variable("OTEL_BSP_SCHEDULE_DELAY", milliseconds)?.unwrap_or(options.schedule_delay);
    let without_password = authority.as_str().rsplit('@').next().unwrap_or_default();
    options.destination = format!("http://{without_password}{}", uri.path());
    let destination = format!("spans are sent to {}", options.destination);
    builder.spans(exporter.context("spans can't be sent")?, options);
    Ok(Some(destination))
}

/// The URL that spans are sent to: that of the command line as it is, or else that of the variables, to which `/v1/traces` is added if it
/// is for all signals. `None` if spans are not asked for; also with `OTEL_SDK_DISABLED=true`, even with `--otlp`, and without `--otlp` with
/// `OTEL_TRACES_EXPORTER=none`. The URL is not parsed here.
fn endpoint(url: Option<&str>) -> Result<Option<String>> {
    if variable("OTEL_SDK_DISABLED", boolean)?.unwrap_or(false) {
        return Ok(None);
    }
    let otlp = match set("OTEL_TRACES_EXPORTER")?.as_deref() {
        Some("none") if url.is_none() => return Ok(None),
        Some("none") | None => false,
        Some("otlp") => true,
        Some(other) => bail!("OTEL_TRACES_EXPORTER is `{other}`: expected `otlp` or `none`"),
    };
    if let Some(url) = url {
        return Ok(Some(url.to_owned()));
    }
    if let Some(url) = set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")? {
        return Ok(Some(url));
    }
    let base = set("OTEL_EXPORTER_OTLP_ENDPOINT")?.or_else(|| otlp.then(|| "http://localhost:4318".to_owned()));
    Ok(base.map(|base| format!("{}/v1/traces", base.trim_end_matches('/'))))
}

/// Refuses a protocol other than `http/protobuf`, the one that is built in. Warns on stderr if a compression other than `none` is asked
/// for, since nothing is compressed.
fn check_protocol() -> Result<()> {
    let expected = |protocol: &str| match protocol {
        "http/protobuf" => Ok(()),
        _ => Err("expected `http/protobuf`, in which alone spans are sent"),
    };
    of_both("PROTOCOL", expected)?;
    let compression = of_both("COMPRESSION", |compression| Ok::<_, &str>(compression.to_owned()))?;
    if compression.is_some_and(|compression| compression != "none") {
        say("warning: OTEL_EXPORTER_OTLP_COMPRESSION: spans are sent without compression\n");
    }
    Ok(())
}

/// Refuses headers of the variables that can't be parsed, which the exporter would ignore. The exporter reads them itself. The error does
/// not show values, which are often secret.
fn check_headers() -> Result<()> {
    let is_header =
        |header: &str| header.split_once('=').is_some_and(|(name, _)| HeaderName::from_str(name.trim()).is_ok());
    for name in ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"] {
        let headers = set(name)?.unwrap_or_default();
        if !headers.split_terminator(',').all(is_header) {
            bail!("{name} can't be read: expected `NAME=VALUE,…`, with a header's name");
        }
    }
    Ok(())
}

/// Which traces are exported, by `OTEL_TRACES_SAMPLER`. The default is all, unless the caller has decided otherwise.
/// `OTEL_TRACES_SAMPLER_ARG`, a ratio from 0 to 1, is read for `traceidratio` alone; without it the ratio is 1.
fn sampler() -> Result<Box<dyn ShouldSample>> {
    let root = |sampler: &str| -> Result<Sampler> {
        Ok(match sampler {
            "always_on" => Sampler::AlwaysOn,
            "always_off" => Sampler::AlwaysOff,
            "traceidratio" => {
                let ratio = variable("OTEL_TRACES_SAMPLER_ARG", |text| match text.parse() {
                    Ok(ratio @ 0.0..=1.0) => Ok(ratio),
                    _ => Err("expected a part of all traces, from 0.0 to 1.0"),
                });
                Sampler::TraceIdRatioBased(ratio?.unwrap_or(1.0))
            }
            _ => bail!(
                "OTEL_TRACES_SAMPLER is `{sampler}`: expected `always_on`, `always_off` or `traceidratio`, or one of these after \
                 `parentbased_`"
            ),
        })
    };
    let sampler = set("OTEL_TRACES_SAMPLER")?.unwrap_or_else(|| "parentbased_always_on".to_owned());
    Ok(Box::new(match sampler.strip_prefix("parentbased_") {
        Some(sampler) => Sampler::ParentBased(Box::new(root(sampler)?)),
        None => root(&sampler)?,
    }))
}

/// The attributes of every span's resource, which the host completes with the module: those of the SDK, of `OTEL_RESOURCE_ATTRIBUTES` and
/// of `OTEL_SERVICE_NAME`, which wins. Without the variables there is no name of a service.
fn resource() -> Resource {
    let detectors: [Box<dyn opentelemetry_sdk::resource::ResourceDetector>; 2] =
        [Box::new(TelemetryResourceDetector), Box::new(EnvResourceDetector::new())];
    let resource = Resource::builder_empty().with_detectors(&detectors);
    match env::var("OTEL_SERVICE_NAME") {
        Ok(name) if !name.is_empty() => resource.with_service_name(name).build(),
        _ => resource.build(),
    }
}

/// The value of `OTEL_EXPORTER_OTLP_TRACES_` and `what`, which is for spans, or else of `OTEL_EXPORTER_OTLP_` and `what`, which is for all
/// signals of OpenTelemetry. `None` if both are unset or empty. The second is not read if the first has a value, even a wrong one.
fn of_both<T, E: Display>(what: &str, read: impl Fn(&str) -> Result<T, E>) -> Result<Option<T>> {
    match variable(&format!("OTEL_EXPORTER_OTLP_TRACES_{what}"), &read)? {
        Some(value) => Ok(Some(value)),
        None => variable(&format!("OTEL_EXPORTER_OTLP_{what}"), &read),
    }
}

/// The value of a variable as `read` makes it of the text without spaces around it; `None` if it is unset or empty, which is the same for
/// OpenTelemetry. The error has the name, the text, and what `read` says.
fn variable<T, E: Display>(name: &str, read: impl Fn(&str) -> Result<T, E>) -> Result<Option<T>> {
    let Some(text) = set(name)? else { return Ok(None) };
    read(text.trim()).map(Some).map_err(|error| anyhow!("{name} is `{text}`: {error}"))
}

/// The text of a variable; `None` if it is unset or empty. It is an error if it is not UTF-8.
fn set(name: &str) -> Result<Option<String>> {
    match env::var(name) {
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => Ok(Some(text)),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => bail!("{name} is not UTF-8"),
    }
}

/// A duration in milliseconds, 1 or more. A unit is an error.
fn milliseconds(text: &str) -> Result<Duration, &'static str> {
    positive(text).map(|millis| Duration::from_millis(millis as u64)).map_err(|_| "expected milliseconds, 1 or more")
}

/// A number, 1 or more.
fn positive(text: &str) -> Result<usize, &'static str> {
    text.parse().ok().filter(|number| *number > 0).ok_or("expected a number, 1 or more")
}

/// `true` or `false`, in upper or lower case. Anything else is an error, also `1`.
fn boolean(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("expected `true` or `false`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_variables_are_checked() {
        assert_eq!(milliseconds("250"), Ok(Duration::from_millis(250)));
        assert!(["0", "-1", "10s", ""].iter().all(|text| milliseconds(text).is_err()));
        assert_eq!((boolean("TRUE"), boolean("false")), (Ok(true), Ok(false)));
        assert!(boolean("1").is_err());
    }
}
