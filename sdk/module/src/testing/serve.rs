//! Runs a module on any byte stream.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::runtime::Handle;

use crate::error::{Error, Result};
use crate::launcher::Launcher;
use crate::session::End;
use crate::transport::task_executor::{Wire, connect};

/// How many bytes are read at once at most.
const CHUNK_BYTES: usize = 64 * 1024;

/// Runs a module with the host at the other end of any byte stream, such as one end of [`tokio::io::duplex`]: for a host in the same
/// process. The module ends when it is shut down, or when the stream ends. Dropping the future ends it at once, as SIGKILL ends a
/// process.
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
/// `INTERNAL` if `Handler::init` or `Handler::shutdown` has failed; the module's log says why.
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
        End::Failed => Err(Error::internal("`init` or `shutdown` has failed; the module's log says why")),
    }
}
