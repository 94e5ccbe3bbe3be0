//! Runs a module on any byte stream. The test host of this crate is not involved: `host.rs` has that.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::runtime::Handle;

use crate::error::{Error, Result};
use crate::launcher::Launcher;
use crate::session::End;
use crate::transport::task_executor::{Wire, connect};

/// The most bytes that one read takes. A frame may be larger.
const CHUNK_BYTES: usize = 64 * 1024;

/// Runs a module in this process; its host is at the other end of `stream`, for example of [`tokio::io::duplex`]. Returns when the module
/// has shut down, because the host has asked for it or the stream has ended, or when `init` has failed. All `async` handlers run in this
/// future: one that blocks its thread blocks the module. Methods of `blocking` services run on threads of tokio's blocking pool.
/// `IXT_MAX_CONCURRENCY` is not read.
///
/// Dropping the future stops the module without `Handler::shutdown`: nothing more is read, and no handler is polled again. Tasks that the
/// author has spawned and threads of [`blocking`](fn@crate::blocking) go on, and the future of a waiting handler may be dropped later or
/// never.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/documentation/greeter.rs"));
/// use ixt_sdk::testing;
/// use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
///
/// # fn main() {
/// testing::run(async {
///     let (host, stream) = tokio::io::duplex(64 * 1024);
///     let module = tokio::spawn(testing::serve(module::<Greeter>(), stream));
///     let mut host = BufReader::new(host);
///     host.write_all(b"{\"type\":\"init\",\"id\":1,\"config\":{}}\n").await?;
///     let mut reply = String::new();
///     host.read_line(&mut reply).await?;
///     assert!(reply.starts_with("{\"type\":\"success\",\"id\":1,"), "{reply}");
///     drop(host);
///     module.await?
/// });
/// # }
/// ```
///
/// # Errors
///
/// `INTERNAL` if the first `init` was refused or has failed (the reply to it says why), or if `Handler::shutdown` has failed (the module's
/// log says why, and the reply to `shutdown`).
///
/// # Panics
///
/// If it is polled outside of a tokio runtime, or in one without a timer.
pub async fn serve<M: crate::module::Module>(
    module: Launcher<M>,
    stream: impl AsyncRead + AsyncWrite + Send,
) -> Result<()> {
    let Launcher { starter, limits } = module;
    let (wire, session) = connect(Box::new(starter), String::new(), limits, Handle::current());
    let Wire { to_module, mut from_module } = wire;
    let (mut reader, mut writer) = tokio::io::split(stream);
    let input = async move {
        let mut chunk = vec![0; CHUNK_BYTES];
        while let Ok(read @ 1..) = reader.read(&mut chunk).await {
            let _ = to_module.send(chunk[..read].to_vec());
        }
        drop(to_module);
        std::future::pending::<()>().await;
    };
    let output = async move {
        while let Some(bytes) = from_module.recv().await {
            if writer.write_all(&bytes).await.is_err() {
                break;
            }
        }
        let _ = writer.shutdown().await;
    };
    let run = async move {
        tokio::select! {
            biased;
            end = session => end,
            () = input => unreachable!("it waits for the end"),
        }
    };
    let (end, ()) = tokio::join!(run, output);
    match end {
        End::Clean => Ok(()),
        End::Failed => {
            Err(Error::internal("`init` or `shutdown` has failed; the reply to it, or the module's log, says why"))
        }
    }
}
