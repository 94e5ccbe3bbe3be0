//! A request from the call of its handler to its reply. Its first poll is a step without a task, by the reader if
//! the request begins at once and its topic does not count as blocking. Most handlers end there. A handler that waits becomes a task.
//! `init` and health checks are tasks from the start.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll, Waker};

use async_task::{Builder, Runnable, Task};

use super::Requests;
use super::table::Key;
use crate::catch_panic::Caught;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::log::{Scope, log_error};
use crate::reply::Reply;
use crate::request::{Request, TopicKind};

/// Runs handlers: with the threads of a process (`transport/process_executor.rs`), or on the one thread of the test harness.
pub(crate) trait Executor: Clock {
    /// Queues a step, and returns at once. It never runs the step itself: the caller may hold a lock. If no thread can run the step, it is
    /// dropped, and its request is answered with `INTERNAL`.
    fn schedule(&self, step: Step, class: StepClass);
}

/// One poll of a handler or of another task. [`run`](Self::run) returns when the poll does: the author's code may block.
#[derive(Debug)]
pub(crate) enum Step {
    /// Calls a handler, and polls it once.
    Begin(ActiveRequest),
    /// Polls a task that was woken. The task has the key of its request, `None` if it belongs to none.
    Resume(Runnable<Option<Key>>),
}

/// On which thread a step that the reader schedules is run, and in which order. In a process, steps that other threads schedule run on
/// tokio's blocking pool, whatever their class. The executors of the test harness have one thread, and run all steps in the order in
/// which they were scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StepClass {
    /// By the reader, before the steps of the other classes: the first poll of `init`, of a health check and of `Handler::shutdown`.
    Urgent,
    /// By the reader.
    Normal,
    /// On tokio's blocking pool: a handler of this topic has blocked the reader within the last 30 seconds.
    Blocking,
}

impl Step {
    /// The request that the step belongs to; `None` for other work, such as the shutdown.
    pub(crate) fn request(&self) -> Option<Key> {
        match self {
            Self::Begin(request) => request.owner.as_ref().map(|(_, key)| *key),
            Self::Resume(runnable) => *runnable.metadata(),
        }
    }

    /// Runs the step. Panics of the author's code are caught within; any other panic is caught here, so that the thread lives on.
    pub(crate) fn run(self) {
        let run = || match self {
            Self::Begin(request) => request.begin(),
            Self::Resume(runnable) => drop(runnable.run()),
        };
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
    }
}

/// Makes a task of `work`. Returns its first step, which the caller has to schedule, and the handle, which cancels the task when it is
/// dropped. When the task is woken, its next step is scheduled as [`StepClass::Normal`]. `request` is the request that it belongs to.
pub(crate) fn spawn(
    executor: &Arc<dyn Executor>,
    request: Option<Key>,
    work: impl Future<Output = ()> + Send + 'static,
) -> (Runnable<Option<Key>>, Task<(), Option<Key>>) {
    let executor = Arc::clone(executor);
    let schedule = move |runnable| executor.schedule(Step::Resume(runnable), StepClass::Normal);
    Builder::new().metadata(request).spawn(move |_| work, schedule)
}

/// A request that begins or runs. It has to reply: if it is dropped before, it replies `INTERNAL`, which does nothing if the request was
/// answered meanwhile.
pub(crate) struct ActiveRequest {
    /// The table, and the request's key in it. `None` after the reply.
    owner: Option<(Arc<Requests>, Key)>,
    stage: HandlerStage,
}

/// How far the handler has come.
enum HandlerStage {
    /// The handler was not called yet.
    Begin(Request),
    /// The handler was called, or the work of `init` or a health check was made.
    Running(Work),
    /// The request has ended before its handler was called.
    Done,
}

/// A future of the author's code with its scope, in which each poll runs. A panic becomes the error `INTERNAL`.
pub(super) struct Work {
    what: What,
    scope: Scope,
    #[cfg(feature = "tracing")]
    span: tracing::Span,
    future: Caught<Reply>,
}

/// The kind of work, for error messages.
enum What {
    Handler(TopicKind),
    /// `init` or the health check, by its name in error messages.
    Frame(&'static str),
}

impl Work {
    /// Calls the handler's method, which makes the future.
    fn of_handler(request: Request, call: impl FnOnce(Request) -> crate::request::Handling) -> Self {
        Self {
            what: What::Handler(request.kind()),
            scope: request.context().log_scope(),
            #[cfg(feature = "tracing")]
            span: crate::tracing::request_span(request.context()),
            future: Caught::new(|| call(request)),
        }
    }

    /// The work of `init` or a health check; `frame` names it in errors.
    pub(super) fn of_frame(
        frame: &'static str,
        scope: Scope,
        future: impl Future<Output = Result<Reply>> + Send + 'static,
    ) -> Self {
        Self {
            what: What::Frame(frame),
            scope,
            #[cfg(feature = "tracing")]
            span: tracing::Span::none(),
            future: Caught::new(|| Box::pin(future)),
        }
    }

    /// Polls the future. Logs the error of an event's handler, and the sources of the error of any handler. `init` and health checks are
    /// not logged here. Must not be called again after `Ready`.
    fn poll(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<Reply>> {
        let Self { what, scope, future, .. } = self;
        let (what, scope) = (&*what, &*scope);
        let name = Named(what, scope);
        let mut poll = || scope.run(|| future.poll(cx, &name));
        #[cfg(feature = "tracing")]
        let mut poll = || self.span.in_scope(&mut poll);
        let reply = std::task::ready!(poll());
        if let (What::Handler(kind), Err(error)) = (what, &reply) {
            // The publisher of an event doesn't get the error: only the log can show it.
            if *kind == TopicKind::Event {
                log_error(format!("{name} failed: {error}"));
            }
            error.log_causes(&name);
        }
        Poll::Ready(reply)
    }
}

/// Displays the work for error messages, such as "the handler of `greet`".
struct Named<'a>(&'a What, &'a Scope);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            What::Handler(TopicKind::Service) => write!(f, "the handler of `{}`", self.1.topic()),
            What::Handler(TopicKind::Event) => write!(f, "the handler of the event `{}`", self.1.topic()),
            What::Frame(name) => f.write_str(name),
        }
    }
}

impl ActiveRequest {
    /// A service call or an event whose handler is to be called. `key` is that of its entry.
    pub(super) fn begins(requests: &Arc<Requests>, key: Key, request: Request) -> Self {
        Self { owner: Some((Arc::clone(requests), key)), stage: HandlerStage::Begin(request) }
    }

    /// `init` or a health check. `key` is that of its entry.
    pub(super) fn runs(requests: &Arc<Requests>, key: Key, work: Work) -> Self {
        Self { owner: Some((Arc::clone(requests), key)), stage: HandlerStage::Running(work) }
    }

    /// Calls the handler and polls it once. If it is pending, it becomes a task, which is scheduled at once: the first poll had no waker.
    fn begin(mut self) {
        let mut cx = task::Context::from_waker(Waker::noop());
        if self.step(&mut cx).is_pending()
            && let Some((requests, key)) = self.owner.clone()
        {
            let (runnable, task) = spawn(requests.executor(), Some(key), self);
            // If the request was answered meanwhile, this drops the task, which cancels it.
            if requests.runs_as(key, task).is_ok() {
                runnable.schedule();
            }
        }
    }

    /// Calls the handler if it was not called yet, polls it, and sends the reply if it has ended. `Pending` if it waits.
    fn step(&mut self, cx: &mut task::Context<'_>) -> Poll<()> {
        if matches!(self.stage, HandlerStage::Begin(_))
            && let HandlerStage::Begin(request) = std::mem::replace(&mut self.stage, HandlerStage::Done)
        {
            let service = self.owner.as_ref().and_then(|(requests, _)| requests.service());
            // A request that has ended already needs no handler.
            let Some(service) = service.filter(|_| !request.context().is_cancelled()) else { return Poll::Ready(()) };
            self.stage = HandlerStage::Running(Work::of_handler(request, |request| service.handle(request)));
        }
        let HandlerStage::Running(work) = &mut self.stage else { return Poll::Ready(()) };
        let reply = std::task::ready!(work.poll(cx));
        self.reply(reply);
        Poll::Ready(())
    }

    /// Sends the reply. Does nothing the second time.
    fn reply(&mut self, reply: Result<Reply>) {
        if let Some((requests, key)) = self.owner.take() {
            requests.reply(key, reply);
        }
    }
}

impl Future for ActiveRequest {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        self.step(cx)
    }
}

impl fmt::Debug for ActiveRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ActiveRequest")
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        if self.owner.is_some() {
            self.reply(Err(Error::internal("the request was dropped; the module's log may say why")));
        }
    }
}
