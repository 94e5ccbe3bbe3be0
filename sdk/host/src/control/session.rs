//! Serves one connection of the control socket: reads its request, does what it asks for, and writes the replies.

use std::collections::VecDeque;
use std::pin::pin;
use std::process;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ixt_manifest::closest;
use ixt_protocol::{LogLevel, Object, code, decode_base64, encode_base64};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{SetOnce, mpsc};
use tokio::time::timeout;

use crate::budget::{Budget, Reservation};
use crate::call_error::{CallError, ErrorReply};
use crate::connection_limit::{CLIENT_TIMEOUT, ConnectionPermit};
use crate::control::lines::{
    FREE_LINE_BYTES, RequestLine, answer_line, data, hung_up, read_line, refusal, too_much, write, write_line,
};
use crate::control::peer::ControlPeer;
use crate::control::{ControlCommand, ControlReply, HostStatus, LogQuery};
use crate::host::{CallOptions, Host};
use crate::kv::{Change, Entry, KvError, MAX_PAGE_KEYS, SetOptions, check_prefix};
use crate::module::Module;
use crate::release::Notice;

/// One connection of the control socket, with its one request.
pub(super) struct ControlSession {
    pub(super) host: Host,
    /// The process at the other end, which decides what the request may do.
    pub(super) peer: ControlPeer,
    /// Set when a client asks to stop the host.
    pub(super) stop: Arc<SetOnce<()>>,
    /// When the control socket began to listen.
    pub(super) started: Instant,
    /// The connection's place among those that may be open.
    pub(super) permit: ConnectionPermit,
    /// The memory for the requests and replies of all connections.
    pub(super) lines: Arc<Budget>,
}

impl ControlSession {
    /// Reads the request, serves it, and writes the last line. Ends early if the client closes the connection, or the
    /// connection has to make room for another one; what the request was waiting for is then dropped.
    pub(super) async fn run(self, stream: UnixStream) {
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::new(reader);
        let request = tokio::select! {
            request = timeout(CLIENT_TIMEOUT, read_line(&mut reader, &self.lines)) => request,
            () = self.permit.must_close() => return,
        };
        let request = match request {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(_) => {
                let message = format!("the request has not come within {} s", CLIENT_TIMEOUT.as_secs());
                Err(refusal(code::DEADLINE_EXCEEDED, &message))
            }
        };
        let last = match request {
            Err(refusal) => refusal,
            Ok(request) => tokio::select! {
                last = self.permit.while_working(self.answer(request, &mut writer)) => last,
                // The client is gone.
                () = hung_up(reader) => return,
                () = self.permit.must_close() => return,
            },
        };
        let _ = timeout(CLIENT_TIMEOUT, write(&mut writer, &last)).await;
    }

    /// Writes one of many lines. There is no timeout, but while the client does not read it, the connection may be
    /// closed to make room for another one.
    async fn part(&self, writer: &mut OwnedWriteHalf, part: &(impl Serialize + Sync)) -> Result<(), ControlReply> {
        self.permit.while_sending(data(writer, part)).await
    }

    /// Parses and serves the request. Returns the last line; `UNIMPLEMENTED` if the request can't be parsed.
    async fn answer(&self, RequestLine { line, held }: RequestLine, writer: &mut OwnedWriteHalf) -> ControlReply {
        let command = serde_json::from_slice::<ControlCommand>(&line);
        drop(line);
        // The memory of the request stays reserved until it is served.
        let _held = held;
        let command = match command {
            Ok(command) => command,
            Err(error) => {
                let message = format!(
                    "the host (version {}) does not know this request: {error}; is the command of another version?",
                    env!("CARGO_PKG_VERSION")
                );
                return refusal(code::UNIMPLEMENTED, &message);
            }
        };
        match self.command(command, writer).await {
            Ok(()) => ControlReply::Done,
            Err(reply) => reply,
        }
    }

    /// Serves a request, if the peer may make it. Writes the lines with data; the error is the last line.
    async fn command(&self, command: ControlCommand, writer: &mut OwnedWriteHalf) -> Result<(), ControlReply> {
        let host = &self.host;
        self.peer.may(&command).map_err(|reason| refusal(code::PERMISSION_DENIED, &reason))?;
        let kv = host.kv();
        match command {
            ControlCommand::Call { topic, payload, priority, ttl_ms } => {
                let options = CallOptions { priority, ttl: ttl_ms.map(Duration::from_millis) };
                let data = self.call(&topic, &bytes(payload)?, options).await?;
                let held = self.hold(2 * data.bytes())?;
                let line = answer_line(&data);
                drop(data);
                let written = self.last(write_line(writer, line)).await;
                drop(held);
                written
            }
            ControlCommand::Publish { topic, payload } => {
                host.publish_as(self.peer.source(), &topic, &bytes(payload)?).await.map_err(call_error)
            }
            ControlCommand::Status => {
                let status = HostStatus {
                    pid: process::id(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    seconds: self.started.elapsed().as_secs_f64(),
                    modules: host.status(),
                };
                self.last(data(writer, &status)).await
            }
            ControlCommand::Logs(query) => self.logs(&query, writer).await,
            ControlCommand::Restart { module, build } => self.restart(&module, build, writer).await,
            ControlCommand::Stop { module: Some(module) } => host.stop(&module).await.map_err(call_error),
            ControlCommand::Stop { module: None } => {
                let _ = self.stop.set(());
                // Until the host has ended, which closes the connection.
                std::future::pending().await
            }
            ControlCommand::KvGet { module, key } => {
                let entry = kv.get(self.namespace(&module)?, &key).await.map_err(kv_error)?;
                let _held = self.hold(3 * entry.as_ref().map_or(0, |entry| entry.value.len()))?;
                let entry = entry.map(|Entry { value, revision }| (encode_base64(&value), revision));
                match entry {
                    None => self.last(data(writer, &json!({ "found": false }))).await,
                    Some((value, revision)) => {
                        self.last(data(writer, &json!({ "found": true, "value": value, "revision": revision }))).await
                    }
                }
            }
            ControlCommand::KvSet { module, key, value, ttl_ms, expected_revision } => {
                let options = SetOptions { ttl: ttl_ms.map(Duration::from_millis), expected_revision };
                let set = kv.set(self.namespace(&module)?, &key, bytes(value)?, options);
                data(writer, &json!({ "revision": set.await.map_err(kv_error)? })).await
            }
            ControlCommand::KvDelete { module, key, expected_revision } => {
                let deleted = kv.delete(self.namespace(&module)?, &key, expected_revision).await.map_err(kv_error)?;
                data(writer, &json!({ "deleted": deleted })).await
            }
            ControlCommand::KvList { module, prefix } => {
                check_prefix(&prefix).map_err(kv_error)?;
                let namespace = self.namespace(&module)?;
                let mut after = None;
                loop {
                    let page = kv.list(namespace, &prefix, after.as_deref(), MAX_PAGE_KEYS).await.map_err(kv_error)?;
                    for key in &page.keys {
                        self.part(writer, key).await?;
                    }
                    after = page.next;
                    if after.is_none() {
                        return Ok(());
                    }
                }
            }
            ControlCommand::KvWatch { module, prefix } => {
                check_prefix(&prefix).map_err(kv_error)?;
                let mut watch = kv.watch(self.namespace(&module)?, &prefix).await.map_err(kv_error)?;
                // From here on the client misses no change.
                data(writer, &json!({ "watching": prefix })).await?;
                while let Some(Change { key, revision, value }) = watch.next().await {
                    let change = match value {
                        Some(value) => json!({ "key": key, "revision": revision, "value": encode_base64(&value) }),
                        None => json!({ "key": key, "revision": revision, "deleted": true }),
                    };
                    self.part(writer, &change).await?;
                }
                if watch.is_overrun() {
                    let message = "the changes were not read fast enough: some are lost, and the watch has ended";
                    return Err(refusal(code::RESOURCE_EXHAUSTED, message));
                }
                Ok(())
            }
            ControlCommand::KvBackup { path } => {
                data(writer, &json!({ "keys": kv.backup(&path).await.map_err(kv_error)? })).await
            }
        }
    }

    /// Reloads a module. Writes each notice; reports of mistakes are logged too. If the client does not read a notice
    /// within [`CLIENT_TIMEOUT`], the request ends with `CANCELLED`; a restart that has begun goes on.
    async fn restart(&self, module: &str, build: bool, writer: &mut OwnedWriteHalf) -> Result<(), ControlReply> {
        let (sender, mut notices) = mpsc::unbounded_channel();
        let notify = move |notice: Notice| {
            if let Notice::Report(text) = &notice {
                self.host.logs().host(LogLevel::Error, module, text.as_str());
            }
            drop(sender.send(notice));
        };
        let mut restart = pin!(self.host.reload(module, build, &notify));
        let done = loop {
            tokio::select! {
                biased;
                // With a timeout, so that a client that does not read does not hold up the restart.
                Some(notice) = notices.recv() => self.last(data(writer, &notice)).await?,
                done = &mut restart => break done,
            }
        };
        while let Ok(notice) = notices.try_recv() {
            self.last(data(writer, &notice)).await?;
        }
        done.map_err(call_error)
    }

    /// Writes the kept lines of the log that match the query, and new ones if it asks for them.
    async fn logs(&self, query: &LogQuery, writer: &mut OwnedWriteHalf) -> Result<(), ControlReply> {
        if let Some(module) = &query.module {
            self.namespace(module)?;
        }
        let mut follower = self.host.logs().follow(usize::MAX);
        let mut kept = VecDeque::new();
        while let Some(record) = follower.try_next() {
            kept.extend(Some(record).filter(|record| query.matches(record)));
            // `last` counts the lines that match, not those that are looked at.
            if kept.len() > query.last {
                kept.pop_front();
            }
        }
        let held = self.hold(kept.iter().map(|record| record.bytes()).sum())?;
        while let Some(record) = kept.pop_front() {
            self.part(writer, &*record).await?;
        }
        drop(held);
        while query.follow
            && let Some(record) = follower.next().await
        {
            if query.matches(&record) {
                self.part(writer, &*record).await?;
            }
        }
        Ok(())
    }

    /// Reserves memory for a reply of this many bytes, to be kept until it is written. The first [`FREE_LINE_BYTES`]
    /// are free. The error is `RESOURCE_EXHAUSTED`, if there is too little memory.
    fn hold(&self, bytes: usize) -> Result<Reservation, ControlReply> {
        self.lines.take(bytes.saturating_sub(FREE_LINE_BYTES)).ok_or_else(too_much)
    }

    /// Writes a line for which the client has [`CLIENT_TIMEOUT`]. The error is `CANCELLED`, if the client has not read
    /// the line by then or is gone.
    async fn last(&self, write: impl Future<Output = Result<(), ControlReply>>) -> Result<(), ControlReply> {
        let late = || refusal(code::CANCELLED, "the reply was not read in time");
        self.permit.while_sending(timeout(CLIENT_TIMEOUT, write)).await.unwrap_or_else(|_| Err(late()))
    }

    /// Calls a service for the client, after a check of the payload as far as that is possible without the module's
    /// code.
    async fn call(&self, topic: &str, payload: &[u8], options: CallOptions) -> Result<Object<'static>, ControlReply> {
        let provides =
            |module: &Arc<Module>| module.manifest().services.iter().any(|service| service.topic.as_str() == topic);
        let module = self.host.modules().find(provides);
        if let Some(module) = &module {
            module.check_payload(topic, payload).map_err(|error| refusal(code::INVALID_INPUT, &error))?;
        }
        let answer = self.host.call_as(self.peer.source(), topic, payload, options).await;
        answer.map_err(|error| match error {
            CallError::Replied(reply) if module.is_none() => call_error(self.near(topic, reply)),
            error => call_error(error),
        })
    }

    /// Adds the most similar topic to the message of `NOT_FOUND`. Only for operators: a module must not learn which topics
    /// there are.
    fn near(&self, topic: &str, mut reply: ErrorReply) -> CallError {
        let modules: Vec<_> = self.host.modules().collect();
        let services = modules.iter().flat_map(|module| &module.manifest().services);
        let near = closest(topic, services.map(|service| service.topic.as_str()));
        if let Some(near) = near.filter(|_| reply.code == code::NOT_FOUND && self.peer.source().is_none()) {
            reply.message = format!("{}; did you mean `{near}`?", reply.message);
        }
        CallError::Replied(reply)
    }

    /// The key-value namespace of a module, which is its name; `NOT_FOUND` if there is no such module.
    fn namespace<'a>(&self, module: &'a str) -> Result<&'a str, ControlReply> {
        self.host.find(module).map(|_| module).map_err(call_error)
    }
}

/// Decodes base64, and drops the text, which may be large. The error is `INVALID_INPUT`.
#[expect(clippy::needless_pass_by_value, reason = "it is dropped early")]
fn bytes(base64: String) -> Result<Vec<u8>, ControlReply> {
    decode_base64(&base64).map_err(|error| refusal(code::INVALID_INPUT, &error.to_string()))
}

/// The last line for an error of a call; [`CallError::Gone`] becomes `UNAVAILABLE`, retryable.
fn call_error(error: CallError) -> ControlReply {
    match error {
        CallError::Replied(reply) => reply.into(),
        CallError::TooLong { .. } => refusal(code::RESOURCE_EXHAUSTED, &error.to_string()),
        CallError::Gone { reason } => {
            ErrorReply { code: code::UNAVAILABLE.to_owned(), message: reason, details: Value::Null, retryable: true }
                .into()
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn kv_error(error: KvError) -> ControlReply {
    ControlReply::Error {
        code: error.code().to_owned(),
        message: error.to_string(),
        details: Value::Null,
        retryable: error.retryable(),
    }
}
