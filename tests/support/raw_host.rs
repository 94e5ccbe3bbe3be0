//! A host made from PROTOCOL.md alone: a socket, and lines of text. It uses none of this project's crates. It sends what a test tells it
//! to, also what no host would send, and does nothing by itself.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// How long a test waits for the module's next bytes before it fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A module's process, and the host's end of its connection. Dropped, it kills the process.
pub struct RawHost {
    module: Child,
    reader: BufReader<UnixStream>,
    writer: UnixStream,
    dir: tempfile::TempDir,
}

impl RawHost {
    /// Starts a module's program, in a temporary directory and with pipes for stdout and stderr, and waits until it has connected, without
    /// a limit.
    ///
    /// # Panics
    ///
    /// If the program can't be started.
    #[must_use]
    pub fn start(program: &Path) -> Self {
        Self::start_with(program, &[])
    }

    /// Like [`start`](Self::start), with these environment variables besides those of the test and of the host.
    ///
    /// # Panics
    ///
    /// If the program can't be started.
    #[must_use]
    pub fn start_with(program: &Path, environment: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s");
        let listener = UnixListener::bind(&socket).unwrap();
        let module = Command::new(program)
            .env("IXT_IPC_SOCKET", &socket)
            .env("IXT_MODULE_ID", "fixture:1.0.0/instance-001")
            .envs(environment.iter().copied())
            .current_dir(dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        Self { module, reader, writer: stream, dir }
    }

    /// Sends bytes as they are. Blocks while the module does not read.
    ///
    /// # Panics
    ///
    /// If the module has closed its connection.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes).unwrap();
    }

    /// Sends a line: `line` and a line end.
    ///
    /// # Panics
    ///
    /// If the module has closed its connection.
    pub fn send(&mut self, line: &str) {
        self.send_raw(format!("{line}\n").as_bytes());
    }

    /// Waits for the next line from the module, and returns it without its line end.
    ///
    /// # Panics
    ///
    /// If the module closes its connection instead, or sends nothing for 60 seconds.
    pub fn receive(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "the connection ended within a line: {line:?}");
        line.pop();
        line
    }

    /// Sends a frame in the framing `length`, without an attachment.
    ///
    /// # Panics
    ///
    /// If the module has closed its connection.
    pub fn send_length(&mut self, json: &str) {
        self.send_raw(&u32::try_from(json.len()).unwrap().to_le_bytes());
        self.send_raw(json.as_bytes());
    }

    /// Sends a frame in the framing `length`, with an attachment. `json` has to name the place of the attachment.
    ///
    /// # Panics
    ///
    /// If the module has closed its connection.
    pub fn send_attached(&mut self, json: &str, attachment: &[u8]) {
        let length = u32::try_from(4 + json.len() + attachment.len()).unwrap() | 1 << 31;
        self.send_raw(&length.to_le_bytes());
        self.send_length(json);
        self.send_raw(attachment);
    }

    /// Waits for the next frame from the module in the framing `length`, which must have no attachment.
    ///
    /// # Panics
    ///
    /// If the module closes its connection instead, or sends nothing for 60 seconds.
    pub fn receive_length(&mut self) -> String {
        let mut length = [0; 4];
        self.reader.read_exact(&mut length).unwrap();
        let mut json = vec![0; u32::from_le_bytes(length) as usize];
        self.reader.read_exact(&mut json).unwrap();
        String::from_utf8(json).unwrap()
    }

    /// Waits for the next frame from the module in the framing `length`. Returns its JSON and its attachment; `None` if it has none.
    ///
    /// # Panics
    ///
    /// If the module closes its connection instead, or sends nothing for 60 seconds.
    pub fn receive_attached(&mut self) -> (String, Option<Vec<u8>>) {
        let mut length = [0; 4];
        self.reader.read_exact(&mut length).unwrap();
        let length = u32::from_le_bytes(length);
        let mut frame = vec![0; (length & !(1 << 31)) as usize];
        self.reader.read_exact(&mut frame).unwrap();
        if length >> 31 == 0 {
            return (String::from_utf8(frame).unwrap(), None);
        }
        let (json_bytes, rest) = frame.split_first_chunk().unwrap();
        let (json, attachment) = rest.split_at(u32::from_le_bytes(*json_bytes) as usize);
        (String::from_utf8(json.to_vec()).unwrap(), Some(attachment.to_vec()))
    }

    /// The id of the module's process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.module.id()
    }

    /// Sends a line, waits for the next one from the module, and returns that: the reply, if nothing else is under way. It panics as
    /// [`send`](Self::send) and [`receive`](Self::receive) do.
    pub fn ask(&mut self, line: &str) -> String {
        self.send(line);
        self.receive()
    }

    /// Sends `init` with the id 1 and a configuration, a JSON object, and without an offer of framings and features. Checks that the module
    /// accepts it.
    ///
    /// # Panics
    ///
    /// If the next frame is no success.
    pub fn init(&mut self, config: &str) {
        let reply =
            self.ask(&format!(r#"{{"type":"init","id":1,"config":{config},"module_id":"m:1.0.0/instance-001"}}"#));
        assert!(reply.starts_with(r#"{"type":"success","id":1,"data":"#), "{reply}");
    }

    /// Closes the host's sending end; the module's frames can still be read.
    ///
    /// # Panics
    ///
    /// If that is not possible.
    pub fn close_output(&mut self) {
        self.writer.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Closes the connection, as a host that dies does.
    ///
    /// # Panics
    ///
    /// If that is not possible.
    pub fn hang_up(&mut self) {
        self.writer.shutdown(std::net::Shutdown::Both).unwrap();
    }

    /// Closes the pipes of the module's stdout and stderr, as a host that dies does. The module's next write to them fails.
    pub fn lose_log(&mut self) {
        (self.module.stdout, self.module.stderr) = (None, None);
    }

    /// Everything that the module has printed to stdout, up to its end, for which this waits. Call it once.
    ///
    /// # Panics
    ///
    /// If it is no text, or stdout was read or [lost](Self::lose_log) before.
    pub fn stdout(&mut self) -> String {
        let mut text = String::new();
        self.module.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    /// Waits for the module to end, without a limit. It does not make the module end.
    ///
    /// # Panics
    ///
    /// If that is not possible.
    pub fn wait(&mut self) -> ExitStatus {
        self.module.wait().unwrap()
    }

    /// The module's working directory, with the socket `s` in it.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Waits for the module to end, without a limit. Returns the frames that it has still sent, its exit status, and its stderr. It does
    /// not make the module end: send `shutdown` or close the connection before.
    ///
    /// # Panics
    ///
    /// If stderr is no text.
    #[must_use]
    pub fn end(mut self) -> (String, ExitStatus, String) {
        let mut rest = String::new();
        // After `hang_up` there is nothing to read.
        let _ = self.reader.read_to_string(&mut rest);
        let mut stderr = String::new();
        if let Some(mut from) = self.module.stderr.take() {
            from.read_to_string(&mut stderr).unwrap();
        }
        (rest, self.module.wait().unwrap(), stderr)
    }
}

impl Drop for RawHost {
    fn drop(&mut self) {
        // After `end` there is nothing to kill.
        let _ = self.module.kill();
        let _ = self.module.wait();
    }
}
