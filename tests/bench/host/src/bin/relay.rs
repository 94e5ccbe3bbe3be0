//! What a host can't be faster than: it passes on what it reads from one socket to another, with a thread for each direction, and parses
//! nothing. At the other end of the second socket is the raw echo.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::Command;

use anyhow::{Context as _, Result};
use ixt_bench::process::program;
use ixt_bench_wire::Starting;

fn main() -> Result<()> {
    let (echo, callee) = Starting::new(Command::new(program("raw")?))?.accept()?;
    let caller = UnixStream::connect(std::env::var_os("IXT_IPC_SOCKET").context("IXT_IPC_SOCKET is not set")?)?;
    let (replies, to_caller) = (callee.try_clone()?, caller.try_clone()?);
    let back = std::thread::spawn(move || pass(replies, to_caller));
    pass(caller, callee)?;
    back.join().expect("it doesn't panic")?;
    echo.wait()
}

/// Copies bytes until the first stream ends.
fn pass(mut from: UnixStream, mut to: UnixStream) -> std::io::Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            // Fails if the process at the other end has hung up already.
            let _ = to.shutdown(Shutdown::Both);
            return Ok(());
        }
        to.write_all(&buffer[..read])?;
    }
}
