//! What a host is told to run.

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use crate::config::{Config, ConfigError};
use crate::module::Module;
use crate::program::Program;

/// A module as it is to be run: its program, its configuration, and in how many processes.
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
    /// Runs one process of the module.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Missing`] if a required key of the configuration is not set.
    pub fn new(module: &Module, program: Program, config: &Config<'_>) -> Result<Self, ConfigError> {
        let (module, config) = (Arc::new(module.clone()), config.to_json()?);
        Ok(Self { module, program, config, instances: 1, connect_timeout: None, init_timeout: None })
    }

    /// Sets the number of processes among which calls are divided. 0 is taken as 1.
    #[must_use]
    pub fn instances(mut self, instances: u32) -> Self {
        self.instances = instances.max(1);
        self
    }

    /// Sets how long a process has to connect after it was started. Takes precedence over the manifest and
    /// [`Settings`](crate::Settings).
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Sets how long a process has to reply to `init`. Takes precedence over the manifest and
    /// [`Settings`](crate::Settings).
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
