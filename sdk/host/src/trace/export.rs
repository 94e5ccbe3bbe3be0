//! Exports spans: they wait in a queue of limited length, from which a thread sends them in batches. One host sends the
//! spans of all modules, but each module appears as a separate service (`service.name`). The protocol is that of the
//! `SpanExporter` that the embedder passes to the host.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as SyncMutex};
use std::time::Duration;

use ixt_protocol::LogLevel;
use opentelemetry::{Key, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, ShouldSample, SpanData, SpanExporter, SpanProcessor as _,
};
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use super::SpanCounts;
use crate::lock::lock;
use crate::logs::Logs;

/// The key of the attribute with the process that the call was given to, `name:version/instance-NNN`.
pub(super) const INSTANCE: &str = "ixt.instance";

const SERVICE_NAME: &str = "service.name";
const SERVICE_NAMESPACE: &str = "service.namespace";
const SERVICE_VERSION: &str = "service.version";

/// Which spans are made, and how they are exported. Start from [`SpanOptions::default`].
#[derive(Debug)]
#[non_exhaustive]
pub struct SpanOptions {
    /// Decides for which calls and events a span is made; `RecordOnly` counts as `Drop`. By default for all, except
    /// those made for a request that is not sampled.
    pub sampler: Box<dyn ShouldSample>,
    /// Attributes of all modules, in addition to each module's `service.name` and `service.version`, which replace
    /// those given here. Empty by default. If it has a `service.name` but no `service.namespace`, the former becomes
    /// the `service.namespace` of all modules.
    pub resource: Resource,
    /// How many spans may wait to be sent or be on their way: 2,048 by default. Further ones are dropped and counted;
    /// the log says so of the first, and again whenever their number has grown tenfold.
    pub max_queue_size: usize,
    /// How many spans are taken from the queue at once: at most 512 by default. As soon as this many wait, they are
    /// sent. More than [`max_queue_size`](Self::max_queue_size) counts as that. Those of different modules are sent one
    /// request after the other.
    pub max_export_batch_size: usize,
    /// The longest time that a span waits before it is sent: 5 s by default.
    pub schedule_delay: Duration,
    /// The name of the place to which spans are sent, in log messages: `the collector` by default.
    pub destination: String,
}

impl Default for SpanOptions {
    fn default() -> Self {
        Self {
            sampler: Box::new(Sampler::ParentBased(Box::new(Sampler::AlwaysOn))),
            resource: Resource::builder_empty().build(),
            max_queue_size: 2048,
            max_export_batch_size: 512,
            schedule_delay: Duration::from_secs(5),
            destination: "the collector".to_owned(),
        }
    }
}

/// The sampler, and the queue with the thread that sends its spans. There is one per host.
#[derive(Debug)]
pub(super) struct Export {
    pub(super) sampler: Box<dyn ShouldSample>,
    processor: BatchSpanProcessor,
    /// See [`SpanOptions::max_queue_size`].
    max_queue_size: usize,
    tally: Arc<Tally>,
}

/// Counts the spans that wait, were sent and were dropped, and logs when exports begin to fail and when they succeed
/// again.
#[derive(Debug)]
struct Tally {
    /// How many spans were queued and not sent or dropped yet.
    waiting: AtomicUsize,
    /// How many spans were sent.
    sent: AtomicU64,
    drops: SyncMutex<Drops>,
    logs: Logs,
    destination: String,
}

/// The spans that were dropped.
#[derive(Debug, Default)]
struct Drops {
    /// How many spans were dropped since the host started, for any reason.
    count: u64,
    /// While exports fail: the value of `count` when that began. `None` if the last export has succeeded, or there was
    /// none.
    fails_since: Option<u64>,
    /// The value of `count` when it was last logged that the queue is full; 0 before that.
    told: u64,
}

impl Export {
    /// Starts the thread that sends spans to the exporter. To be called within a tokio runtime, in which the exporter
    /// then works.
    pub(super) fn new(exporter: impl SpanExporter + 'static, options: SpanOptions, logs: Logs) -> Self {
        let SpanOptions { sampler, resource, max_queue_size, max_export_batch_size, schedule_delay, destination } =
            options;
        let (waiting, sent, drops) = (AtomicUsize::new(0), AtomicU64::new(0), SyncMutex::default());
        let tally = Arc::new(Tally { waiting, sent, drops, logs, destination });
        let by_module = ByModule {
            exporter: Arc::new(Mutex::new(exporter)),
            resource,
            tally: Arc::clone(&tally),
            runtime: Handle::current(),
        };
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(max_queue_size)
            .with_max_export_batch_size(max_export_batch_size)
            .with_scheduled_delay(schedule_delay);
        let processor = BatchSpanProcessor::builder(by_module).with_batch_config(batches.build()).build();
        Self { sampler, processor, max_queue_size, tally }
    }

    /// Queues a span, or drops and counts it if the queue is full. Does not block.
    pub(super) fn take(&self, span: SpanData) {
        // The processor's own queue has the same length, so that it never drops a span, which it would not count.
        if self.tally.waiting.fetch_add(1, Ordering::Relaxed) >= self.max_queue_size {
            self.tally.waiting.fetch_sub(1, Ordering::Relaxed);
            return self.tally.no_room();
        }
        self.processor.on_end(span);
    }

    /// How many spans were sent and dropped so far.
    pub(super) fn counts(&self) -> SpanCounts {
        SpanCounts { sent: self.tally.sent.load(Ordering::Relaxed), dropped: lock(&self.tally.drops).count }
    }

    /// Sends the spans that wait. Blocks, for 5 s at most; spans that were not sent by then are dropped, counted and
    /// logged.
    pub(super) fn shutdown(&self) {
        let _ = self.processor.shutdown();
        let left = self.tally.waiting.load(Ordering::Relaxed) as u64;
        if left > 0 {
            self.tally.failed(left, "the host has ended before they were sent");
        }
    }
}

impl Tally {
    /// Counts a span that was dropped because the queue is full.
    fn no_room(&self) {
        let mut drops = lock(&self.drops);
        drops.count += 1;
        // Logs the first one, and then each time that ten times as many were dropped. While exports fail, the log says
        // already that spans are dropped.
        if drops.fails_since.is_none() && drops.count >= (drops.told * 10).max(1) {
            drops.told = drops.count;
            let message = format!("spans come faster than they are sent: {} were dropped so far", drops.count);
            drop(drops);
            self.logs.host(LogLevel::Warn, "host", message);
        }
    }

    /// Counts spans that were dropped because an export has failed. Logs the first failure in a row.
    fn failed(&self, spans: u64, error: &str) {
        let mut drops = lock(&self.drops);
        let before = drops.count;
        drops.count += spans;
        if drops.fails_since.is_none() {
            drops.fails_since = Some(before);
            drop(drops);
            let message =
                format!("spans can't be sent to {}, and are dropped until they can: {error}", self.destination);
            self.logs.host(LogLevel::Warn, "host", message);
        }
    }

    /// Counts spans that were sent. Logs that if exports had failed before.
    fn sent(&self, spans: u64) {
        self.sent.fetch_add(spans, Ordering::Relaxed);
        let mut drops = lock(&self.drops);
        if let Some(before) = drops.fails_since.take() {
            let message = format!("spans are sent again; {} were dropped meanwhile", drops.count - before);
            drop(drops);
            self.logs.host(LogLevel::Info, "host", message);
        }
    }
}

/// An exporter that sends the spans of each module separately, with that module's resource.
#[derive(Debug)]
struct ByModule<E> {
    exporter: Arc<Mutex<E>>,
    /// See [`SpanOptions::resource`].
    resource: Resource,
    tally: Arc<Tally>,
    /// Exporters that use the network need a runtime, which the processor's thread does not have.
    runtime: Handle,
}

impl<E: SpanExporter + 'static> SpanExporter for ByModule<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let mut left = batch.len();
        let batches: Vec<_> = by_module(batch).into_iter().map(|(id, spans)| (self.resource_of(&id), spans)).collect();
        for (resource, spans) in batches {
            let (exporter, count) = (Arc::clone(&self.exporter), spans.len());
            let sent = self.runtime.spawn(async move {
                let mut exporter = exporter.lock().await;
                exporter.set_resource(&resource);
                exporter.export(spans).await
            });
            let sent = sent.await.unwrap_or_else(|error| Err(OTelSdkError::InternalFailure(error.to_string())));
            if let Err(error) = sent {
                // Drops the rest of the batch too: it would most likely fail as well, and hold up the spans that come
                // meanwhile.
                self.tally.waiting.fetch_sub(left, Ordering::Relaxed);
                match &error {
                    OTelSdkError::InternalFailure(reason) => self.tally.failed(left as u64, reason),
                    error => self.tally.failed(left as u64, &error.to_string()),
                }
                return Err(error);
            }
            left -= count;
            self.tally.waiting.fetch_sub(count, Ordering::Relaxed);
            self.tally.sent(count as u64);
        }
        Ok(())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.try_lock().map_or(Ok(()), |exporter| exporter.shutdown_with_timeout(timeout))
    }
}

impl<E> ByModule<E> {
    /// The attributes of the module with this `name:version`.
    fn resource_of(&self, id: &str) -> Resource {
        let (name, version) = id.split_once(':').unwrap_or((id, ""));
        let mut attributes: Vec<_> =
            self.resource.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
        if self.resource.get(&Key::new(SERVICE_NAMESPACE)).is_none()
            && let Some(namespace) = self.resource.get(&Key::new(SERVICE_NAME))
        {
            attributes.push(KeyValue::new(SERVICE_NAMESPACE, namespace));
        }
        attributes.push(KeyValue::new(SERVICE_NAME, name.to_owned()));
        attributes.push(KeyValue::new(SERVICE_VERSION, version.to_owned()));
        Resource::builder_empty().with_attributes(attributes).build()
    }
}

/// Groups spans by the `name:version` of their module, which is taken from the attribute [`INSTANCE`].
fn by_module(batch: Vec<SpanData>) -> Vec<(String, Vec<SpanData>)> {
    let mut modules: Vec<(String, Vec<SpanData>)> = Vec::new();
    for span in batch {
        let instance = span.attributes.iter().find(|attribute| attribute.key.as_str() == INSTANCE);
        let instance = instance.map_or_else(Default::default, |instance| instance.value.as_str().into_owned());
        let id = instance.split('/').next().unwrap_or_default();
        match modules.iter_mut().find(|(other, _)| other == id) {
            Some((_, spans)) => spans.push(span),
            None => modules.push((id.to_owned(), vec![span])),
        }
    }
    modules
}
