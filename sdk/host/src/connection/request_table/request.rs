//! A request of the host to a module, and the state of a request until the module has replied.

use ixt_protocol::Priority;
use tokio::time::Instant;

use crate::bus::{Envelope, ReplyTo};
use crate::topic::RequestInfo;

/// A request of the host to a module.
#[derive(Debug)]
pub(crate) enum HostRequest<'a> {
    /// A call of a service.
    Handle(Envelope<'a>),
    /// An event.
    Event(Envelope<'a>),
    /// `health_check`.
    HealthCheck,
    /// `shutdown`, with this grace in milliseconds.
    Shutdown { grace_ms: u64 },
}

impl HostRequest<'_> {
    /// The same request, with copies of what it borrowed.
    pub(super) fn into_owned(self) -> HostRequest<'static> {
        match self {
            Self::Handle(envelope) => HostRequest::Handle(envelope.into_owned()),
            Self::Event(envelope) => HostRequest::Event(envelope.into_owned()),
            Self::HealthCheck => HostRequest::HealthCheck,
            Self::Shutdown { grace_ms } => HostRequest::Shutdown { grace_ms },
        }
    }

    /// About how many bytes of memory the request takes; 0 for requests of the host itself, which have no payload.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Handle(envelope) | Self::Event(envelope) => envelope.bytes(),
            Self::HealthCheck | Self::Shutdown { .. } => 0,
        }
    }

    /// Whether the request is the host's own, and not a call or an event.
    pub(super) fn is_hosts_own(&self) -> bool {
        matches!(self, Self::HealthCheck | Self::Shutdown { .. })
    }

    /// The rank in the queue of a sequential module, the highest first: `shutdown`, then `health_check`, then calls and
    /// events by priority.
    pub(super) fn urgency(&self) -> u64 {
        match self {
            Self::Handle(envelope) | Self::Event(envelope) => envelope.priority.into(),
            Self::HealthCheck => u64::from(Priority::Critical) + 1,
            Self::Shutdown { .. } => u64::from(Priority::Critical) + 2,
        }
    }
}

/// A request that the module has not replied to: sent, queued or abandoned.
#[derive(Debug)]
pub(crate) struct InFlight {
    /// Gets the result. `None` if the caller has stopped waiting: the deadline has passed, or the caller has cancelled.
    pub(crate) reply: Option<ReplyTo>,
    /// When the caller stops waiting; `None` if it waits without a limit.
    pub(crate) deadline: Option<Instant>,
    /// When the request was admitted.
    pub(crate) started: Instant,
    /// When the caller stopped waiting; `None` while it waits.
    pub(super) abandoned: Option<Instant>,
    /// The call or event; `None` for a request of the host itself.
    pub(crate) call: Option<RequestInfo>,
}

impl InFlight {
    /// Stands for an overdue request, of which only the id was kept, and whose caller no longer waits.
    pub(super) fn overdue() -> Self {
        Self { reply: None, deadline: None, started: Instant::now(), abandoned: None, call: None }
    }
}
