//! The limit for a host: between two sockets, it passes on what it reads, and looks at nothing. At the other end of the second
//! one is the raw echo.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;

use anyhow::{Context as _, Result};
use ixt_bench_wire::program;

fn main() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let socket = dir.path().join("s");
    let listener = UnixListener::bind(&socket)?;
    let mut echo = Command::new(program("raw")?).env("IXT_IPC_SOCKET", &socket).spawn()?;
    let (callee, _) = listener.accept()?;
    let caller = UnixStream::connect(std::env::var_os("IXT_IPC_SOCKET").context("a path")?)?;
    let (answers, asker) = (callee.try_clone()?, caller.try_clone()?);
    let back = std::thread::spawn(move || pass(answers, asker));
    pass(caller, callee)?;
    back.join().expect("it doesn't panic")?;
    echo.wait()?;
    Ok(())
}

fn pass(mut from: UnixStream, mut to: UnixStream) -> std::io::Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            // The one who asks may be gone already.
            let _ = to.shutdown(Shutdown::Both);
            return Ok(());
        }
        to.write_all(&buffer[..read])?;
    }
}
