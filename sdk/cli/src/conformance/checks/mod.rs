//! The checks, one function each. A check starts processes of its own, and depends on nothing but the module and the facts about it. So its
//! verdict is the same whichever other checks are made, and in whichever order.

mod frames;
mod length;
mod lifecycle;
mod requests;

use super::services::{ServiceCall, Target};
use super::trial::Trial;
use super::verdict::Verdict;

/// A check.
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) run: Run,
}

/// How a check is made, by what it needs.
pub(super) enum Run {
    /// It needs no service.
    Plain(fn(&Trial<'_>) -> Verdict),
    /// It sends payloads to a service.
    WithTarget(fn(&Trial<'_>, &Target) -> Verdict),
    /// It looks at the calls of all services.
    OfCalls(fn(&[ServiceCall]) -> Verdict),
}

impl Check {
    const fn plain(name: &'static str, run: fn(&Trial<'_>) -> Verdict) -> Self {
        Self { name, run: Run::Plain(run) }
    }

    const fn with_target(name: &'static str, run: fn(&Trial<'_>, &Target) -> Verdict) -> Self {
        Self { name, run: Run::WithTarget(run) }
    }
}

/// All checks but the first two, which gather the facts, and those of the services.
pub(super) const CHECKS: [Check; 27] = [
    Check { name: "requests that the module makes itself", run: Run::OfCalls(requests::service_requests) },
    Check::plain("health_check", requests::health_check),
    Check::plain("a topic that it does not provide", requests::unknown_topic),
    Check::plain("an event", requests::event),
    Check::plain("ids of 64 bits", requests::large_ids),
    Check::plain("many requests at once", requests::pipelined),
    Check::plain("a request of an unknown type", requests::unknown_type),
    Check::with_target("requests of the wrong shape", requests::wrong_shape),
    Check::plain("a cancel of what is not known", requests::cancel),
    Check::with_target("priorities and ttl_ms", requests::urgency),
    Check::with_target("a payload of all bytes", requests::all_bytes),
    Check::plain("frames in pieces", frames::pieces),
    Check::with_target("JSON with escapes and white space", frames::escapes),
    Check::with_target("fields that are not known", frames::unknown_fields),
    Check::plain("what is no frame", frames::garbage),
    Check::with_target("a frame of 13 MiB", frames::large),
    Check::plain("a frame over the limit", frames::over_long),
    Check::plain("framing `length` from the start", length::from_the_start),
    Check::with_target("framing `length` once it was offered", length::offered),
    Check::with_target("attachments", length::attachments),
    Check::with_target("a request before init", lifecycle::before_init),
    Check::plain("a second init", lifecycle::second_init),
    Check::plain("another version of the protocol", lifecycle::other_version),
    Check::plain("shutdown", lifecycle::shutdown),
    Check::with_target("a request after shutdown", lifecycle::after_shutdown),
    Check::plain("the host hangs up", lifecycle::hang_up),
    Check::plain("SIGTERM", lifecycle::terminate),
];
