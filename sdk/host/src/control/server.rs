//! The host's end of the control socket.

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fmt, process};

use ixt_protocol::{LogLevel, Object, code, decode_base64, encode_base64};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Interest};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::SetOnce;

use crate::control::{Command, HostStatus, Reply};
use crate::kv::{Change, Entry, KvError, MAX_PAGE_KEYS, SetOptions, check_prefix};
use crate::logs::Line;
use crate::{CallError, CallOptions, ErrorReply, Host};

/// The longest line that is taken.
const MAX_REQUEST_BYTES: u64 = 32 * 1024 * 1024;

/// How often it is looked whether somebody who sends nothing more is gone.
const HANG_UP_INTERVAL: Duration = Duration::from_millis(50);

/// Why there is no control socket.
#[derive(Debug)]
#[non_exhaustive]
pub enum ControlError {
    /// Another host has it.
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Others can put something into the directory for it, or it belongs to one of them.
    NotPrivate {
        /// The directory.
        dir: PathBuf,
    },
    /// It can't be made.
    Failed {
        /// The socket.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { path } => write!(
                f,
                "a host is running already, at {}: `ixt ps` shows it, `ixt stop` ends it; for another one give `--host PATH`",
                path.display()
            ),
            Self::NotPrivate { dir } => write!(
                f,
                "the directory {} for the host's socket can be changed by others: `chmod 700` it, or give another place with \
                 `--host PATH`",
                dir.display()
            ),
            Self::Failed { path, error } => write!(f, "can't make the host's socket {}: {error}", path.display()),
        }
    }
}

impl std::error::Error for ControlError {}

/// The place of a control socket, which is this host's as long as this is there.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    /// Locked.
    lock: File,
}

/// The control socket of a host; removed when this is dropped.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    listener: UnixListener,
    _lock: File,
    stop: Arc<SetOnce<()>>,
    started: Instant,
}

impl Claim {
    /// Takes the place, before anything is built or started: where another host is running there, nothing has happened yet.
    ///
    /// # Errors
    ///
    /// If another host has it, the directory is not this user's alone, or it can't be made.
    pub fn new(path: impl Into<PathBuf>) -> Result<Self, ControlError> {
        let path = path.into();
        let failed = |error| ControlError::Failed { path: path.clone(), error };
        let dir = match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
            _ => PathBuf::from("."),
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(failed)?;
        let metadata = fs::metadata(&dir).map_err(failed)?;
        // In a directory of others, such as /tmp, somebody else could put a socket in this one's place.
        if metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & 0o022 != 0 {
            return Err(ControlError::NotPrivate { dir });
        }
        let lock = File::options().create(true).truncate(false).write(true).open(lock_path(&path)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ControlError::InUse { path }),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        Ok(Self { path, lock })
    }

    /// Makes the socket.
    ///
    /// # Errors
    ///
    /// If that is not possible.
    pub fn listen(self) -> Result<Control, ControlError> {
        let Self { path, lock } = self;
        let failed = |error| ControlError::Failed { path: path.clone(), error };
        // That of a host that was killed.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&path).map_err(failed)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Control { path, listener, _lock: lock, stop: Arc::default(), started: Instant::now() })
    }
}

impl Control {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Answers until somebody asks the host to stop.
    pub async fn serve(&self, host: &Host) {
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = async { self.stop.wait().await; } => return,
            };
            let Ok((stream, _)) = accepted else {
                // Out of files, most likely: others will be closed.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            if stream.peer_cred().is_ok_and(|peer| peer.uid() == rustix::process::geteuid().as_raw()) {
                let (host, stop, started) = (host.clone(), Arc::clone(&self.stop), self.started);
                tokio::spawn(Session { host, stop, started }.run(stream));
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // The lock is kept to the end, so that this is nobody else's. It stays: to remove it would be to take the place of
        // one who has just opened it.
        let _ = fs::remove_file(&self.path);
    }
}

fn lock_path(socket: &Path) -> PathBuf {
    let mut path = socket.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}

/// One who asks.
struct Session {
    host: Host,
    stop: Arc<SetOnce<()>>,
    started: Instant,
}

impl Session {
    async fn run(self, stream: UnixStream) {
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::new(reader.take(MAX_REQUEST_BYTES));
        let mut line = Vec::new();
        if !matches!(reader.read_until(b'\n', &mut line).await, Ok(1..)) {
            return;
        }
        let last = tokio::select! {
            last = self.answer(&line, &mut writer) => last,
            // Nobody waits for it any more.
            () = hung_up(reader) => return,
        };
        let _ = write(&mut writer, &last).await;
    }

    async fn answer(&self, line: &[u8], writer: &mut OwnedWriteHalf) -> Reply {
        let command = match serde_json::from_slice::<Command>(line) {
            Ok(command) => command,
            Err(error) => {
                let message = format!(
                    "the host (version {}) does not know this request: {error}; is the command of another version?",
                    env!("CARGO_PKG_VERSION")
                );
                return refusal(code::UNIMPLEMENTED, &message);
            }
        };
        match self.command(command, writer).await {
            Ok(()) => Reply::Done,
            Err(reply) => reply,
        }
    }

    async fn command(&self, command: Command, writer: &mut OwnedWriteHalf) -> Result<(), Reply> {
        let host = &self.host;
        let kv = host.kv();
        match command {
            Command::Call { topic, payload, priority, ttl_ms } => {
                let options = CallOptions { priority, ttl: ttl_ms.map(Duration::from_millis) };
                let data = host.call(&topic, &bytes(&payload)?, options).await.map_err(call_error)?;
                write_line(writer, answer_line(&data)).await
            }
            Command::Publish { topic, payload } => host.publish(&topic, &bytes(&payload)?).await.map_err(call_error),
            Command::Status => {
                let status = HostStatus {
                    pid: process::id(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    seconds: self.started.elapsed().as_secs_f64(),
                    modules: host.status(),
                };
                data(writer, &status).await
            }
            Command::Logs { last, follow, module, level } => {
                self.logs(last, follow, module.as_deref(), level, writer).await
            }
            Command::Restart { module } => host.restart(&module).await.map_err(call_error),
            Command::Stop { module: Some(module) } => host.stop(&module).await.map_err(call_error),
            Command::Stop { module: None } => {
                let _ = self.stop.set(());
                // The host ends, and this with it.
                std::future::pending().await
            }
            Command::KvGet { module, key } => {
                let entry = kv.get(self.namespace(&module)?, &key).await.map_err(kv_error)?;
                let entry = entry.map(|Entry { value, revision }| (encode_base64(&value), revision));
                match entry {
                    None => data(writer, &json!({ "found": false })).await,
                    Some((value, revision)) => {
                        data(writer, &json!({ "found": true, "value": value, "revision": revision })).await
                    }
                }
            }
            Command::KvSet { module, key, value, ttl_ms, expected_revision } => {
                let options = SetOptions { ttl: ttl_ms.map(Duration::from_millis), expected_revision };
                let set = kv.set(self.namespace(&module)?, &key, bytes(&value)?, options);
                data(writer, &json!({ "revision": set.await.map_err(kv_error)? })).await
            }
            Command::KvDelete { module, key, expected_revision } => {
                let deleted = kv.delete(self.namespace(&module)?, &key, expected_revision).await.map_err(kv_error)?;
                data(writer, &json!({ "deleted": deleted })).await
            }
            Command::KvList { module, prefix } => {
                check_prefix(&prefix).map_err(kv_error)?;
                let namespace = self.namespace(&module)?;
                let mut after = None;
                loop {
                    let page = kv.list(namespace, &prefix, after.as_deref(), MAX_PAGE_KEYS).await.map_err(kv_error)?;
                    for key in &page.keys {
                        data(writer, key).await?;
                    }
                    after = page.next;
                    if after.is_none() {
                        return Ok(());
                    }
                }
            }
            Command::KvWatch { module, prefix } => {
                check_prefix(&prefix).map_err(kv_error)?;
                let mut watch = kv.watch(self.namespace(&module)?, &prefix);
                // So that whoever asked knows that from here on nothing is missed.
                data(writer, &json!({ "watching": prefix })).await?;
                while let Some(Change { key, revision, value }) = watch.next().await {
                    let change = match value {
                        Some(value) => json!({ "key": key, "revision": revision, "value": encode_base64(&value) }),
                        None => json!({ "key": key, "revision": revision, "deleted": true }),
                    };
                    data(writer, &change).await?;
                }
                Ok(())
            }
        }
    }

    async fn logs(
        &self,
        last: usize,
        follow: bool,
        module: Option<&str>,
        level: Option<LogLevel>,
        writer: &mut OwnedWriteHalf,
    ) -> Result<(), Reply> {
        if let Some(module) = module {
            self.namespace(module)?;
        }
        let wanted = |line: &Line| match line {
            Line::Missed(_) => true,
            Line::Record(record) => {
                let name = record.module.split(':').next();
                level.is_none_or(|level| record.level >= level) && module.is_none_or(|module| name == Some(module))
            }
        };
        let mut follower = self.host.logs().follow(usize::MAX);
        let mut there = Vec::new();
        while let Some(line) = follower.try_next() {
            there.extend(Some(line).filter(wanted));
        }
        // The last of those that are wanted, not those that are wanted of the last.
        for line in there.iter().skip(there.len().saturating_sub(last)) {
            log_line(writer, line).await?;
        }
        while follow && let Some(line) = follower.next().await {
            if wanted(&line) {
                log_line(writer, &line).await?;
            }
        }
        Ok(())
    }

    fn namespace<'a>(&self, module: &'a str) -> Result<&'a str, Reply> {
        let mut names = self.host.modules().map(|module| module.manifest().module.name.as_str());
        if names.any(|name| name == module) {
            return Ok(module);
        }
        let names: Vec<_> = self.host.modules().map(|module| format!("`{}`", module.manifest().module.name)).collect();
        let message = format!("there is no module `{module}` here; there are: {}", names.join(", "));
        Err(refusal(code::NOT_FOUND, &message))
    }
}

async fn log_line(writer: &mut OwnedWriteHalf, line: &Line) -> Result<(), Reply> {
    match line {
        Line::Record(record) => data(writer, &**record).await,
        Line::Missed(missed) => data(writer, &json!({ "missed": missed })).await,
    }
}

/// Waits until the other end is gone. That it sends nothing more is not enough: it may still read.
async fn hung_up(mut reader: BufReader<tokio::io::Take<OwnedReadHalf>>) {
    let mut rest = [0; 64];
    while matches!(reader.read(&mut rest).await, Ok(1..)) {}
    let stream = reader.get_ref().get_ref();
    while stream.ready(Interest::WRITABLE).await.is_ok_and(|ready| !ready.is_write_closed()) {
        tokio::time::sleep(HANG_UP_INTERVAL).await;
    }
}

async fn data(writer: &mut OwnedWriteHalf, data: &(impl Serialize + Sync)) -> Result<(), Reply> {
    /// A [`Reply::Data`].
    #[derive(Serialize)]
    struct Line<'a, T> {
        data: &'a T,
    }
    write(writer, &Line { data }).await
}

/// The same of what a module has answered, without another look at it.
fn answer_line(answer: &Object<'_>) -> Vec<u8> {
    let mut line = b"{\"data\":".to_vec();
    // There may be line ends between its values, where any space will do.
    line.extend(answer.to_json().bytes().map(|byte| if byte == b'\n' { b' ' } else { byte }));
    line.push(b'}');
    line
}

async fn write(writer: &mut OwnedWriteHalf, reply: &(impl Serialize + Sync)) -> Result<(), Reply> {
    let line = serde_json::to_vec(reply).map_err(|error| refusal(code::INTERNAL, &error.to_string()))?;
    write_line(writer, line).await
}

async fn write_line(writer: &mut OwnedWriteHalf, mut line: Vec<u8>) -> Result<(), Reply> {
    line.push(b'\n');
    // If this fails there is nobody to whom it matters.
    writer.write_all(&line).await.map_err(|error| refusal(code::CANCELLED, &error.to_string()))
}

fn bytes(base64: &str) -> Result<Vec<u8>, Reply> {
    decode_base64(base64).map_err(|error| refusal(code::INVALID_INPUT, &error.to_string()))
}

fn refusal(code: &str, message: &str) -> Reply {
    Reply::Error { code: code.to_owned(), message: message.to_owned(), details: Value::Null, retryable: false }
}

fn call_error(error: CallError) -> Reply {
    match error {
        CallError::Replied(reply) => reply.into(),
        CallError::TooLong { .. } => refusal(code::RESOURCE_EXHAUSTED, &error.to_string()),
        CallError::Gone { reason } => {
            ErrorReply { code: code::UNAVAILABLE.to_owned(), message: reason, details: Value::Null, retryable: true }
                .into()
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn kv_error(error: KvError) -> Reply {
    Reply::Error {
        code: error.code().to_owned(),
        message: error.to_string(),
        details: Value::Null,
        retryable: error.retryable(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_several_lines_is_one_line() {
        let answer = Object::trusted("{\n \"a\": \"\\n\"\n}").attach("b", &b"hi"[..]);
        let line = answer_line(&answer);
        assert!(!line.contains(&b'\n'));
        let Ok(Reply::Data(data)) = serde_json::from_slice(&line) else { panic!("it is a reply") };
        let data: Value = serde_json::from_str(data.get()).unwrap();
        assert_eq!(data, json!({ "a": "\n", "b": "aGk=" }));
    }
}
