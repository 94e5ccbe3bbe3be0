//! The checks, one function each. Each starts a process of its own, so that none depends on what another has left.

mod frames;
mod length;
mod life;
mod requests;

use super::lab::Lab;
use super::report::Verdict;

/// Its name, and what it does.
pub(super) type Check = (&'static str, fn(&mut Lab) -> Verdict);

/// Without these no other is of use.
pub(super) const FIRST: [Check; 2] = [("connects to its host", life::connects), ("init", life::init)];

/// Those of one service.
pub(super) use requests::service;

/// All the others, after those of the services.
pub(super) const MORE: [Check; 27] = [
    ("requests that the module makes itself", requests::service_requests),
    ("health_check", requests::health_check),
    ("a topic that it does not provide", requests::unknown_topic),
    ("an event", requests::event),
    ("ids of 64 bits", requests::large_ids),
    ("many requests at once", requests::pipelined),
    ("a request of an unknown type", requests::unknown_type),
    ("requests of the wrong shape", requests::wrong_shape),
    ("a cancel of what is not known", requests::cancel),
    ("priorities and ttl_ms", requests::urgency),
    ("a payload of all bytes", requests::all_bytes),
    ("frames in pieces", frames::pieces),
    ("JSON with escapes and white space", frames::escapes),
    ("fields that are not known", frames::unknown_fields),
    ("what is no frame", frames::garbage),
    ("a frame of 13 MiB", frames::large),
    ("a frame over the limit", frames::over_long),
    ("framing `length` from the start", length::from_the_start),
    ("framing `length` once it was offered", length::offered),
    ("attachments", length::attachments),
    ("a request before init", life::before_init),
    ("a second init", life::second_init),
    ("another version of the protocol", life::other_version),
    ("shutdown", life::shutdown),
    ("a request after shutdown", life::after_shutdown),
    ("the host hangs up", life::hang_up),
    ("SIGTERM", life::terminate),
];
