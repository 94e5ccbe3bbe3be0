//! `init`: the negotiation with the host, and the call of `Handler::init`.

use std::sync::{Arc, OnceLock};

use ixt_protocol::{Framing, Init, MAX_LENGTH_FRAME_BYTES, PROTOCOL_VERSION, ProtocolOffer, SdkInfo, code};
use serde_json::json;

use super::{Session, Stage, shutting_down};
use crate::catch_panic::caught;
use crate::error::{Error, Result};
use crate::outgoing::Features;
use crate::reply::Reply;
use crate::runtime::Runtime;

/// The limit and the framing of the host's frames after `init`, as the module has picked them from the host's offer.
#[derive(Debug, Clone, Copy)]
pub(super) struct HostFraming {
    /// The limit of a frame's size, in bytes, which the host has set for both directions.
    pub(super) max_frame_bytes: usize,
    /// Whether the host changes from `line` to `length` when it has read the reply. If false, the framing stays.
    pub(super) length: bool,
}

impl Session {
    /// Negotiates, and starts `Handler::init`, whose end sends the reply; this returns at once. If `Handler::init` fails, the session ends
    /// as failed, unless it shuts down already.
    ///
    /// `init` is refused if it is the second one (`FAILED_PRECONDITION`), if the module shuts down (`UNAVAILABLE`), or if the host speaks
    /// another version of the protocol (`FAILED_PRECONDITION`, and the session ends as failed). Returns `None` if `init` is refused, or if
    /// the host has made no offer: the framing and the limit then stay.
    pub(super) fn init(self: &Arc<Self>, id: Option<u64>, init: &Init<'_>, framing: Framing) -> Option<HostFraming> {
        let error = match self.enter(Stage::Initialized) {
            Stage::Connected => None,
            Stage::Initialized => Some(Error::new(code::FAILED_PRECONDITION, "`init` comes once, as the first frame")),
            Stage::ShuttingDown => Some(shutting_down()),
        };
        if let Some(error) = error {
            self.outgoing.reply(id, Err(error));
            return None;
        }
        let (host_framing, info) = match self.negotiate(init.protocol.as_ref(), framing) {
            Ok(negotiated) => negotiated,
            Err(error) => {
                self.outgoing.reply(id, Err(error));
                self.fail();
                return None;
            }
        };
        let next = host_framing.and_then(|framing| framing.length.then_some(Framing::Length));
        let module_id = if init.module_id.is_empty() { &self.module_id } else { &*init.module_id };
        let runtime = Runtime::new(module_id, &self.calls, &self.stopping);
        let scope = self.log_scope();
        let start = scope.run(|| self.module.start(init.config.get(), runtime));
        let started = Arc::new(OnceLock::new());
        let work = {
            let started = Arc::clone(&started);
            async move {
                let service = caught("`init`", || start).await.inspect_err(|error| error.log_causes(&"`init`"))?;
                let _ = started.set(service);
                Reply::json(&json!({ "ixt": info }))
            }
        };
        let this = Arc::clone(self);
        let respond = move |reply: Result<Reply>| {
            // At the moment of the reply: once the host has read it, it may send calls, and calls before it are refused.
            let open = || {
                if let Some(service) = started.get() {
                    this.requests.open(Arc::clone(service));
                }
            };
            let success = this.outgoing.reply_to_init(id, reply, next, open);
            // If a shutdown has begun meanwhile, it ends the session.
            if !success && this.stage() != Stage::ShuttingDown {
                this.fail();
            }
        };
        self.requests.run(id, "`init`", scope, work, Some(Box::new(respond)));
        host_framing
    }

    /// Picks the framing and the features from the host's offer, and sets the limits of [`Outgoing`](crate::outgoing::Outgoing). Returns
    /// the limit and the framing of the host's later frames, `None` without an offer, and the object `ixt` of the reply. `framing` is that
    /// of the frame `init`. Names that the module doesn't know are skipped.
    ///
    /// # Errors
    ///
    /// `FAILED_PRECONDITION` if the host speaks another version of the protocol.
    fn negotiate(&self, offer: Option<&ProtocolOffer>, framing: Framing) -> Result<(Option<HostFraming>, SdkInfo)> {
        let mut info = SdkInfo {
            protocol: PROTOCOL_VERSION,
            sdk: concat!("ixt-sdk-rust/", env!("CARGO_PKG_VERSION")).to_owned(),
            max_concurrency: Some(self.limits.max_concurrency),
            framing: None,
            features: Vec::new(),
        };
        let Some(offer) = offer else { return Ok((None, info)) };
        let ProtocolOffer { version, max_frame_bytes, framings, features } = offer;
        if *version != PROTOCOL_VERSION {
            let message =
                format!("the host speaks version {version} of the protocol, this module version {PROTOCOL_VERSION}");
            return Err(Error::new(code::FAILED_PRECONDITION, message));
        }
        let length = framing == Framing::Line
            && *max_frame_bytes <= MAX_LENGTH_FRAME_BYTES
            && framings.iter().any(|offered| offered.parse() == Ok(Framing::Length));
        if length {
            info.framing = Some(Framing::Length.as_str().to_owned());
        }
        let mut known = Features::default();
        if features.iter().any(|feature| feature == "draining") {
            info.features.push("draining".to_owned());
        }
        for (name, takes) in [("log", &mut known.log), ("starting", &mut known.starting), ("ready", &mut known.ready)] {
            if features.iter().any(|feature| feature == name) {
                *takes = true;
                info.features.push(name.to_owned());
            }
        }
        self.outgoing.set_limits(*max_frame_bytes, known);
        Ok((Some(HostFraming { max_frame_bytes: *max_frame_bytes, length }), info))
    }
}
