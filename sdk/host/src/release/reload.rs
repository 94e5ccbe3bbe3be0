//! What a module is started with anew: read again from where it came from, and compared with what runs.

use std::pin::Pin;
use std::sync::Arc;

use ixt_manifest::{Severity, compare};
use ixt_protocol::code;
use serde::{Deserialize, Serialize};

use crate::guard::Guard;
use crate::release::Release;
use crate::{CallError, Deployment, ErrorReply};

/// Reads modules anew.
pub trait Loader: Send + Sync + 'static {
    /// What is to run in the place of this: the manifest in the module's directory as it is now, its configuration, and its program,
    /// built if that is wanted. `notify` is told what is done.
    fn load<'a>(&'a self, request: LoadRequest<'a>) -> Loading<'a>;
}

/// What a host asks its [`Loader`] for.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct LoadRequest<'a> {
    /// The deployment that runs, and is to be replaced.
    pub running: &'a Deployment,
    /// Whether the program is to be built.
    pub build: bool,
    /// Is told what is done, before it is done.
    pub notify: &'a (dyn Fn(Notice) + Send + Sync),
    /// The host's guard, for [`Builds::guarded_by`](crate::Builds::guarded_by).
    pub guard: Option<&'a Guard>,
}

/// A [`Deployment`], or why there is none, for people. Dropped, it ends what it has begun.
pub type Loading<'a> = Pin<Box<dyn Future<Output = Result<Deployment, String>> + Send + 'a>>;

/// What is done for a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// What the build writes.
    Build(String),
    /// What is done next, or is to be known.
    Step(String),
    /// What is wrong with the manifest or the configuration, in lines.
    Report(String),
    /// What another manifest changes for others.
    Change {
        /// Whether that breaks those who do as they did.
        breaking: bool,
        /// What it is.
        text: String,
    },
}

/// What is to run in the place of this release.
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
            "`{name}` is not restarted, and goes on as it was: its manifest names it `{}` now, which is another module, for its keys \
             and values are kept by its name: to have it so, restart the host",
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
    // It looks at files.
    let release = tokio::task::spawn_blocking(move || Release::new(deployment)).await;
    release.map_err(|_| refusal(code::UNAVAILABLE, "the host is shutting down".to_owned()))
}

pub(crate) fn refusal(code: &str, message: String) -> CallError {
    CallError::Replied(ErrorReply {
        code: code.to_owned(),
        message,
        details: serde_json::Value::Null,
        retryable: false,
    })
}
