//! What an embedder, such as `ixt run`, gives a host to run: [`HostBuilder::module`](crate::HostBuilder::module) takes
//! it, and a [`Loader`](crate::Loader) returns a new one. What holds for the whole host is in
//! [`Settings`](crate::Settings).

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use crate::config::{Config, ConfigError};
use crate::module::Module;
use crate::program::Program;

/// A module as it is to be run: its program, its configuration, the number of its processes, and timeouts for their
/// start.
#[derive(Debug, Clone)]
pub struct Deployment {
    pub(crate) module: Arc<Module>,
    pub(crate) program: Program,
    /// The configuration as `init` carries it: a JSON object.
    pub(crate) config: Box<RawValue>,
    /// The number of processes, at least 1.
    pub(crate) instances: u32,
    /// `None`: the one of the manifest or the settings, in this order.
    pub(crate) connect_timeout: Option<Duration>,
    /// `None`: the one of the manifest or the settings, in this order.
    pub(crate) init_timeout: Option<Duration>,
}

impl Deployment {
    /// A deployment of the module with one process. Starts nothing, and checks neither whether the program exists nor
    /// whether `config` is that of this module.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Missing`] if a required key of the configuration is not set.
    pub fn new(module: &Module, program: Program, config: &Config<'_>) -> Result<Self, ConfigError> {
        let (module, config) = (Arc::new(module.clone()), config.to_json()?);
        Ok(Self { module, program, config, instances: 1, connect_timeout: None, init_timeout: None })
    }

    /// Sets the number of processes: 1 by default; 0 counts as 1. Each call and each event goes to one of them: the
    /// ready one with the fewest requests.
    #[must_use]
    pub fn instances(mut self, instances: u32) -> Self {
        self.instances = instances.max(1);
        self
    }

    /// Sets how long a process has to connect after it was started. This takes precedence over the manifest and
    /// [`Settings`](crate::Settings). When the time is over, the process is ended, and the start has failed.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Sets how long a process has to reply to `init` after it has connected. This takes precedence over the manifest
    /// and [`Settings`](crate::Settings). The process can ask for more time by `starting` frames. When the time is
    /// over, the process is ended, and the start has failed.
    #[must_use]
    pub fn init_timeout(mut self, timeout: Duration) -> Self {
        self.init_timeout = Some(timeout);
        self
    }

    /// The module.
    #[must_use]
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// The program that is started.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The module's name.
    pub(crate) fn name(&self) -> &str {
        self.module.manifest().module.name.as_str()
    }
}
