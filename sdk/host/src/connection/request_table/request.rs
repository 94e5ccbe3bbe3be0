//! A request of the host to a module, and what is known of it until it is answered.

use ixt_protocol::Priority;
use tokio::time::Instant;

use crate::bus::{Envelope, ReplyTo};
use crate::topic::RequestInfo;

/// What the host asks of a module.
#[derive(Debug)]
pub(crate) enum HostRequest<'a> {
    /// To handle a call of a service.
    Handle(Envelope<'a>),
    /// To handle an event.
    Event(Envelope<'a>),
    /// To say how it is.
    HealthCheck,
    /// To end within this time.
    Shutdown { grace_ms: u64 },
}

impl HostRequest<'_> {
    pub(super) fn into_owned(self) -> HostRequest<'static> {
        match self {
            Self::Handle(envelope) => HostRequest::Handle(envelope.into_owned()),
            Self::Event(envelope) => HostRequest::Event(envelope.into_owned()),
            Self::HealthCheck => HostRequest::HealthCheck,
            Self::Shutdown { grace_ms } => HostRequest::Shutdown { grace_ms },
        }
    }

    /// About how many bytes of memory it takes; 0 for requests of the host itself, which carry nothing.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Handle(envelope) | Self::Event(envelope) => envelope.bytes(),
            Self::HealthCheck | Self::Shutdown { .. } => 0,
        }
    }

    /// Whether the host itself asks, in contrast to a call or an event.
    pub(super) fn is_hosts_own(&self) -> bool {
        matches!(self, Self::HealthCheck | Self::Shutdown { .. })
    }

    /// The order in the queue of a sequential module, the highest first: `shutdown`, then `health_check`, then by priority.
    pub(super) fn urgency(&self) -> u64 {
        match self {
            Self::Handle(envelope) | Self::Event(envelope) => envelope.priority.into(),
            Self::HealthCheck => u64::from(Priority::Critical) + 1,
            Self::Shutdown { .. } => u64::from(Priority::Critical) + 2,
        }
    }
}

/// A request that the module has not answered.
#[derive(Debug)]
pub(crate) struct InFlight {
    /// Where the result goes. `None` if the caller has its result already: its deadline has passed, or it has cancelled.
    pub(crate) reply: Option<ReplyTo>,
    pub(crate) deadline: Option<Instant>,
    /// When the request was admitted.
    pub(crate) started: Instant,
    /// When the caller stopped waiting; `None` while it waits.
    pub(super) abandoned: Option<Instant>,
    /// `None` for a request of the host itself.
    pub(crate) call: Option<RequestInfo>,
}

impl InFlight {
    /// What is left of an overdue request: nobody waits for it, and only its id was kept.
    pub(super) fn overdue() -> Self {
        Self { reply: None, deadline: None, started: Instant::now(), abandoned: None, call: None }
    }
}
