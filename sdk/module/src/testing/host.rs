//! The test host before its module starts: stubs, the store, and the start. [`Module`] is the running module.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ixt_protocol::{DEFAULT_MAX_FRAME_BYTES, HostFrame, Init, PROTOCOL_VERSION, ProtocolOffer};
use serde_json::value::to_raw_value;
use serde_json::{Map, Value};
use tokio::runtime::Handle;

use super::host_end::{HostEnd, Stub};
use super::kv::Store;
use super::module::Module;
use crate::boxed_future::Boxed;
use crate::error::{Error, Result};
use crate::launcher::Launcher;
use crate::module::{Serve, Start, Starter};
use crate::payload::FromPayload;
use crate::reply::IntoReply;
use crate::request::TopicKind;
use crate::requests::Limits;
use crate::runtime::Runtime;
use crate::service::Service;
use crate::transport::task_executor::connect;

/// A host in memory, for one module: set it up, then start the module, once. Not the host of `ixt-host`, which starts processes.
#[derive(Default)]
pub struct Host {
    stubs: HashMap<&'static str, Stub>,
    store: Store,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("stubs", &self.stubs.keys()).finish_non_exhaustive()
    }
}

impl Host {
    /// A host without stubs, and with an empty key-value store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces a service that the module requires: each call of the module runs `answer` as a task, which is dropped when the module
    /// cancels the call. Calls run at the same time. If the payload is not of the type `Req`, the call fails with `INVALID_INPUT`, and
    /// `answer` is not called. Calls of a service without a stub fail with `NOT_FOUND`. If a stub panics, the module's call fails with
    /// `INTERNAL`, and the test panics when it gets the next reply of the module. A second stub for a service replaces the first.
    #[must_use]
    pub fn stub<Req, Res, F>(
        mut self,
        service: Service<Req, Res>,
        answer: impl Fn(Req) -> F + Send + Sync + 'static,
    ) -> Self
    where
        Req: FromPayload + 'static,
        Res: IntoReply + 'static,
        F: Future<Output = Result<Res>> + Send + 'static,
    {
        let answer = Arc::new(answer);
        let stub: Stub = Box::new(move |payload| {
            let answer = Arc::clone(&answer);
            Box::pin(async move { answer(Req::read(payload)?).await?.into_reply() })
        });
        self.stubs.insert(service.topic(), stub);
        self
    }

    /// Writes a value into the module's key-value store. It does not expire. Replaces the value that the key has. The limits of a real host
    /// are not checked.
    #[must_use]
    pub fn with_kv(mut self, key: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.store.set(key.into(), value.into(), None);
        self
    }

    /// Starts the module as a task of the current tokio runtime, and waits for `Handler::init`. The configuration is taken as it is,
    /// without a check. There is no timeout. The module has the limits and the middleware of the launcher, and the id
    /// `test:0.0.0/instance-001`. This host never drains: `Runtime::stopping` returns when the shutdown begins.
    ///
    /// # Errors
    ///
    /// Those of `Handler::init`; `INTERNAL` if it panics. The module ends then.
    ///
    /// # Panics
    ///
    /// If it is polled outside of a tokio runtime, or if a stub has panicked.
    pub async fn start<M: crate::module::Module>(self, module: Launcher<M>, config: M::Config) -> Result<Module> {
        let Launcher { starter, limits } = module;
        let config = Mutex::new(Some(config));
        self.start_any(Box::new(Preset { starter, config }), limits, &Value::Object(Map::new())).await
    }

    /// Starts the module with the configuration as JSON, which is read and checked like that of a real host. Otherwise it does the same as
    /// [`start`](Self::start).
    ///
    /// # Errors
    ///
    /// Those of [`start`](Self::start); `INVALID_INPUT` if the configuration is wrong: then `Handler::init` is not called.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub async fn start_json<M: crate::module::Module>(self, module: Launcher<M>, config: &Value) -> Result<Module> {
        let Launcher { starter, limits } = module;
        self.start_any(Box::new(starter), limits, config).await
    }

    /// Connects the module, sends `init` with the optional frames `log`, `starting` and `ready`, and waits for its reply.
    async fn start_any(self, module: Box<dyn Start>, limits: Limits, config: &Value) -> Result<Module> {
        #[cfg(feature = "tracing")]
        crate::tracing::install();
        let (wire, session) = connect(module, String::new(), limits, Handle::current());
        let end = HostEnd::start(wire, session, self.stubs, self.store);
        let config = to_raw_value(config)?;
        let init = HostFrame::Init(Init {
            config: &config,
            module_id: "test:0.0.0/instance-001".into(),
            protocol: Some(ProtocolOffer {
                version: PROTOCOL_VERSION,
                max_frame_bytes: DEFAULT_MAX_FRAME_BYTES,
                framings: vec!["line".to_owned()],
                features: ["log", "starting", "ready"].map(str::to_owned).to_vec(),
            }),
        });
        let (_, reply) = end.send(init);
        end.reply_to(reply).await?;
        Ok(Module::new(end))
    }
}

/// Starts a module with a given `Config`, instead of one that is read.
struct Preset<M: crate::module::Module> {
    starter: Starter<M>,
    config: Mutex<Option<M::Config>>,
}

impl<M: crate::module::Module> Start for Preset<M> {
    fn topics(&self) -> Vec<(TopicKind, &'static str)> {
        self.starter.topics()
    }

    fn start(&self, _: &str, runtime: Runtime) -> Boxed<Result<Arc<dyn Serve>>> {
        let config = self.config.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.starter.start_with(config.ok_or_else(|| Error::internal("started twice")), runtime)
    }
}
