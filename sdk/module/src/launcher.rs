//! The module's process from `main` to its exit status: the [`Launcher`] reads the environment, connects to the host's socket, runs the
//! session, and turns its end into the exit status. The test harness takes a `Launcher` too, but does not run it as a process.

use std::env;
use std::fmt::Write as _;
use std::io;
use std::marker::PhantomData;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::runtime::Handle;
use tower_layer::Layer;
use tower_service::Service;

use crate::error::Error;
use crate::log::log_error;
use crate::middleware::{Next, Reply, Request};
use crate::module::{Module, Starter};
use crate::outgoing::Outgoing;
use crate::process::panic_hook;
use crate::process::signals::Signals;
use crate::process::stdio_relay::Relays;
use crate::requests::{Executor, Limits};
use crate::session::{End, Session, ShutdownCause};
use crate::transport::connection::Connection;
#[cfg(feature = "compare-machinery")]
use crate::transport::plain::PlainExecutor;
use crate::transport::process_executor::ProcessExecutor;
use crate::transport::socket::Socket;
use crate::transport::workers::Workers;

/// The environment variable with the path of the host's socket. Without it, [`Launcher::run_async`] prints the help and ends.
const SOCKET: &str = "IXT_IPC_SOCKET";
/// The environment variable with this process's id, for hosts that don't send it in `init`. Without it, or if it is not UTF-8, the id is
/// empty.
const MODULE_ID: &str = "IXT_MODULE_ID";
/// The environment variable that overrides `Launcher::max_concurrency`.
const MAX_CONCURRENCY: &str = "IXT_MAX_CONCURRENCY";
/// The exit status of a module that was started without a host.
const NO_HOST: u8 = 2;
/// How many topics the help lists at most. It gives the number of the others.
const LISTED_TOPICS: usize = 20;
/// The default of [`Launcher::max_concurrency`].
const DEFAULT_MAX_CONCURRENCY: usize = 256;
/// The default of [`Launcher::max_queued`].
const DEFAULT_MAX_QUEUED: usize = 4096;

/// Runs a module with other limits than the defaults, or with middleware. The generated function `module::<H>()` makes it, where `H` is
/// the author's handler. The test harness `testing` takes one too, with its limits and middleware.
///
/// ```no_run
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/documentation/greeter.rs"));
/// fn main() -> std::process::ExitCode {
///     module::<Greeter>().max_concurrency(16).max_queued(64).run()
/// }
/// ```
#[must_use = "nothing runs before `run` is called"]
pub struct Launcher<M: Module> {
    /// The module with its middleware.
    pub(crate) starter: Starter<M>,
    /// Without `IXT_MAX_CONCURRENCY`, which `run` and `run_async` read.
    pub(crate) limits: Limits,
}

impl<M: Module> Launcher<M> {
    /// For generated code.
    #[doc(hidden)]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let limits = Limits { max_concurrency: DEFAULT_MAX_CONCURRENCY, max_queued: DEFAULT_MAX_QUEUED };
        Self { starter: Starter { wrap: None, module: PhantomData }, limits }
    }

    /// Sets how many handlers of services and events run at the same time at most, all together; 256 by default. The last call counts. The
    /// environment variable `IXT_MAX_CONCURRENCY` takes precedence in [`run`](Self::run) and [`run_async`](Self::run_async); if it is not a
    /// number above 0, the module does not start. A handler whose thread blocks counts until its method returns, even if the request was
    /// answered before. `init`, health checks and the module's own calls don't count.
    ///
    /// # Panics
    ///
    /// If it is 0.
    pub fn max_concurrency(mut self, requests: usize) -> Self {
        assert!(requests > 0, "`max_concurrency` is at least 1");
        self.limits.max_concurrency = requests;
        self
    }

    /// Sets how many more requests are queued at most while `max_concurrency` handlers run; 4,096 by default, none with 0. The request with
    /// the highest priority begins next (of several, the oldest), but every eighth time the oldest of all. Requests beyond the limit are
    /// refused with `RESOURCE_EXHAUSTED`, retryable.
    pub fn max_queued(mut self, requests: usize) -> Self {
        self.limits.max_queued = requests;
        self
    }

    /// Puts [middleware](crate::middleware) around the handler and around the layers of earlier calls: the last layer is the outermost.
    /// `Layer::layer` is called once for each, the innermost first, after `Handler::init` has succeeded and before `init` is answered.
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Next> + Send + Sync + 'static,
        L::Service: Service<Request, Response = Reply, Error: Into<Error>, Future: Send> + Clone + Send + 'static,
    {
        let inner = self.starter.wrap.take();
        self.starter.wrap = Some(Arc::new(move |handler| {
            let inner = match &inner {
                Some(wrap) => wrap(handler),
                None => handler,
            };
            inner.wrapped(&layer)
        }));
        self
    }

    /// Runs the module on a new tokio runtime, and returns when the module has shut down. Tasks that still run then are dropped; threads
    /// that still block are not waited for. Call it in `main`, and return its result, which becomes the exit status:
    ///
    /// - 0 after a shutdown that the host, SIGTERM, SIGINT or the end of the connection has begun, unless `Handler::shutdown` fails;
    /// - 1 if the module can't start or `Handler::shutdown` fails (the log says why), if the first `init` is refused or fails while no
    ///   shutdown runs (the reply to `init` says why), or if a thread of the SDK panics;
    /// - 2 if it was started without a host, that is without `IXT_IPC_SOCKET`; it prints to stderr how to start it.
    ///
    /// A second SIGTERM or SIGINT, also if the first was the other one, ends the process at once, with status 128 plus its number.
    ///
    /// Within a tokio runtime, such as that of `#[tokio::main]`, it logs an error and returns 1: call [`run_async`](Self::run_async)
    /// there.
    #[must_use]
    pub fn run(mut self) -> ExitCode {
        if let Err(error) = self.limits.read_environment() {
            log_error(error);
            return ExitCode::FAILURE;
        }
        if Handle::try_current().is_ok() {
            log_error(format!(
                "{} can't start: `run` makes a tokio runtime of its own, and was called within one, such as that of \
                 `#[tokio::main]`. Call `run_async` in its place, with the same arguments, and `.await` it; or let `main` be a \
                 function without `async`",
                M::NAME
            ));
            return ExitCode::FAILURE;
        }
        // Before the runtime is made: the host accepts the connection and sends `init` meanwhile.
        let stream = match Self::connect() {
            Ok(stream) => stream,
            Err(status) => return status,
        };
        // A thread for each handler, since each may block, and tokio's default of 512 for the author's code.
        let threads = self.limits.max_concurrency.saturating_add(512);
        let (runtime, workers) = match Workers::runtime(threads) {
            Ok(made) => made,
            Err(error) => return Self::failed_to_start(&error),
        };
        let entered = runtime.enter();
        let serving = Serving::start(self, stream, Some(workers));
        drop(entered);
        let status = match serving {
            Ok(serving) => {
                let connection = Arc::clone(&serving.connection);
                let ended = runtime.spawn(serving.ended());
                // This thread is the watchdog, until the session has ended.
                connection.watch();
                runtime.block_on(ended).unwrap_or(ExitCode::FAILURE)
            }
            Err(error) => Self::failed_to_start(&error),
        };
        // Without waiting for background tasks: the host knows that the module has ended.
        runtime.shutdown_background();
        status
    }

    /// Does the same as [`run`](Self::run) on the current tokio runtime, which goes on when the module has ended. The runtime needs its I/O
    /// and time drivers (`enable_all`; without them this panics, or never returns), and at least `max_concurrency` threads in its blocking
    /// pool if all handlers may block. Once it has connected to the host, the process has the SDK's handlers for SIGTERM and SIGINT; after
    /// this has returned, it ignores both. Await it to its end: if it is dropped before, it closes the connection, and requests that are
    /// handled get no reply.
    pub async fn run_async(mut self) -> ExitCode {
        if let Err(error) = self.limits.read_environment() {
            log_error(error);
            return ExitCode::FAILURE;
        }
        let stream = match Self::connect() {
            Ok(stream) => stream,
            Err(status) => return status,
        };
        let serving = Serving::start(self, stream, None);
        let serving = serving.and_then(|serving| serving.connection.start_watchdog().map(|()| serving));
        match serving {
            Ok(serving) => serving.ended().await,
            Err(error) => Self::failed_to_start(&error),
        }
    }

    /// Connects to the host.
    ///
    /// # Errors
    ///
    /// The exit status, after the reason was logged.
    fn connect() -> Result<UnixStream, ExitCode> {
        let Some(socket) = env::var_os(SOCKET) else {
            eprint!("{}", help::<M>());
            return Err(ExitCode::from(NO_HOST));
        };
        UnixStream::connect(&socket).map_err(|error| {
            let socket = socket.display();
            log_error(format!("{} can't reach its host at {socket} ({SOCKET}): {error}", M::NAME));
            ExitCode::FAILURE
        })
    }

    /// Logs why the module can't start, and returns the exit status.
    fn failed_to_start(error: &io::Error) -> ExitCode {
        log_error(format!("{} can't start: {error}", M::NAME));
        ExitCode::FAILURE
    }
}

impl<M: Module> std::fmt::Debug for Launcher<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Launcher").field("module", &M::NAME).field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Limits {
    /// Sets `max_concurrency` to the value of `IXT_MAX_CONCURRENCY`. Changes nothing if the variable is not set.
    ///
    /// # Errors
    ///
    /// If the value is not a number above 0, also if it is empty: the message for the log. The limit is then unchanged.
    fn read_environment(&mut self) -> Result<(), String> {
        let Some(text) = env::var_os(MAX_CONCURRENCY) else { return Ok(()) };
        let number = text.to_str().and_then(|text| text.parse().ok()).filter(|number| *number > 0);
        self.max_concurrency = number
            .ok_or_else(|| format!("{MAX_CONCURRENCY} is `{}`, not a number of requests above 0", text.display()))?;
        Ok(())
    }
}

/// A module that serves its host.
struct Serving {
    session: Arc<Session>,
    connection: Arc<Connection>,
    signals: Signals,
    relays: Arc<Relays>,
}

impl Serving {
    /// Begins to serve the host at the other end of `stream`, on the current runtime. Installs the panic hook, the subscriber of tracing
    /// and the signal handlers. Does not start the watchdog.
    ///
    /// # Errors
    ///
    /// If a signal handler can't be installed, or the reader can't be started.
    fn start<M: Module>(launcher: Launcher<M>, stream: UnixStream, workers: Option<Arc<Workers>>) -> io::Result<Self> {
        let (stream, tokio) = (Arc::new(stream), Handle::current());
        panic_hook::install();
        #[cfg(feature = "tracing")]
        crate::tracing::install();
        let signals = Signals::new()?;
        let executor = Arc::new(ProcessExecutor::new(tokio.clone()));
        let outgoing = Arc::new(Outgoing::new(Socket::new(&stream, Arc::clone(&executor))));
        let module_id = env::var(MODULE_ID).unwrap_or_default();
        let used: Arc<dyn Executor> = Arc::clone(&executor) as _;
        #[cfg(feature = "compare-machinery")]
        let plain = crate::compare::is_plain("tasks").then(|| Arc::new(PlainExecutor::new(tokio.clone())));
        #[cfg(feature = "compare-machinery")]
        let used = plain.as_ref().map_or(used, |plain| Arc::clone(plain) as _);
        let session = Arc::new(Session::new(
            Box::new(launcher.starter),
            module_id,
            launcher.limits,
            used,
            outgoing,
            tokio.clone(),
        ));
        session.log_scope().make_default();
        let relays = Arc::new(Relays::default());
        session.before_shutdown({
            let relays = Arc::clone(&relays);
            // If the host has closed the connection, it may stop reading stdout and stderr at any moment: relay both. Otherwise relay only
            // a stream that it reads no longer.
            move |cause| relays.start(!matches!(cause, ShutdownCause::HostGone))
        });
        let connection = Connection::new(Arc::clone(&session), executor, Arc::clone(&stream), tokio, workers);
        #[cfg(feature = "compare-machinery")]
        if let Some(plain) = plain {
            plain.start(&session, stream);
            return Ok(Self { session, connection, signals, relays });
        }
        connection.start_reader()?;
        Ok(Self { session, connection, signals, relays })
    }

    /// Waits until the session has ended, and ends the connection. A signal begins the shutdown.
    async fn ended(mut self) -> ExitCode {
        let mut ended = pin!(self.session.ended());
        let end = tokio::select! {
            end = &mut ended => end,
            // A second signal ends the process by itself.
            () = self.signals.received() => {
                self.session.shutdown(ShutdownCause::Signal, None);
                ended.await
            }
        };
        match end {
            End::Clean => ExitCode::SUCCESS,
            End::Failed => ExitCode::FAILURE,
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.relays.end();
        self.connection.end();
    }
}

/// The text that a module prints if it is started without a host: its name and version, and how to call its services, with
/// [`LISTED_TOPICS`] of them at most. Ends with a line end.
fn help<M: Module>() -> String {
    let mut topics = M::topics();
    let mut help = format!(
        "{name} {version} is an IXT module: a host starts it, and tells it in {SOCKET} where to connect.\n",
        name = M::NAME,
        version = M::VERSION,
    );
    if let Some(first) = topics.next() {
        let _ = write!(
            help,
            "\nTo call one of its services from here, let the command `ixt` be the host:\n\
             \n    ixt call --module DIR {first}\n\
             \nwhere DIR holds the module's manifest.toml. Its services:\n\n    {first}\n",
        );
    }
    for topic in topics.by_ref().take(LISTED_TOPICS - 1) {
        let _ = writeln!(help, "    {topic}");
    }
    match topics.count() {
        0 => {}
        more => {
            let _ = writeln!(help, "    … and {more} more");
        }
    }
    help
}
