//! The raw echo, which a module can't be faster than: it sends back the bytes that it reads, with blocking calls of std, and parses
//! nothing.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

fn main() -> std::io::Result<()> {
    let socket = std::env::var_os("IXT_IPC_SOCKET").expect("IXT_IPC_SOCKET is set");
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
