//! The host and its modules.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use ixt_host::{CallOptions, Config, Deployment, Host, InstanceStatus, Module, Program, Settings};
use tempfile::TempDir;

use crate::load::Outcomes;
use crate::request::Request;

/// A host with several processes of three modules.
pub struct System {
    pub(crate) host: Host,
    dir: TempDir,
}

impl System {
    /// Starts the host. `programs` is the directory with the programs `ledger`, `relay` and `mute`.
    ///
    /// # Errors
    ///
    /// If it can't be started.
    pub async fn start(programs: &Path) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let mut settings = Settings::default();
        settings.data_dir = Some(dir.path().join("data"));
        // Each request that is kept is a value more.
        settings.kv_quota = Some(u64::MAX);
        settings.restart.intensity = u32::MAX;
        settings.restart.backoff = Duration::from_millis(1);
        settings.restart.max_backoff = Duration::from_millis(20);
        // One that is paused for longer is killed.
        settings.health_interval = Duration::from_millis(200);
        settings.health_timeout = Duration::from_millis(200);
        let mut builder = Host::builder(settings);
        for (name, instances) in [("ledger", 3), ("relay", 2), ("mute", 2)] {
            let module = Module::open(Path::new(env!("CARGO_MANIFEST_DIR")).join(name))?;
            let program = programs.join(name);
            let mut config = Config::of(module.manifest());
            if name != "relay" {
                config.set_text("entries", &entries(dir.path()).display().to_string())?;
            }
            builder.module(Deployment::new(&module, Program::new(program), &config)?.instances(instances))?;
        }
        let host = builder.start().await?;
        host.ready().await?;
        Ok(Self { host, dir })
    }

    /// The processes of the modules.
    pub(crate) fn instances(&self) -> Vec<InstanceStatus> {
        self.host.status().into_iter().flat_map(|module| module.instances).collect()
    }

    pub(crate) fn options(ttl: u64) -> CallOptions {
        CallOptions { ttl: Some(Duration::from_millis(ttl)), ..CallOptions::default() }
    }

    /// The numbers of the requests that have entered a handler, one for each time.
    pub(crate) fn entries(&self) -> Result<Vec<u64>> {
        let text = fs::read_to_string(entries(self.dir.path())).context("the ledger's entries")?;
        text.lines().map(|line| line.parse().with_context(|| format!("an entry is torn: {line}"))).collect()
    }

    /// Compares the outcomes with the requests that have entered a handler and with the store, and adds what is wrong to them.
    pub(crate) async fn check_kept(&self, outcomes: &mut Outcomes) -> Result<()> {
        outcomes.compare(&self.entries()?);
        for id in outcomes.kept().collect::<Vec<_>>() {
            let entry = self.host.kv().get("ledger", &id.to_string()).await.map_err(|error| anyhow!("{error:?}"))?;
            if entry.is_none_or(|entry| entry.value != Request::new(id, outcomes.seed).payload) {
                outcomes.values_lost.push(id);
            }
        }
        Ok(())
    }

    pub(crate) async fn shutdown(self) {
        self.host.shutdown().await;
    }
}

fn entries(dir: &Path) -> PathBuf {
    dir.join("entries")
}
