//! The `init` handshake: the framings and features that the host offers, and those that the module picks in its reply.

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

/// The features that the host offers to each module.
const FEATURES: [&str; 4] = ["log", "starting", "ready", "draining"];

/// The options of [`Connection::open`] for the `init` handshake.
pub(crate) struct InitOptions<'a> {
    /// The module's configuration, as `init` carries it.
    pub(crate) config: &'a RawValue,
    /// The framing in which the host begins; the module may pick another one in its reply.
    pub(crate) framing: Framing,
    /// Gets the module's `starting` frames, until it replies to `init`.
    pub(crate) progress: watch::Sender<StartProgress>,
}

/// Sends the outcome of the handshake to [`Connection::open`].
pub(super) type InitReply = oneshot::Sender<Result<(), ErrorReply>>;

/// The `init` frame for a module with this configuration and process id.
pub(super) fn init<'a>(config: &'a RawValue, id: &'a Arc<str>, max_frame_bytes: usize) -> Init<'a> {
    let offer = ProtocolOffer {
        version: PROTOCOL_VERSION,
        max_frame_bytes,
        framings: offered(max_frame_bytes).iter().map(|framing| framing.as_str().to_owned()).collect(),
        features: FEATURES.map(str::to_owned).to_vec(),
    };
    Init { config, module_id: (&**id).into(), protocol: Some(offer) }
}

/// The framings that a module may pick. `length` is not offered if frames may be longer than its largest length.
pub(super) fn offered(max_frame_bytes: usize) -> &'static [Framing] {
    if max_frame_bytes > MAX_LENGTH_FRAME_BYTES { &[Framing::Line] } else { &[Framing::Line, Framing::Length] }
}

/// The framing and features that the module has picked.
#[derive(Default)]
struct Agreed {
    /// `None`: the framing stays the same.
    framing: Option<Framing>,
    /// Whether the module has picked the feature `draining`: it gets a `draining` frame before it is shut down.
    is_told_draining: bool,
}

impl Connection {
    /// Whether the module has not replied to `init` yet.
    pub(super) fn is_initializing(&self) -> bool {
        lock(&self.init_reply).is_some()
    }

    /// Handles the module's reply to `init`, and sends the outcome to `reply`. From here on the module is sequential if
    /// the reply has no id, and frames have the framing that it has picked.
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

    /// If the module has not replied to `init` yet, lets the handshake fail, since what has come in place of the reply can't be read.
    /// Returns whether it did.
    pub(super) fn refuse_init(&self, error: &str) -> bool {
        let reply = lock(&self.init_reply).take();
        let message = format!("the module's reply to `init` is wrong: {error}");
        let refusal = || ErrorReply::from(ErrorBody::new(code::INTERNAL, message, false));
        reply.map(|reply| reply.send(Err(refusal()))).is_some()
    }
}

/// Reads the data of a successful reply to `init`. A module without an SDK sends no `ixt`, and so picks nothing. Features that the
/// host does not know are ignored. The error, `FAILED_PRECONDITION`, is for an `ixt` that can't be read, another version of the
/// protocol, or a framing that was not offered.
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
