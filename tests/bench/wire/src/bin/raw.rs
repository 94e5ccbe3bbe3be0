//! The limit that a module is compared with: a process that sends back the bytes that it reads, without parsing them.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

fn main() -> std::io::Result<()> {
    let socket = std::env::var_os("IXT_IPC_SOCKET").expect("a path");
    let mut stream = UnixStream::connect(socket)?;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..read])?;
    }
}
