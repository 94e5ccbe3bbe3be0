//! What a host is told to run.

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use crate::{Config, ConfigError, Module, Program};

/// A module as it is to run: what is started, how often, and with which configuration.
#[derive(Debug, Clone)]
pub struct Deployment {
    pub(crate) module: Arc<Module>,
    pub(crate) program: Program,
    pub(crate) config: Box<RawValue>,
    pub(crate) instances: u32,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) init_timeout: Option<Duration>,
}

impl Deployment {
    /// One process of the module.
    ///
    /// # Errors
    ///
    /// If the configuration is not complete.
    pub fn new(module: &Module, program: Program, config: &Config<'_>) -> Result<Self, ConfigError> {
        let (module, config) = (Arc::new(module.clone()), config.to_json()?);
        Ok(Self { module, program, config, instances: 1, connect_timeout: None, init_timeout: None })
    }

    /// So many processes, 1 or more, among which calls are divided.
    #[must_use]
    pub fn instances(mut self, instances: u32) -> Self {
        self.instances = instances.max(1);
        self
    }

    /// How long a process has to connect once it was started; otherwise the manifest says it, or [`Settings`].
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// How long a process has to answer `init`; otherwise the manifest says it, or [`Settings`].
    #[must_use]
    pub fn init_timeout(mut self, timeout: Duration) -> Self {
        self.init_timeout = Some(timeout);
        self
    }

    /// What is on disk.
    #[must_use]
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// What is started.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.program
    }

    pub(crate) fn name(&self) -> &str {
        self.module.manifest().module.name.as_str()
    }
}
