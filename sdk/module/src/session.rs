//! A module's life on one connection: `init`, requests, `shutdown`. Reads frames, starts what they ask for, and never
//! waits for it: the reader is always ready for the next frame.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ixt_protocol::{
    DEFAULT_MAX_FRAME_BYTES, Frame, FrameTooLong, HostFrame, Init, LineDecoder, PROTOCOL_VERSION, SdkInfo, Unreadable,
    code,
};
use serde_json::json;
use serde_json::value::to_raw_value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::call::Calls;
use crate::config::read_config;
use crate::in_flight::InFlight;
use crate::module::{Call, Module};
use crate::outgoing::{Outgoing, Reply};
use crate::panic::caught;
use crate::{Context, Error, Payload, Result, Runtime, log_error};

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The host shut the module down, or is gone, and the module closed what it had open.
    Clean,
    /// `init` or `shutdown` failed; the host was told why.
    Failed,
}

/// How long a module has to finish when its host is gone or names no time.
const DEFAULT_GRACE: Duration = Duration::from_secs(5);

/// Serves the host at the other end of the connection until one of the two ends it.
///
/// `module_id` is this process's id, for a host that doesn't tell it in `init`.
pub(crate) async fn serve<M: Module>(
    module_id: String,
    mut reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin + Send + 'static,
) -> End {
    let (outgoing, write_replies) = Outgoing::new(writer, DEFAULT_MAX_FRAME_BYTES);
    let writer = tokio::spawn(write_replies);
    let outgoing = Arc::new(outgoing);
    let (ended, mut end) = mpsc::unbounded_channel();
    let mut session = Session::<M> {
        module_id,
        decoder_limit: DEFAULT_MAX_FRAME_BYTES,
        stage: Stage::Connected,
        handler: Arc::new(OnceLock::new()),
        in_flight: Arc::new(InFlight::new(Arc::clone(&outgoing))),
        calls: Arc::new(Calls::new(Arc::clone(&outgoing))),
        outgoing,
        ended,
    };

    let mut decoder = LineDecoder::new(DEFAULT_MAX_FRAME_BYTES);
    let mut host_gone = false;
    let end = loop {
        while let Some(line) = decoder.next_frame() {
            session.receive(line);
        }
        decoder.set_max_frame_bytes(session.decoder_limit);
        tokio::select! {
            // Cancel-safe: what was read is in the decoder, or was not read.
            read = reader.read_buf(decoder.input()), if !host_gone => {
                if !matches!(read, Ok(1..)) {
                    host_gone = true;
                    session.calls.close();
                    session.shutdown(Cause::HostGone, None);
                }
            }
            Some(ended) = end.recv() => match ended {
                // The shutdown that has begun ends the session, and answers first.
                Ended::Init if session.stage == Stage::ShuttingDown => {}
                Ended::Init => break End::Failed,
                Ended::Shutdown(end) => break end,
            },
        }
    };

    session.in_flight.abort_all(&Err(shutting_down())).await;
    // What the module still asks in the background would wait for ever.
    session.calls.close();
    session.outgoing.close();
    // A host that doesn't read any more isn't waited for.
    let _ = timeout(DEFAULT_GRACE, writer).await;
    end
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connected,
    /// `init` was received. Whether it is done tells the handler, which is there or not.
    Initialized,
    ShuttingDown,
}

/// What can end a session.
enum Ended {
    /// `init` has failed and was answered.
    Init,
    /// The shutdown is done and was answered.
    Shutdown(End),
}

/// Why a module shuts down.
#[derive(Clone, Copy)]
enum Cause {
    Asked { id: Option<u64> },
    HostGone,
}

struct Session<M: Module> {
    module_id: String,
    decoder_limit: usize,
    stage: Stage,
    handler: Arc<OnceLock<Arc<M::Handler>>>,
    in_flight: Arc<InFlight>,
    calls: Arc<Calls>,
    outgoing: Arc<Outgoing>,
    ended: mpsc::UnboundedSender<Ended>,
}

impl<M: Module> Session<M> {
    fn receive(&mut self, line: std::result::Result<&[u8], FrameTooLong>) {
        let frame = match line.map(HostFrame::read) {
            Ok(Ok(frame)) => frame,
            Ok(Err(unreadable)) => return self.unreadable(&unreadable),
            Err(too_long) => return log_error(format!("{too_long}; it was skipped")),
        };
        let Frame { id, body } = frame;
        match body {
            HostFrame::Init(init) => self.init(id, &init),
            HostFrame::Shutdown(shutdown) => {
                self.shutdown(Cause::Asked { id }, shutdown.grace_ms.map(Duration::from_millis));
            }
            HostFrame::Cancel => {
                let cancelled = Error::new(code::CANCELLED, "the caller gave up");
                if let Some(id) = id {
                    self.in_flight.abort(id, &Err(cancelled));
                }
            }
            HostFrame::Handle(handle) => match self.ready() {
                Err(error) => self.outgoing.reply(id, &Err(error)),
                Ok(handler) => {
                    let context = Context::new(id, &handle, &self.calls);
                    let payload = Payload::from(handle.message.payload.into_owned());
                    self.in_flight.spawn(id, handle_message::<M>(Call { handler, payload, context }));
                }
            },
            HostFrame::Event(event) => match self.ready() {
                Err(error) => self.outgoing.reply(id, &Err(error)),
                Ok(handler) => {
                    let context = Context::new(id, &event, &self.calls);
                    let payload = Payload::from(event.message.payload.into_owned());
                    self.in_flight.spawn(id, handle_event::<M>(Call { handler, payload, context }));
                }
            },
            HostFrame::ServiceResponse(response) => {
                let response = response.map(ToOwned::to_owned).map_err(Error::from_body);
                if !self.calls.respond(id, response) {
                    log_error("skipped a response that nobody waits for");
                }
            }
            HostFrame::HealthCheck => match self.ready() {
                Err(error) => self.outgoing.reply(id, &Err(error)),
                Ok(handler) => self.in_flight.spawn(id, async move {
                    let health = caught("the health check", M::health_check(&handler)).await;
                    Ok(to_raw_value(&health.unwrap_or_else(Into::into))?)
                }),
            },
        }
    }

    fn unreadable(&self, unreadable: &Unreadable) {
        let reply = match unreadable {
            Unreadable::Invalid { id, kind, error } if kind == "service_response" => {
                // It ends its call; its id is none of the host's.
                let error = Error::internal(format!("the host's response is wrong: {error}"));
                if !self.calls.respond(*id, Err(error)) {
                    log_error(format!("skipped what the host sent: {unreadable}"));
                }
                return;
            }
            Unreadable::Invalid { id: Some(id), error, .. } => {
                Some((*id, Error::invalid_json("the frame is wrong", error)))
            }
            Unreadable::UnknownType { id: Some(id), .. } => {
                Some((*id, Error::new(code::UNIMPLEMENTED, unreadable.to_string())))
            }
            _ => None,
        };
        match reply {
            Some((id, error)) => self.outgoing.reply(Some(id), &Err(error)),
            None => log_error(format!("skipped what the host sent: {unreadable}")),
        }
    }

    /// The handler, if requests can be taken now.
    fn ready(&self) -> Result<Arc<M::Handler>> {
        match (self.stage, self.handler.get()) {
            (Stage::ShuttingDown, _) => Err(shutting_down()),
            (_, Some(handler)) => Ok(Arc::clone(handler)),
            (_, None) => Err(Error::new(code::FAILED_PRECONDITION, "the module has not answered `init` yet")),
        }
    }

    fn init(&mut self, id: Option<u64>, init: &Init<'_>) {
        if self.stage != Stage::Connected {
            let error = Error::new(code::FAILED_PRECONDITION, "`init` comes once, as the first frame");
            return self.outgoing.reply(id, &Err(error));
        }
        self.stage = Stage::Initialized;
        let start = self.read_init(init);
        let (handler, ended) = (Arc::clone(&self.handler), self.ended.clone());
        let work = async move {
            let (config, runtime) = start?;
            let started = caught("`init`", M::init(config, runtime)).await;
            // Before the reply, so that whoever has read it can call.
            let _ = handler.set(Arc::new(started.inspect_err(|error| log_causes("`init`", error))?));
            let sdk = concat!("ixt-sdk-rust/", env!("CARGO_PKG_VERSION")).to_owned();
            Ok(to_raw_value(&json!({ "ixt": SdkInfo { protocol: PROTOCOL_VERSION, sdk } }))?)
        };
        self.in_flight.spawn_then(id, work, move |reply| {
            if reply.is_err() {
                let _ = ended.send(Ended::Init);
            }
        });
    }

    fn read_init(&mut self, init: &Init<'_>) -> Result<(M::Config, Runtime)> {
        if let Some(protocol) = &init.protocol {
            if protocol.version != PROTOCOL_VERSION {
                let message = format!(
                    "the host speaks version {} of the protocol, this module version {PROTOCOL_VERSION}",
                    protocol.version
                );
                return Err(Error::new(code::FAILED_PRECONDITION, message));
            }
            self.decoder_limit = protocol.max_frame_bytes;
            self.outgoing.set_max_frame_bytes(protocol.max_frame_bytes);
        }
        let module_id = if init.module_id.is_empty() { &self.module_id } else { &*init.module_id };
        Ok((read_config(init.config.get())?, Runtime::new(module_id, &self.calls)))
    }

    /// Stops taking requests, lets those in flight finish, closes the handler, answers if there is someone to answer,
    /// and ends the session. Half of the time is for the requests, the rest for the handler.
    fn shutdown(&mut self, cause: Cause, grace: Option<Duration>) {
        if self.stage == Stage::ShuttingDown {
            if let Cause::Asked { id } = cause {
                self.outgoing.reply(id, &Err(shutting_down()));
            }
            return;
        }
        self.stage = Stage::ShuttingDown;
        let grace = grace.unwrap_or(DEFAULT_GRACE);
        let (in_flight, outgoing) = (Arc::clone(&self.in_flight), Arc::clone(&self.outgoing));
        let (handler, ended) = (Arc::clone(&self.handler), self.ended.clone());
        tokio::spawn(async move {
            if timeout(grace / 2, in_flight.idle()).await.is_err() {
                in_flight.abort_all(&Err(shutting_down())).await;
            }
            // Not looked up before: `init` may be among the requests that were waited for.
            let closed = match handler.get() {
                None => Ok(()),
                Some(handler) => {
                    let close = timeout(grace / 2, caught("`shutdown`", M::shutdown(handler)));
                    close.await.unwrap_or_else(|_| {
                        Err(Error::new(code::DEADLINE_EXCEEDED, format!("`shutdown` took more than {:?}", grace / 2)))
                    })
                }
            };
            if let Err(error) = &closed {
                log_error(format!("`shutdown` failed: {error}"));
                log_causes("`shutdown`", error);
            }
            let end = if closed.is_ok() { End::Clean } else { End::Failed };
            if let Cause::Asked { id } = cause {
                outgoing.reply(id, &closed.and_then(|()| Ok(to_raw_value(&json!({}))?)));
            }
            let _ = ended.send(Ended::Shutdown(end));
        });
    }
}

async fn handle_message<M: Module>(call: Call<M::Handler>) -> Reply {
    let context = call.context.clone();
    let name = format!("the handler of `{}`", context.topic());
    let result = caught(&name, async {
        let topic = context.topic().parse().map_err(|unknown| unknown_topic::<M>(&unknown))?;
        M::handle(topic, call).await
    })
    .await;
    if let Err(error) = &result {
        log_causes(&name, error);
    }
    result
}

async fn handle_event<M: Module>(call: Call<M::Handler>) -> Reply {
    let context = call.context.clone();
    let name = format!("the handler of the event `{}`", context.topic());
    let result = caught(&name, async {
        let event = M::EVENTS.binary_search(&context.topic()).map_err(|_| {
            let message = format!("the module `{}` does not take the event `{}`", M::NAME, context.topic());
            Error::new(code::UNKNOWN_TOPIC, message)
        })?;
        M::handle_event(event, call).await
    })
    .await;
    if let Err(error) = &result {
        log_error(format!("{name} failed: {error}"));
        log_causes(&name, error);
    }
    result
}

fn unknown_topic<M: Module>(unknown: &crate::UnknownTopic) -> Error {
    Error::new(code::UNKNOWN_TOPIC, format!("the module `{}` does not provide `{}`", M::NAME, unknown.topic()))
}

fn shutting_down() -> Error {
    Error::unavailable("the module is shutting down")
}

/// The caller gets an unexpected error's message; what stands behind it is for the log.
fn log_causes(what: &str, error: &Error) {
    let causes = error.causes();
    if !causes.is_empty() {
        log_error(format!("{what} failed: {error}; caused by: {}", causes.join("; caused by: ")));
    }
}
