//! Tests of a connection, in which the test sends and receives the module's frames.

mod handshake;
mod own_calls;
mod requests;
mod unreadable;

use ixt_protocol::{FrameDecoder, Framing, Object, Priority, WirePayload};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::*;
use crate::bus::{CallHandle, CallResult};
use crate::topic_kind::TopicKind;

/// The module's end of the socket.
pub(crate) struct Peer {
    stream: UnixStream,
    decoder: FrameDecoder,
}

impl Peer {
    /// Waits for the next frame of the host, and returns it as JSON.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            if let Some(frame) = self.decoder.next_frame() {
                return serde_json::from_slice(frame.unwrap().json).unwrap();
            }
            assert_ne!(self.stream.read_buf(self.decoder.input()).await.unwrap(), 0, "the host has hung up");
        }
    }

    pub(crate) async fn send(&mut self, json: &str) {
        self.stream.write_all(format!("{json}\n").as_bytes()).await.unwrap();
    }
}

/// The host's services. Sends the test a line for each request, log line and complaint.
struct Heard(mpsc::UnboundedSender<String>);

impl Services for Heard {
    fn request(
        &self,
        connection: &Arc<Connection>,
        id: Option<u64>,
        request: ServiceRequest<'_>,
        batch: &mut WriteBatch,
    ) {
        let begun = connection.begin_call(id);
        self.0.send(format!("{}.{} {id:?} {begun}", request.service, request.method)).unwrap();
        match &*request.method {
            "echo" => {
                connection.end_call(id, Ok(request.params), batch);
            }
            "much" => {
                connection.end_call(id, Ok(Object::empty().attach("a", vec![0; FRAME_LIMIT])), batch);
            }
            _ => {}
        }
    }

    fn log(&self, log: &LogFrame<'_>) {
        self.0.send(format!("log: {}", log.message)).unwrap();
    }

    fn complain(&self, complaint: &str) {
        self.0.send(complaint.to_owned()).unwrap();
    }
}

const FRAME_LIMIT: usize = 1000;

fn limits(max_frame_bytes: usize) -> ConnectionLimits {
    let (waiting, shared) = (Budget::new(64 << 20), SharedLimits::default());
    ConnectionLimits { max_frame_bytes, waiting, shared, overdue_after: Duration::from_secs(15) }
}

pub(crate) struct Opened {
    pub(crate) connection: Arc<Connection>,
    pub(crate) peer: Peer,
    heard: mpsc::UnboundedReceiver<String>,
}

impl Connection {
    /// Waits until the module has replied to all its requests.
    pub(crate) async fn idle(&self) {
        while self.in_flight() > 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// A reply for a call, and the receiver of its result as text.
pub(crate) fn caller() -> (ReplyTo, oneshot::Receiver<String>) {
    let (sender, answer) = oneshot::channel();
    let reply = ReplyTo::new(move |answer, _| {
        let _ = sender.send(match answer {
            CallResult::Lost { reason, .. } => format!("lost: {reason}"),
            answer => match answer.into_result() {
                Ok(data) => data.to_json().into_owned(),
                Err(error) => format!("{}: {} ({})", error.code, error.message, error.retryable),
            },
        });
    });
    (reply, answer)
}

impl Opened {
    /// The lines of [`Heard`] since the last call.
    fn heard(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.heard.try_recv().ok()).collect()
    }

    /// Sends the module a call. Returns its handle, and the receiver of its result as text.
    fn call(&self, topic: &Arc<ModuleTopic>, message: Envelope<'static>) -> (CallHandle, oneshot::Receiver<String>) {
        let (reply, answer) = caller();
        let sent = self.connection.send_message(
            HostRequest::Handle,
            message,
            topic,
            reply,
            Instant::now(),
            &mut WriteBatch::none(),
        );
        (sent.unwrap_or_else(|_| panic!("it takes nothing")), answer)
    }
}

fn options(config: &RawValue) -> InitOptions<'_> {
    InitOptions { config, framing: Framing::Line, progress: watch::Sender::default() }
}

/// Opens a connection whose module sends `reply` to `init`.
pub(crate) async fn open(reply: &str, max_frame_bytes: usize) -> Result<Opened, CallError> {
    open_with(reply, max_frame_bytes, CallLog::default()).await
}

pub(crate) async fn open_with(reply: &str, max_frame_bytes: usize, calls: CallLog) -> Result<Opened, CallError> {
    let (here, there) = UnixStream::pair().unwrap();
    let (sender, heard) = mpsc::unbounded_channel();
    let config = serde_json::value::to_raw_value(&json!({ "a": 1 })).unwrap();
    let mut peer = Peer { stream: there, decoder: FrameDecoder::new(1 << 20) };
    let limits = limits(max_frame_bytes);
    let opening = Connection::open(
        here,
        "m:1.0.0/instance-001".into(),
        options(&config),
        limits,
        Heard(sender),
        Spans::default(),
        calls,
    );
    let answering = async {
        let init = peer.next().await;
        assert_eq!((&init["type"], &init["id"], &init["config"]), (&json!("init"), &json!(1), &json!({ "a": 1 })));
        assert_eq!(init["protocol"]["max_frame_bytes"], max_frame_bytes);
        peer.send(reply).await;
    };
    let (connection, ()) = tokio::join!(opening, answering);
    Ok(Opened { connection: connection?, peer, heard })
}

pub(crate) const WITH_IDS: &str = r#"{"type":"success","id":1,"data":{}}"#;
pub(crate) const WITHOUT_IDS: &str = r#"{"type":"success","data":{}}"#;

fn topic() -> Arc<ModuleTopic> {
    Arc::new(ModuleTopic::new(TopicKind::Service, "t"))
}

fn message(payload: &str) -> Envelope<'static> {
    let payload = WirePayload::from(payload.as_bytes().to_vec());
    Envelope { priority: Priority::High, ..Envelope::new("t", payload, "caller:1.0.0", "trace") }
}
