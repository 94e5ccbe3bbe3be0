//! A release of a module: what its processes are started from. After a reload, the module has another release, with
//! another manifest, program or configuration. A release is not a version: two releases may have the same one.
//!
//! `deployment` is what an embedder gives a host to run; `reload` reads one again; `fingerprint` finds out whether its
//! files have changed.

mod deployment;
mod fingerprint;
mod reload;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foldhash::HashSet;
use ixt_manifest::Manifest;
use serde_json::value::RawValue;

use crate::module::Module;
use crate::program::Program;
pub use crate::release::deployment::Deployment;
use crate::release::fingerprint::Fingerprint;
pub use crate::release::reload::{LoadRequest, Loader, Loading, Notice};
pub(crate) use crate::release::reload::{load, refusal};
use crate::settings::Settings;

/// A deployment at the time when it was read, with what is looked up for each call. It never changes; its files on disk
/// may.
#[derive(Debug)]
pub(crate) struct Release {
    /// A later release has a higher number, also if it is of another module or of another host in this process.
    number: u64,
    deployment: Deployment,
    /// `name:version`: the source of the calls and events of its processes.
    source: Arc<str>,
    /// The topics of the services that it provides.
    services: HashSet<String>,
    /// The topics of the events that it requires.
    events: HashSet<String>,
    /// That of the files when the release was made.
    fingerprint: Fingerprint,
}

/// The number of the next release.
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(1);

impl Release {
    /// Makes a release of a deployment, with the next number. Looks at its files, so it blocks.
    pub(crate) fn new(deployment: Deployment) -> Arc<Self> {
        let manifest = deployment.module.manifest();
        let source = format!("{}:{}", manifest.module.name, manifest.module.version).into();
        let services = manifest.services.iter().map(|service| service.topic.to_string()).collect();
        let events = manifest.requires.events.iter().map(ToString::to_string).collect();
        Arc::new(Self {
            number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
            source,
            services,
            events,
            fingerprint: Fingerprint::of(&deployment),
            deployment,
        })
    }

    /// Its number. Of two releases, the one with the higher number is the newer one.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// What the embedder gave the host to run.
    pub(crate) fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    pub(crate) fn module(&self) -> &Arc<Module> {
        &self.deployment.module
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        self.deployment.module.manifest()
    }

    pub(crate) fn program(&self) -> &Program {
        &self.deployment.program
    }

    /// The configuration as `init` carries it: a JSON object, which may have secrets in it.
    pub(crate) fn config(&self) -> &RawValue {
        &self.deployment.config
    }

    /// `name:version`: the source of the calls and events of its processes, and the module in the host's log lines
    /// about the module as a whole.
    pub(crate) fn source(&self) -> &Arc<str> {
        &self.source
    }

    /// Whether its processes would be the same as those of `other`: manifest (as text), configuration, program, files,
    /// number of processes and timeouts are equal. Host settings are not compared.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let (one, two) = (&self.deployment, &other.deployment);
        one.module.source().text() == two.module.source().text()
            && one.config.get() == two.config.get()
            && one.program == two.program
            && (one.instances, one.connect_timeout, one.init_timeout)
                == (two.instances, two.connect_timeout, two.init_timeout)
            && self.fingerprint == other.fingerprint
    }

    /// Whether its processes provide the service `topic`.
    pub(crate) fn provides(&self, topic: &str) -> bool {
        self.services.contains(topic)
    }

    /// Whether its processes provide the service, or require the event, `topic`.
    pub(crate) fn takes(&self, topic: &str) -> bool {
        self.services.contains(topic) || self.events.contains(topic)
    }

    /// Whether a new process may run beside the one that it replaces: `overlap` in the manifest.
    pub(crate) fn overlaps(&self) -> bool {
        self.manifest().process.overlap
    }

    /// The timeout for connecting: that of the deployment; without it, that of the manifest; without both, that of the
    /// settings.
    pub(crate) fn connect_timeout(&self, settings: &Settings) -> Duration {
        let said = self.deployment.connect_timeout.or(self.manifest().process.connect_timeout);
        said.unwrap_or(settings.connect_timeout)
    }

    /// The timeout for the reply to `init`: that of the deployment; without it, that of the manifest; without both,
    /// that of the settings.
    pub(crate) fn init_timeout(&self, settings: &Settings) -> Duration {
        self.deployment.init_timeout.or(self.manifest().process.init_timeout).unwrap_or(settings.init_timeout)
    }
}
