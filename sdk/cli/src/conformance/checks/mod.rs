//! The checks, one function each. A check starts the processes that it needs. It depends only on the module, the facts
//! about it, and the calls of its services, which `suite` makes before if the check needs them. So its verdict is the
//! same whichever other checks are made, and in whichever order.

mod frames;
mod length;
mod lifecycle;
mod requests;

use super::services::{PayloadTarget, ServiceCall};
use super::trial::Trial;
use super::verdict::Verdict;

/// A check, as `suite` makes it.
pub(super) struct ConformanceCheck {
    /// Its name in the report, by which `--only` selects it.
    pub(super) name: &'static str,
    /// The function that makes it.
    pub(super) body: CheckBody,
}

/// The function that makes a check, by what it needs.
pub(super) enum CheckBody {
    /// It needs no service of the module.
    Plain(fn(&Trial<'_>) -> Verdict),
    /// It sends payloads to a service, which `suite` chooses.
    WithTarget(fn(&Trial<'_>, &PayloadTarget) -> Verdict),
    /// It starts no process: it judges the calls of all services that were made before.
    OfCalls(fn(&[ServiceCall]) -> Verdict),
}

impl ConformanceCheck {
    const fn plain(name: &'static str, run: fn(&Trial<'_>) -> Verdict) -> Self {
        Self { name, body: CheckBody::Plain(run) }
    }

    const fn with_target(name: &'static str, run: fn(&Trial<'_>, &PayloadTarget) -> Verdict) -> Self {
        Self { name, body: CheckBody::WithTarget(run) }
    }
}

/// All checks, in the order in which they are made, except the first two, which gather the facts, and those of the
/// services.
pub(super) const CHECKS: [ConformanceCheck; 27] = [
    ConformanceCheck {
        name: "requests that the module makes itself",
        body: CheckBody::OfCalls(requests::service_requests),
    },
    ConformanceCheck::plain("health_check", requests::health_check),
    ConformanceCheck::plain("a topic that it does not provide", requests::unknown_topic),
    ConformanceCheck::plain("an event", requests::event),
    ConformanceCheck::plain("ids of 64 bits", requests::large_ids),
    ConformanceCheck::plain("many requests at once", requests::pipelined),
    ConformanceCheck::plain("a request of an unknown type", requests::unknown_type),
    ConformanceCheck::with_target("requests of the wrong shape", requests::wrong_shape),
    ConformanceCheck::plain("a cancel of what is not known", requests::cancel),
    ConformanceCheck::with_target("priorities and ttl_ms", requests::urgency),
    ConformanceCheck::with_target("a payload of all bytes", requests::all_bytes),
    ConformanceCheck::plain("frames in pieces", frames::pieces),
    ConformanceCheck::with_target("JSON with escapes and white space", frames::escapes),
    ConformanceCheck::with_target("fields that are not known", frames::unknown_fields),
    ConformanceCheck::plain("what is no frame", frames::garbage),
    ConformanceCheck::with_target("a frame of 13 MiB", frames::large),
    ConformanceCheck::plain("a frame over the limit", frames::over_long),
    ConformanceCheck::plain("framing `length` from the start", length::from_the_start),
    ConformanceCheck::with_target("framing `length` once it was offered", length::offered),
    ConformanceCheck::with_target("attachments", length::attachments),
    ConformanceCheck::with_target("a request before init", lifecycle::before_init),
    ConformanceCheck::plain("a second init", lifecycle::second_init),
    ConformanceCheck::plain("another version of the protocol", lifecycle::other_version),
    ConformanceCheck::plain("shutdown", lifecycle::shutdown),
    ConformanceCheck::with_target("a request after shutdown", lifecycle::after_shutdown),
    ConformanceCheck::plain("the host hangs up", lifecycle::hang_up),
    ConformanceCheck::plain("SIGTERM", lifecycle::terminate),
];
