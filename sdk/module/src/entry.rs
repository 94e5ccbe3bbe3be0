//! The module's process from `main` to its exit status.

use std::env;
use std::fmt::Write as _;
use std::process::ExitCode;

use tokio::net::UnixStream;

use crate::log_error;
use crate::module::Module;
use crate::session::{End, serve};

/// Where the host listens (seeds).
const SOCKET: &str = "IXT_IPC_SOCKET";
/// This process's id (seeds).
const MODULE_ID: &str = "IXT_MODULE_ID";
/// Started without a host.
const NO_HOST: u8 = 2;
/// How many topics the help lists.
const LISTED_TOPICS: usize = 20;

/// Runs the module on a tokio runtime of its own.
#[must_use]
pub fn run<M: Module>() -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let status = runtime.block_on(run_async::<M>());
            // Tasks that the author left behind are not waited for: the host was told that the module is done.
            runtime.shutdown_background();
            status
        }
        Err(error) => {
            log_error(format!("{} can't start: {error}", M::NAME));
            ExitCode::FAILURE
        }
    }
}

/// Runs the module on the caller's tokio runtime, which needs its I/O and its timer.
pub async fn run_async<M: Module>() -> ExitCode {
    let Some(socket) = env::var_os(SOCKET) else {
        eprint!("{}", help::<M>());
        return ExitCode::from(NO_HOST);
    };
    let stream = match UnixStream::connect(&socket).await {
        Ok(stream) => stream,
        Err(error) => {
            let socket = socket.display();
            log_error(format!("{} can't reach its host at {socket} ({SOCKET}): {error}", M::NAME));
            return ExitCode::FAILURE;
        }
    };
    let (reader, writer) = stream.into_split();
    match serve::<M>(env::var(MODULE_ID).unwrap_or_default(), reader, writer).await {
        End::Clean => ExitCode::SUCCESS,
        End::Failed => ExitCode::FAILURE,
    }
}

/// For a person who has started the module by hand.
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
