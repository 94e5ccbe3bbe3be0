//! The host's end of the connection to a module under test: it sends requests, answers the module's own calls, and records its frames. Its
//! task panics if the module breaks the protocol; then every request without a reply ends with `UNAVAILABLE`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ixt_protocol::{
    DEFAULT_MAX_FRAME_BYTES, ErrorBody, Frame, FrameDecoder, Framing, HostFrame, ModuleFrame, Priority, RawFrame,
    Readiness, ServiceRequest, code, deserialize_base64,
};
use serde::Deserialize;
use serde_json::value::to_raw_value;
use serde_json::{Map, Value};
use tokio::sync::{Notify, SetOnce, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::sleep_until;

use super::kv::Store;
use super::observed::{Log, Sent, Starting};
use crate::boxed_future::Boxed;
use crate::error::{Error, Result};
use crate::payload::Payload;
use crate::reply::Reply;
use crate::session::End;
use crate::transport::task_executor::Wire;

/// Answers the calls of one service.
pub(super) type Stub = Box<dyn Fn(Payload) -> Boxed<Result<Reply>> + Send + Sync>;

/// The host's end of the connection.
pub(super) struct HostEnd {
    /// Set when the module's session has ended.
    ended: Arc<SetOnce<End>>,
    /// `None` after [`hang_up`](Self::hang_up): what is sent is dropped.
    to_module: Mutex<Option<mpsc::UnboundedSender<Vec<u8>>>>,
    stubs: HashMap<&'static str, Stub>,
    conversation: Mutex<Conversation>,
    /// Notified when the store was changed: the next expiry may be earlier than before.
    stored: Notify,
}

/// What has passed between the host and the module so far, and the store.
#[derive(Default)]
pub(super) struct Conversation {
    /// The id of the last request; they count from 1.
    last_id: u64,
    /// The requests without a reply, by their ids.
    replies: HashMap<u64, Asked>,
    /// The tasks of stubs that have not answered, by the ids of the module's calls.
    stubbed: HashMap<u64, AbortHandle>,
    pub(super) store: Store,
    pub(super) logs: Vec<Log>,
    /// The calls of other modules.
    pub(super) sent: Vec<Sent>,
    /// The topic and the payload of each event that the module has published.
    pub(super) published: Vec<(String, Vec<u8>)>,
    pub(super) starting: Vec<Starting>,
    /// Whether the last `ready` frame has said false.
    pub(super) is_unready: bool,
    /// Whether the module has ended: no reply will come.
    closed: bool,
    /// The message of a stub that has panicked, with which the next `reply_to` panics. `None` if there is none.
    failure: Option<String>,
}

/// A request without a reply.
struct Asked {
    reply: oneshot::Sender<Result<Reply>>,
    /// The priority that the module's calls for this request inherit. `None` for requests of the host itself.
    priority: Option<Priority>,
}

/// Ends all requests when the module has ended, or when reading from it has panicked.
struct CloseOnDrop(Arc<HostEnd>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        let mut conversation = self.0.conversation();
        conversation.closed = true;
        let replies = std::mem::take(&mut conversation.replies);
        drop(conversation);
        drop(replies);
    }
}

/// The parameters of `message_bus.send` and `event_bus.publish`.
#[derive(Deserialize)]
struct Params {
    topic: String,
    #[serde(deserialize_with = "deserialize_base64")]
    payload: Vec<u8>,
    priority: Option<Priority>,
    ttl_ms: Option<u64>,
}

impl HostEnd {
    /// Runs a module, and the host's end of its connection, as tasks of the current runtime.
    pub(super) fn start(
        wire: Wire,
        module: impl Future<Output = End> + Send + 'static,
        stubs: HashMap<&'static str, Stub>,
        store: Store,
    ) -> Arc<Self> {
        let ended = Arc::new(SetOnce::new());
        let end = Arc::new(Self {
            ended: Arc::clone(&ended),
            to_module: Mutex::new(Some(wire.to_module)),
            stubs,
            conversation: Mutex::new(Conversation { store, ..Conversation::default() }),
            stored: Notify::new(),
        });
        let told = Arc::clone(&ended);
        tokio::spawn(async move { told.set(module.await) });
        tokio::spawn(Arc::clone(&end).read(wire.from_module));
        tokio::spawn({
            let end = Arc::clone(&end);
            async move {
                tokio::select! {
                    _ = end.ended.wait() => {}
                    () = end.expire() => {}
                }
            }
        });
        end
    }

    /// Waits until the module has ended.
    pub(super) async fn ended(&self) -> End {
        *self.ended.wait().await
    }

    /// Waits for a reply. An `error` of the module is an error; `UNAVAILABLE` if the module has ended.
    ///
    /// # Panics
    ///
    /// If a stub has panicked meanwhile, so that the test fails.
    pub(super) async fn reply_to(&self, reply: oneshot::Receiver<Result<Reply>>) -> Result<Reply> {
        let reply = reply.await;
        let failure = self.conversation().failure.take();
        if let Some(failure) = failure {
            panic!("{failure}");
        }
        reply.unwrap_or_else(|_| Err(Error::unavailable("the module has ended")))
    }

    /// Locks the conversation. The guard must not be held while waiting, nor when a method is called that locks it again.
    pub(super) fn conversation(&self) -> MutexGuard<'_, Conversation> {
        self.conversation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request, without waiting. Returns its id, and the receiver of its reply, whose sender is dropped if the module ends.
    pub(super) fn send(&self, body: HostFrame<'_>) -> (u64, oneshot::Receiver<Result<Reply>>) {
        let (sender, reply) = oneshot::channel();
        let mut conversation = self.conversation();
        conversation.last_id += 1;
        let id = conversation.last_id;
        if !conversation.closed {
            let priority = match &body {
                HostFrame::Handle(handle) | HostFrame::Event(handle) => Some(handle.message.priority),
                _ => None,
            };
            conversation.replies.insert(id, Asked { reply: sender, priority });
        }
        drop(conversation);
        self.write(Some(id), body);
        (id, reply)
    }

    /// Sends a `cancel`, if the request has no reply yet.
    pub(super) fn cancel(&self, id: u64) {
        if self.conversation().replies.contains_key(&id) {
            self.write(Some(id), HostFrame::Cancel);
        }
    }

    /// Closes the connection: the module shuts down as if the host were gone.
    pub(super) fn hang_up(&self) {
        *self.to_module.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Sends a frame. Drops it if the connection is closed.
    fn write(&self, id: Option<u64>, body: HostFrame<'_>) {
        let mut bytes = Vec::new();
        Frame { id, body }.write(Framing::Line, &mut bytes);
        if let Some(to_module) = &*self.to_module.lock().unwrap_or_else(PoisonError::into_inner) {
            // Fails if the module has ended; then the request ends as well.
            let _ = to_module.send(bytes);
        }
    }

    /// Calls `act` with the store, and then sends the changes to their watches.
    pub(super) fn with_store<R>(&self, act: impl FnOnce(&mut Store) -> R) -> R {
        let mut conversation = self.conversation();
        let done = act(&mut conversation.store);
        // Under the lock, so that changes arrive in the order in which they were made.
        for change in conversation.store.take_changes() {
            self.write(None, HostFrame::KvChange(change));
        }
        drop(conversation);
        self.stored.notify_one();
        done
    }

    /// Removes keys when they expire, so that watches get the changes. Never returns.
    async fn expire(&self) {
        loop {
            let next = self.conversation().store.next_expiry();
            match next {
                None => self.stored.notified().await,
                Some(next) => tokio::select! {
                    () = sleep_until(next) => self.with_store(Store::expire),
                    () = self.stored.notified() => {}
                },
            }
        }
    }

    /// Reads the module's frames until it has ended. Then every request without a reply ends with `UNAVAILABLE`.
    async fn read(self: Arc<Self>, mut from_module: mpsc::UnboundedReceiver<Vec<u8>>) {
        let _closed = CloseOnDrop(Arc::clone(&self));
        let mut decoder = FrameDecoder::new(DEFAULT_MAX_FRAME_BYTES);
        loop {
            let bytes = tokio::select! {
                // In this order, so that all bytes that the module has written before its end are read.
                biased;
                bytes = from_module.recv() => bytes,
                _ = self.ended.wait() => None,
            };
            let Some(bytes) = bytes else { return };
            decoder.input().extend(bytes);
            while let Some(frame) = decoder.next_frame() {
                let frame = frame.expect("the module writes frames that can be read");
                self.receive(frame);
            }
        }
    }

    /// Records a frame, and answers it if it is a `service_request`.
    fn receive(self: &Arc<Self>, frame: RawFrame<'_>) {
        let Frame { id, body } = ModuleFrame::read(frame).expect("the module writes frames that can be read");
        match body {
            ModuleFrame::Success { data } => self.reply(id, Ok(Reply::new(data.into_owned()))),
            ModuleFrame::Error(error) => self.reply(id, Err(Error::from_body(error))),
            ModuleFrame::Log(log) => {
                let fields = log.fields.and_then(|fields| serde_json::from_str(fields.get()).ok());
                let (message, trace_id) = (log.message.into_owned(), log.trace_id.into_owned());
                self.conversation().logs.push(Log {
                    level: log.level,
                    message,
                    fields: fields.unwrap_or_default(),
                    trace_id,
                });
            }
            ModuleFrame::Starting(starting) => {
                let extend = Duration::from_millis(starting.extend_ms);
                self.conversation().starting.push(Starting { message: starting.message.into_owned(), extend });
            }
            ModuleFrame::Ready(Readiness { ready }) => self.conversation().is_unready = !ready,
            ModuleFrame::Cancel => {
                let stubbed = id.and_then(|id| self.conversation().stubbed.remove(&id));
                if let Some(stubbed) = stubbed {
                    stubbed.abort();
                }
            }
            ModuleFrame::ServiceRequest(request) => {
                let id = id.expect("a service request has an id");
                if request.service == "kv_store" {
                    // Under the lock: the response to a watch has to come before its first change.
                    return self.with_store(|store| {
                        let result = store.request(&request.method, &request.params.to_json());
                        self.respond(id, &result.and_then(|data| Reply::json(&data)));
                    });
                }
                match self.serve(&request) {
                    Served::Now(result) => self.respond(id, &result),
                    Served::Later(answer) => {
                        let this = Arc::clone(self);
                        // Locked before the task is spawned, so that its end finds the entry.
                        let mut conversation = self.conversation();
                        let answer = tokio::spawn(answer);
                        conversation.stubbed.insert(id, answer.abort_handle());
                        tokio::spawn(async move {
                            let result = answer.await;
                            let stubbed = this.conversation().stubbed.remove(&id).is_some();
                            match result {
                                Ok(result) if stubbed => this.respond(id, &result),
                                Err(error) if error.is_panic() => {
                                    this.conversation().failure = Some(format!("a stub has panicked: {error}"));
                                    this.respond(id, &Err(Error::internal("the stub has panicked")));
                                }
                                _ => {}
                            }
                        });
                    }
                }
            }
            unknown => panic!("the test host knows no `{}` frames", unknown.frame_type()),
        }
    }

    /// Passes a reply to the request with this id. Panics if there is none without a reply.
    fn reply(&self, id: Option<u64>, reply: Result<Reply>) {
        let waiting = id.and_then(|id| self.conversation().replies.remove(&id));
        let waiting =
            waiting.unwrap_or_else(|| panic!("the module has answered {id:?}, which is the id of no request"));
        // Fails if the request was cancelled.
        let _ = waiting.reply.send(reply);
    }

    /// Sends the response to the module's call with this id.
    fn respond(&self, id: u64, result: &Result<Reply>) {
        let details;
        let response = match result {
            Ok(reply) => Ok(reply.clone().into_object()),
            Err(error) => {
                details = to_raw_value(error.details()).expect("a map of JSON values is JSON");
                Err(ErrorBody {
                    code: error.code().into(),
                    message: error.message().into(),
                    details: Some(&details),
                    retryable: error.is_retryable(),
                })
            }
        };
        self.write(Some(id), HostFrame::ServiceResponse(response));
    }

    /// Records a call or an event of the module. Returns the response, or the future of the stub. `NOT_FOUND` without a stub,
    /// `UNIMPLEMENTED` for any other service of the host, `INTERNAL` for wrong parameters.
    fn serve(&self, request: &ServiceRequest<'_>) -> Served {
        let now = |result: Result<Value>| Served::Now(result.and_then(|data| Reply::json(&data)));
        let params = request.params.to_json();
        let params = &*params;
        match (&*request.service, &*request.method) {
            ("event_bus", "publish") => now(serde_json::from_str(params).map_err(Error::from).map(|params: Params| {
                self.conversation().published.push((params.topic, params.payload));
                Value::Object(Map::new())
            })),
            ("message_bus", "send") => match serde_json::from_str::<Params>(params) {
                Err(error) => Served::Now(Err(error.into())),
                Ok(Params { topic, payload, priority, ttl_ms }) => {
                    let trace_id = request.context.trace_id.to_string();
                    let mut conversation = self.conversation();
                    let handled = request.context.parent.and_then(|id| conversation.replies.get(&id)?.priority);
                    let priority = priority.or(handled).unwrap_or_default();
                    let sent = Sent { topic: topic.clone(), payload: payload.clone(), priority, ttl_ms, trace_id };
                    conversation.sent.push(sent);
                    drop(conversation);
                    match self.stubs.get(&*topic) {
                        Some(stub) => Served::Later(stub(payload.into())),
                        None => Served::Now(Err(Error::not_found(format!("the test has no stub for `{topic}`")))),
                    }
                }
            },
            (service, method) => {
                let message = format!("the test host has no {service}.{method}");
                Served::Now(Err(Error::new(code::UNIMPLEMENTED, message)))
            }
        }
    }
}

/// The response to a call of the module.
enum Served {
    Now(Result<Reply>),
    /// A stub's future.
    Later(Boxed<Result<Reply>>),
}
