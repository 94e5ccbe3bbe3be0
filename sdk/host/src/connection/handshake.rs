//! The `init` handshake: what the host offers, and what follows from the module's reply.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ixt_protocol::{
    ErrorBody, Framing, Init, MAX_LENGTH_FRAME_BYTES, ModuleFrame, Object, PROTOCOL_VERSION, ProtocolOffer, SdkInfo,
    code,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::{oneshot, watch};

use super::Connection;
use super::incoming::NextStep;
use super::init_timeout::StartProgress;
use super::request_table::INIT_ID;
use crate::call_error::ErrorReply;
use crate::lock::lock;

/// The features that every module is offered.
const FEATURES: [&str; 4] = ["log", "starting", "ready", "draining"];

/// What is needed to greet a module.
pub(crate) struct InitOptions<'a> {
    /// The module's configuration, as `init` carries it.
    pub(crate) config: &'a RawValue,
    /// The framing in which the host begins; the module may pick another one in its reply.
    pub(crate) framing: Framing,
    /// Gets what the module says of its start, until it replies.
    pub(crate) progress: watch::Sender<StartProgress>,
}

/// Where the outcome of the handshake goes.
pub(super) type InitReply = oneshot::Sender<Result<(), ErrorReply>>;

pub(super) fn init<'a>(config: &'a RawValue, id: &'a Arc<str>, max_frame_bytes: usize) -> Init<'a> {
    let offer = ProtocolOffer {
        version: PROTOCOL_VERSION,
        max_frame_bytes,
        framings: offered(max_frame_bytes).iter().map(|framing| framing.as_str().to_owned()).collect(),
        features: FEATURES.map(str::to_owned).to_vec(),
    };
    Init { config, module_id: (&**id).into(), protocol: Some(offer) }
}

/// The framings that a module may pick: `length` has an upper limit for frames of its own.
pub(super) fn offered(max_frame_bytes: usize) -> &'static [Framing] {
    if max_frame_bytes > MAX_LENGTH_FRAME_BYTES { &[Framing::Line] } else { &[Framing::Line, Framing::Length] }
}

/// What the module has picked.
#[derive(Default)]
struct Agreed {
    /// `None`: as it was.
    framing: Option<Framing>,
    /// Whether the module wants to be told with a `draining` frame before it is shut down.
    is_told_draining: bool,
}

impl Connection {
    /// Whether the module has not replied to `init` yet.
    pub(super) fn is_initializing(&self) -> bool {
        lock(&self.init_reply).is_some()
    }

    /// The module's reply to `init` has come.
    pub(super) fn initialized(self: &Arc<Self>, id: Option<u64>, body: ModuleFrame<'_>, reply: InitReply) -> NextStep {
        let agreed = match body {
            _ if id.is_some_and(|id| id != INIT_ID) => {
                let message = format!("its reply to `init` has another `id` than {INIT_ID}");
                Err(ErrorReply::from(ErrorBody::new(code::INTERNAL, message, false)))
            }
            ModuleFrame::Error(error) => Err(ErrorReply::from(error)),
            ModuleFrame::Success { data } => agree(&data, self.max_frame_bytes),
            _ => return NextStep::GoOn,
        };
        let Agreed { framing, is_told_draining } = match agreed {
            Ok(agreed) => agreed,
            Err(refusal) => {
                let _ = reply.send(Err(refusal));
                return NextStep::Stop;
            }
        };
        if id.is_none() {
            lock(&self.requests).make_sequential();
        }
        if let Some(framing) = framing {
            self.send_buffer.set_framing(framing);
        }
        self.is_told_draining.store(is_told_draining, Ordering::Relaxed);
        let _ = reply.send(Ok(()));
        framing.map_or(NextStep::GoOn, NextStep::SwitchTo)
    }

    /// Something unreadable has come. True if the module has not replied to `init` yet: then this was its reply, and the handshake
    /// has failed.
    pub(super) fn refuse_init(&self, error: &str) -> bool {
        let reply = lock(&self.init_reply).take();
        let message = format!("the module's reply to `init` is wrong: {error}");
        let refusal = || ErrorReply::from(ErrorBody::new(code::INTERNAL, message, false));
        reply.map(|reply| reply.send(Err(refusal()))).is_some()
    }
}

/// Reads what a module that has accepted `init` says of itself. A module without an SDK says nothing, and agrees to nothing.
fn agree(data: &Object<'_>, max_frame_bytes: usize) -> Result<Agreed, ErrorReply> {
    #[derive(Deserialize)]
    struct Data {
        ixt: Option<SdkInfo>,
    }
    let refusal = |message: String| ErrorReply::from(ErrorBody::new(code::FAILED_PRECONDITION, message, false));
    let data: Data = data
        .clone()
        .read()
        .map_err(|error| refusal(format!("what the module says of itself in its reply to `init` is wrong: {error}")))?;
    let Some(SdkInfo { protocol, framing, features, .. }) = data.ixt else { return Ok(Agreed::default()) };
    if protocol != PROTOCOL_VERSION {
        return Err(refusal(format!(
            "the module speaks version {protocol} of the protocol, and this host version {PROTOCOL_VERSION}"
        )));
    }
    let is_told_draining = features.iter().any(|feature| feature == "draining");
    let Some(framing) = framing else { return Ok(Agreed { framing: None, is_told_draining }) };
    match framing.parse() {
        Ok(framing) if offered(max_frame_bytes).contains(&framing) => {
            Ok(Agreed { framing: Some(framing), is_told_draining })
        }
        _ => Err(refusal(format!("the module has picked the framing `{framing}`, which was not offered"))),
    }
}
