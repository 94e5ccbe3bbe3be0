//! Reloads a module: reads it again from disk, and compares it with what runs.

use std::pin::Pin;
use std::sync::Arc;

use ixt_manifest::{Severity, compare};
use ixt_protocol::code;
use serde::{Deserialize, Serialize};

use crate::call_error::{CallError, ErrorReply};
use crate::guard::Guard;
use crate::release::Release;
use crate::release::deployment::Deployment;

/// Reads modules again when they are [reloaded](crate::Host::reload). The embedder of a host implements it, since it
/// knows where configurations come from.
pub trait Loader: Send + Sync + 'static {
    /// Returns the deployment that is to replace `request.running`: the manifest in the module's directory as it is
    /// now, its configuration, and its program, built if `request.build` is set.
    fn load<'a>(&'a self, request: LoadRequest<'a>) -> Loading<'a>;
}

/// What a host asks its [`Loader`] for.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct LoadRequest<'a> {
    /// The deployment that runs and is to be replaced.
    pub running: &'a Deployment,
    /// Whether to build the program.
    pub build: bool,
    /// To be called with each step, before it is made.
    pub notify: &'a (dyn Fn(Notice) + Send + Sync),
    /// The host's guard, to be passed to [`Builds::guarded_by`](crate::Builds::guarded_by). `None` if it could not be
    /// started.
    pub guard: Option<&'a Guard>,
}

/// The future of [`Loader::load`]: a [`Deployment`], or the reason why there is none, as a sentence for people. When it
/// is dropped, what it has started must end.
pub type Loading<'a> = Pin<Box<dyn Future<Output = Result<Deployment, String>> + Send + 'a>>;

/// A step of a restart, for whoever asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// Output of the build.
    Build(String),
    /// The next step, or a remark.
    Step(String),
    /// A report of what is wrong with the manifest or the configuration, in several lines.
    Report(String),
    /// A difference between the manifest that runs and the new one that concerns other modules.
    Change {
        /// Whether callers that go on as before will fail.
        breaking: bool,
        /// The difference, in one line.
        text: String,
    },
}

/// Loads the release that is to replace `release`, and notifies of the differences. The error is one for the caller of
/// the restart.
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

/// An error reply of the host that is not retryable.
pub(crate) fn refusal(code: &str, message: String) -> CallError {
    CallError::Replied(ErrorReply {
        code: code.to_owned(),
        message,
        details: serde_json::Value::Null,
        retryable: false,
    })
}
