//! What a module provides: services and events, each under a topic.

use super::{Deprecated, MessageType, Name};

/// A topic of `[provides] services`, with what `[services."topic"]` says about it.
#[derive(Debug, Clone, PartialEq)]
pub struct ProvidedService {
    /// The topic under which the service is called, such as `orders.place`: one or more words of ASCII letters, digits, `_` and
    /// `-`, joined by dots. The first begins with a letter, each other one with a letter or a digit. An event may have the same
    /// topic, but no service of another module on the same bus. Its span is that in `[provides]`.
    pub topic: Name,
    /// What the service does, for people: it is in the documentation of the generated code. `None` if the manifest does not say.
    pub description: Option<String>,
    /// `Some` if new code should not call the service. The host serves calls of it all the same.
    pub deprecated: Option<Deprecated>,
    /// The type of its requests. `None`: the handler gets the bytes of the payload as they are.
    pub request: Option<MessageType>,
    /// The type of its responses. `None`: the handler may answer any JSON object.
    pub response: Option<MessageType>,
    /// The errors that the manifest declares for it, sorted by code, each code once. The codes with which any service can fail
    /// ([`BUILT_IN_ERROR_CODES`](crate::language::BUILT_IN_ERROR_CODES)) are not among them. Empty if it declares none.
    pub errors: Vec<ErrorCode>,
    /// The timeout of a call that has none: its caller sets none, and does not make the call for a request with a deadline. In
    /// milliseconds, 1 to 2^63 - 1. `None`: a call that a module makes for a request has the host's default timeout, any other call
    /// has none. The generated functions that make calls set it.
    pub ttl_ms: Option<u64>,
    /// Whether handling the same request twice has the same effect as handling it once. If so, the host repeats a call whose
    /// process has died before it replied, at most three attempts in all, and two if in both the call was the process's only
    /// request. `false` if the manifest does not say.
    pub idempotent: bool,
    /// Whether the handler blocks its thread. The generated method is then a plain `fn`, which the SDK runs on a thread for
    /// blocking work; otherwise it is `async`. `false` if the manifest does not say.
    pub blocking: bool,
}

/// A topic of `[provides] events`, with what `[events."topic"]` says about it.
#[derive(Debug, Clone, PartialEq)]
pub struct ProvidedEvent {
    /// The topic under which the event is published, such as `orders.placed`. The same characters as in
    /// [`ProvidedService::topic`]. A service may have the same topic, and other modules may publish events under it. Its span is that
    /// in `[provides]`.
    pub topic: Name,
    /// What has happened when the event is published, for people. `None` if the manifest does not say.
    pub description: Option<String>,
    /// `Some` if new code should not handle the event. The host delivers it all the same.
    pub deprecated: Option<Deprecated>,
    /// The type of its payload. `None`: the payload is bytes.
    pub payload: Option<MessageType>,
    /// Whether the host delivers the event again if the subscriber's process dies while handling it. The number of deliveries
    /// has no limit, so an event that ends each process that handles it comes back until its time is over (HOST.md, "Events").
    /// If not, such an event is lost for that subscriber. A host that does not run this module does not know of it: there the event
    /// is not durable. `false` if the manifest does not say.
    pub durable: bool,
}

/// An error that a service declares, with which its handler can answer a request. Not a diagnostic's [`Code`](crate::Code).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorCode {
    /// The code on the wire, such as `OUT_OF_STOCK`: upper-case ASCII letters, digits and `_`, beginning with a letter. Never one of
    /// [`BUILT_IN_ERROR_CODES`](crate::language::BUILT_IN_ERROR_CODES).
    pub code: Name,
    /// What the error means; generated code uses it as the default message. `None`: the default message is the code in lower case, with
    /// spaces for `_`.
    pub description: Option<String>,
    /// `Some` if new code should not answer the error.
    pub deprecated: Option<Deprecated>,
    /// Whether the same request may succeed later. The caller reads it in the reply; the host does not repeat the call. `false` if the
    /// manifest does not say.
    pub retryable: bool,
}
