//! A handler, from its call to the answer. It is polled once where its message was read, without a task of its own: most have
//! ended then. Only one that waits becomes a task.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll, Waker};

use crate::middleware::{Kind, Reply, Request};
use crate::runtime::executor::spawn;
use crate::runtime::in_flight::{InFlight, Key};
use crate::runtime::outgoing::reader_number;
use crate::runtime::panic::Caught;
use crate::services::log::Scope;
use crate::{Error, Result, log_error};

/// A request whose handler is to be called.
#[derive(Debug)]
pub(crate) struct Begin {
    pub(super) request: Request,
    pub(super) answer: Answer,
}

impl Begin {
    /// Calls the handler, and answers if it ends without waiting.
    pub(crate) fn run(self) {
        let Self { request, answer } = self;
        let Some(service) = answer.duty.as_ref().and_then(|(in_flight, _)| in_flight.service()) else { return };
        // Its time may be over, or its caller may have given up.
        if request.context().is_cancelled() {
            return;
        }
        let mut handling = Handling {
            kind: request.kind(),
            scope: Scope::of(request.context()),
            #[cfg(feature = "tracing")]
            span: crate::tracing::request_span(request.context()),
            work: Caught::new(|| service.handle(request)),
            answer,
        };
        // If it waits, it is polled again at once, as a task that can be woken.
        let mut cx = task::Context::from_waker(Waker::noop());
        if handling.step(&mut cx).is_pending() {
            handling.go_on();
        }
    }
}

/// A handler that runs.
struct Handling {
    kind: Kind,
    scope: Scope,
    #[cfg(feature = "tracing")]
    span: tracing::Span,
    work: Caught<Reply>,
    answer: Answer,
}

impl Handling {
    /// Goes on, and answers at the end.
    fn step(&mut self, cx: &mut task::Context<'_>) -> Poll<()> {
        if reader_number() != 0 {
            self.answer.is_polled();
        }
        let (work, what) = (&mut self.work, HandlerOf(self.kind, &self.scope));
        let mut poll = || self.scope.run(|| work.poll(cx, &what));
        #[cfg(feature = "tracing")]
        let mut poll = || self.span.in_scope(&mut poll);
        let reply = std::task::ready!(poll());
        if let Err(error) = &reply {
            // Of an event nobody waits for the answer.
            if self.kind == Kind::Event {
                log_error(format!("{what} failed: {error}"));
            }
            error.log_causes(&what);
        }
        self.answer.give(reply);
        Poll::Ready(())
    }

    /// It waits for something: it goes on as a task.
    fn go_on(self) {
        let Some((in_flight, key)) = self.answer.duty.clone() else { return };
        let (runnable, task) = spawn(in_flight.executor(), self);
        // Otherwise it was answered meanwhile.
        if in_flight.runs_as(key, task).is_ok() {
            runnable.schedule();
        }
    }
}

impl Future for Handling {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        self.step(cx)
    }
}

struct HandlerOf<'a>(Kind, &'a Scope);

impl fmt::Display for HandlerOf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let event = if self.0 == Kind::Event { "the event " } else { "" };
        write!(f, "the handler of {event}`{}`", self.1.topic())
    }
}

/// The duty to answer one request. Dropped without an answer, because it panicked outside of what is `Caught`, or nothing
/// could run it, it answers all the same.
pub(crate) struct Answer {
    duty: Option<(Arc<InFlight>, Key)>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}

impl Answer {
    pub(super) fn new(in_flight: &Arc<InFlight>, key: Key) -> Self {
        Self { duty: Some((Arc::clone(in_flight), key)) }
    }

    /// What is to be answered is about to be polled, by the thread that reads.
    pub(super) fn is_polled(&self) {
        if let Some((in_flight, key)) = &self.duty {
            in_flight.is_polled(*key);
        }
    }

    pub(super) fn give(&mut self, reply: Result<Reply>) {
        if let Some((in_flight, key)) = self.duty.take() {
            in_flight.give(key, reply);
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if self.duty.is_some() {
            self.give(Err(Error::internal("the request was dropped; the module's log may say why")));
        }
    }
}
