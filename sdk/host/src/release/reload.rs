//! Reads a module again from disk, for a reload, and compares its manifest with that of the release that runs. The
//! processes are replaced afterwards, in `supervisor/replace.rs`.

use std::pin::Pin;
use std::sync::Arc;

use ixt_manifest::{Severity, compare};
use ixt_protocol::code;
use serde::{Deserialize, Serialize};

use crate::call_error::{CallError, ErrorReply};
use crate::guard::Guard;
use crate::release::Release;
use crate::release::deployment::Deployment;

/// Reads a module again when it is [reloaded](crate::Host::reload). The embedder of a host implements it, since it
/// knows where configurations come from, and passes it to [`HostBuilder::loader`](crate::HostBuilder::loader). Without
/// a loader, a reload starts the same deployment again.
pub trait Loader: Send + Sync + 'static {
    /// Returns the deployment that is to replace `request.running`: with the manifest in the module's directory as it
    /// is now, its configuration, and its program, which is built if `request.build` is true. May be called for several
    /// modules at once, but not twice at once for the same one. There is no timeout. On an error the module goes on as
    /// it was. The future is polled where [`Host::reload`](crate::Host::reload) is awaited, so it should not block.
    fn load<'a>(&'a self, request: LoadRequest<'a>) -> Loading<'a>;
}

/// What a host asks its [`Loader`] for.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct LoadRequest<'a> {
    /// The deployment that runs and is to be replaced; if the module is stopped or has failed, the one that was started
    /// last.
    pub running: &'a Deployment,
    /// Whether to build the program. If false, that of an earlier build is to be used; if there is none, the loader
    /// fails.
    pub build: bool,
    /// Shows a step to the user or program that has asked for the reload. The loader calls it before each step, and
    /// with output of the build. The host sends [`Notice::Change`] itself.
    pub notify: &'a (dyn Fn(Notice) + Send + Sync),
    /// The host's guard, to be passed to [`Builds::guarded_by`](crate::Builds::guarded_by), so that a build ends with
    /// the host. `None` if the guard could not be started: the build then outlives a host that is killed.
    pub guard: Option<&'a Guard>,
}

/// The future of [`Loader::load`]. It returns a [`Deployment`], or the reason why there is none: one line for people,
/// which becomes the end of the error's message. It is dropped early if the future of the reload is; then it must end
/// what it has started, such as a build.
pub type Loading<'a> = Pin<Box<dyn Future<Output = Result<Deployment, String>> + Send + 'a>>;

/// A step of a reload, for the user or program that has asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// Output of the build: one or more lines, with their line ends.
    Build(String),
    /// The next step, or a remark: one line, without a line end. The host sends one itself before it waits for another
    /// restart of the module.
    Step(String),
    /// A report of all mistakes in the manifest or the configuration: several lines, the last one with its line end
    /// too. The reload then fails.
    Report(String),
    /// A difference between the manifest that runs and the new one, as `ixt diff` shows it. Sent after the build, once
    /// for each difference, before a process is replaced.
    Change {
        /// Whether modules that were made for the old manifest may fail.
        breaking: bool,
        /// The difference, in one line without a line end.
        text: String,
    },
}

/// Loads the release that is to replace `release`, and calls `notify` with each difference of the manifests. Starts and
/// ends no process.
///
/// # Errors
///
/// The error for the caller of the reload: `FAILED_PRECONDITION` if the loader has failed, or the module has another
/// name now; `UNAVAILABLE` if the runtime shuts down.
pub(crate) async fn load(
    loader: &dyn Loader,
    release: &Release,
    build: bool,
    notify: &(dyn Fn(Notice) + Send + Sync),
    guard: Option<&Guard>,
) -> Result<Arc<Release>, CallError> {
    let request = LoadRequest { running: release.deployment(), build, notify, guard };
    let (old, name) = (release.module(), release.deployment().name());
    let deployment = loader.load(request).await.map_err(|error| {
        refusal(code::FAILED_PRECONDITION, format!("`{name}` is not restarted, and goes on as it was: {error}"))
    })?;
    if deployment.name() != name {
        let message = format!(
            "`{name}` is not restarted, and goes on as it was: its manifest names it `{}` now, which is another module: keys \
             and values belong to the name. To run it, restart the host",
            deployment.name(),
        );
        return Err(refusal(code::FAILED_PRECONDITION, message));
    }
    let new = &deployment.module;
    let changes = compare((old.source(), old.manifest()), (new.source(), new.manifest()));
    for change in changes.diagnostics() {
        let breaking = change.severity() == Severity::Breaking;
        notify(Notice::Change { breaking, text: change.to_line() });
    }
    // Looks at files, so it blocks.
    let release = tokio::task::spawn_blocking(move || Release::new(deployment)).await;
    release.map_err(|_| refusal(code::UNAVAILABLE, "the host is shutting down".to_owned()))
}

/// An error reply of the host itself, without details and not retryable.
pub(crate) fn refusal(code: &str, message: String) -> CallError {
    CallError::Replied(ErrorReply {
        code: code.to_owned(),
        message,
        details: serde_json::Value::Null,
        retryable: false,
    })
}
