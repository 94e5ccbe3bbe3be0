//! The host's end of the control socket.

use std::collections::VecDeque;
use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fmt, process};

use ixt_manifest::closest;
use ixt_protocol::{LogLevel, Object, code, decode_base64, encode_base64};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Interest};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{SetOnce, mpsc};
use tokio::time::timeout;

use crate::budget::{Budget, Reservation};
use crate::connection_limit::{CLIENT_TIMEOUT, ConnectionLimit, ConnectionPermit};
use crate::control::asker::Asker;
use crate::control::{Command, HostStatus, LogQuery, Reply};
use crate::kv::{Change, Entry, KvError, MAX_PAGE_KEYS, SetOptions, check_prefix};
use crate::module::no_module;
use crate::{CallError, CallOptions, ErrorReply, Host, Module, Notice};

/// The longest line that is taken: a frame of the default size in base64, and more than enough for the rest.
const MAX_LINE_BYTES: usize = 24 * 1024 * 1024;
/// A line up to this size takes nothing: whatever else waits, the host can be asked how it is, and be told to stop.
const FREE_LINE_BYTES: usize = 64 * 1024;
/// And so much of all that are being read or worked on.
const LINES_BYTES: usize = 64 * 1024 * 1024;

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
    /// There is something in its place that is no socket of a host that has ended: it is left as it is.
    Occupied {
        /// The place.
        path: PathBuf,
    },
    /// The service manager has made one, and another place is wanted, or it is at none.
    HandedOver {
        /// Where it is, if it has a path.
        path: Option<PathBuf>,
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
            Self::Occupied { path } => write!(
                f,
                "there is something else at {}, where the host's socket is to be: give another place with `--host PATH`",
                path.display()
            ),
            Self::HandedOver { path: Some(path) } => write!(
                f,
                "the service manager hands over a socket at {}, and another place is given with --host or IXT_HOST",
                path.display()
            ),
            Self::HandedOver { path: None } => f.write_str(
                "the service manager hands over a socket that has no path, at which nobody would find this host: in its unit \
                 `ListenStream=` names one",
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
    held: Held,
}

/// What makes a place this host's.
#[derive(Debug)]
enum Held {
    /// Locked.
    Lock(File),
    /// It belongs to whoever has made the socket.
    Listener(std::os::unix::net::UnixListener),
}

/// The control socket of a host. Unless it was handed over, it is removed when this is dropped.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    listener: UnixListener,
    made: Option<Made>,
    stop: Arc<SetOnce<()>>,
    started: Instant,
}

/// What the host has made, and removes.
#[derive(Debug)]
struct Made {
    /// That of the socket: whatever else is there is none of this host's.
    inode: (u64, u64),
    _lock: File,
}

impl Claim {
    /// The place of a socket that a service manager has made. `wanted` is the one that was given.
    ///
    /// # Errors
    ///
    /// If it is another one, or none.
    pub fn of(listener: std::os::unix::net::UnixListener, wanted: Option<&Path>) -> Result<Self, ControlError> {
        let path = listener.local_addr().ok().and_then(|address| Some(address.as_pathname()?.to_owned()));
        match path {
            Some(path) if wanted.is_none_or(|wanted| wanted == path) => {
                Ok(Self { path, held: Held::Listener(listener) })
            }
            path => Err(ControlError::HandedOver { path }),
        }
    }

    /// Takes the place, before anything is built or started: where another host is running there, nothing has happened yet.
    ///
    /// # Errors
    ///
    /// If another host has it, the directory is not this user's alone, or it can't be made.
    pub fn new(path: impl Into<PathBuf>) -> Result<Self, ControlError> {
        let path = path.into();
        let failed = |error| ControlError::Failed { path: path.clone(), error };
        check_place(&path)?;
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
        let mut lock = File::options();
        let lock = lock.create(true).truncate(false).write(true).mode(0o600).open(lock_path(&path)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ControlError::InUse { path }),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        Ok(Self { path, held: Held::Lock(lock) })
    }

    /// Makes the socket, or takes the one that is there. To be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// If that is not possible.
    pub fn listen(self) -> Result<Control, ControlError> {
        let Self { path, held } = self;
        let failed = |error| ControlError::Failed { path: path.clone(), error };
        let lock = match held {
            Held::Lock(lock) => lock,
            Held::Listener(listener) => {
                listener.set_nonblocking(true).map_err(failed)?;
                let listener = UnixListener::from_std(listener).map_err(failed)?;
                return Ok(Control { path, listener, made: None, stop: Arc::default(), started: Instant::now() });
            }
        };
        // That of a host that was killed.
        check_place(&path)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&path).map_err(failed)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(failed)?;
        let metadata = fs::symlink_metadata(&path).map_err(failed)?;
        let inode = (metadata.dev(), metadata.ino());
        let made = Some(Made { inode, _lock: lock });
        Ok(Control { path, listener, made, stop: Arc::default(), started: Instant::now() })
    }
}

/// Nothing is there, or a socket of this user on which nobody listens: all else was not made by a host, or is in use.
fn check_place(path: &Path) -> Result<(), ControlError> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    let is_ours = metadata.file_type().is_socket() && metadata.uid() == rustix::process::geteuid().as_raw();
    if !is_ours {
        return Err(ControlError::Occupied { path: path.to_owned() });
    }
    // A host has it locked, so that one that lives is found by that; somebody else may listen, too.
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        _ => Err(ControlError::InUse { path: path.to_owned() }),
    }
}

impl Control {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until somebody asks the host to stop.
    pub async fn asked_to_stop(&self) {
        self.stop.wait().await;
    }

    /// Answers, as long as this is awaited: also while the host shuts down, when calls are answered `UNAVAILABLE`.
    pub async fn serve(&self, host: &Host) {
        if self.made.is_some() {
            host.has_control(&self.path);
        }
        let (limit, lines) = (Arc::new(ConnectionLimit::default()), host.memory().part(LINES_BYTES));
        let mut is_told = false;
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    if !std::mem::replace(&mut is_told, true) {
                        let message =
                            format!("can't take connections to the host's socket, and goes on trying: {error}");
                        host.logs().host(LogLevel::Error, "host", message);
                    }
                    // Out of files, most likely: others will be closed.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            is_told = false;
            let Ok(peer) = stream.peer_cred() else { continue };
            if peer.uid() != rustix::process::geteuid().as_raw() {
                continue;
            }
            let Some(permit) = limit.admit() else {
                refuse(&stream);
                continue;
            };
            // At once: it may be gone before it is answered.
            let asker = Asker::of(peer.pid(), host.routers());
            let (host, stop, started) = (host.clone(), Arc::clone(&self.stop), self.started);
            tokio::spawn(Session { host, asker, stop, started, permit, lines: Arc::clone(&lines) }.run(stream));
        }
    }
}

/// The host works for as many as it can.
fn refuse(stream: &UnixStream) {
    let reply = refusal(code::RESOURCE_EXHAUSTED, "the host works for as many connections as it can: try again later");
    if let Ok(mut line) = serde_json::to_vec(&reply) {
        line.push(b'\n');
        // It is short, and the first thing in the socket.
        let _ = stream.try_write(&line);
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // The lock is kept to the end, so that this is nobody else's. It stays: to remove it would be to take the place of
        // one who has just opened it.
        let Some(Made { inode, .. }) = self.made else { return };
        if fs::symlink_metadata(&self.path).is_ok_and(|there| (there.dev(), there.ino()) == inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Who has this locked has the socket's place.
pub(crate) fn lock_path(socket: &Path) -> PathBuf {
    let mut path = socket.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}

/// One who asks.
struct Session {
    host: Host,
    asker: Asker,
    stop: Arc<SetOnce<()>>,
    started: Instant,
    permit: ConnectionPermit,
    lines: Arc<Budget>,
}

/// A line that was read, and what it takes.
struct Request {
    line: Vec<u8>,
    held: Reservation,
}

impl Session {
    async fn run(self, stream: UnixStream) {
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::new(reader);
        let request = tokio::select! {
            request = timeout(CLIENT_TIMEOUT, read_line(&mut reader, &self.lines)) => request,
            () = self.permit.must_close() => return,
        };
        let request = match request {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(_) => {
                let message = format!("the request has not come within {} s", CLIENT_TIMEOUT.as_secs());
                Err(refusal(code::DEADLINE_EXCEEDED, &message))
            }
        };
        let last = match request {
            Err(refusal) => refusal,
            Ok(request) => tokio::select! {
                last = self.permit.while_working(self.answer(request, &mut writer)) => last,
                // Nobody waits for it any more.
                () = hung_up(reader) => return,
                () = self.permit.must_close() => return,
            },
        };
        let _ = timeout(CLIENT_TIMEOUT, write(&mut writer, &last)).await;
    }

    /// A part of what has no end, or of what may be much: whoever does not take it has to make room when others come.
    async fn part(&self, writer: &mut OwnedWriteHalf, part: &(impl Serialize + Sync)) -> Result<(), Reply> {
        self.permit.while_sending(data(writer, part)).await
    }

    async fn answer(&self, Request { line, held }: Request, writer: &mut OwnedWriteHalf) -> Reply {
        let command = serde_json::from_slice::<Command>(&line);
        drop(line);
        // What it carries is held as long as it is worked on.
        let _held = held;
        let command = match command {
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
        self.asker.may(&command).map_err(|reason| refusal(code::PERMISSION_DENIED, &reason))?;
        let kv = host.kv();
        match command {
            Command::Call { topic, payload, priority, ttl_ms } => {
                let options = CallOptions { priority, ttl: ttl_ms.map(Duration::from_millis) };
                let data = self.call(&topic, &bytes(payload)?, options).await?;
                let held = self.hold(2 * data.bytes())?;
                let line = answer_line(&data);
                drop(data);
                let written = self.last(write_line(writer, line)).await;
                drop(held);
                written
            }
            Command::Publish { topic, payload } => {
                host.publish_as(self.asker.source(), &topic, &bytes(payload)?).await.map_err(call_error)
            }
            Command::Status => {
                let status = HostStatus {
                    pid: process::id(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    seconds: self.started.elapsed().as_secs_f64(),
                    modules: host.status(),
                };
                self.last(data(writer, &status)).await
            }
            Command::Logs(query) => self.logs(&query, writer).await,
            Command::Restart { module, build } => self.restart(&module, build, writer).await,
            Command::Stop { module: Some(module) } => host.stop(&module).await.map_err(call_error),
            Command::Stop { module: None } => {
                let _ = self.stop.set(());
                // The host ends, and this with it.
                std::future::pending().await
            }
            Command::KvGet { module, key } => {
                let entry = kv.get(self.namespace(&module)?, &key).await.map_err(kv_error)?;
                let _held = self.hold(3 * entry.as_ref().map_or(0, |entry| entry.value.len()))?;
                let entry = entry.map(|Entry { value, revision }| (encode_base64(&value), revision));
                match entry {
                    None => self.last(data(writer, &json!({ "found": false }))).await,
                    Some((value, revision)) => {
                        self.last(data(writer, &json!({ "found": true, "value": value, "revision": revision }))).await
                    }
                }
            }
            Command::KvSet { module, key, value, ttl_ms, expected_revision } => {
                let options = SetOptions { ttl: ttl_ms.map(Duration::from_millis), expected_revision };
                let set = kv.set(self.namespace(&module)?, &key, bytes(value)?, options);
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
                        self.part(writer, key).await?;
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
                    self.part(writer, &change).await?;
                }
                if watch.is_overrun() {
                    let message = "the changes were not taken as they came: some are lost, and the watch has ended";
                    return Err(refusal(code::RESOURCE_EXHAUSTED, message));
                }
                Ok(())
            }
            Command::KvBackup { path } => {
                data(writer, &json!({ "keys": kv.backup(&path).await.map_err(kv_error)? })).await
            }
        }
    }

    async fn restart(&self, module: &str, build: bool, writer: &mut OwnedWriteHalf) -> Result<(), Reply> {
        let (sender, mut notices) = mpsc::unbounded_channel();
        let notify = move |notice: Notice| drop(sender.send(notice));
        let mut restart = pin!(self.host.reload(module, build, &notify));
        let done = loop {
            tokio::select! {
                biased;
                // Whoever does not read does not hold it up.
                Some(notice) = notices.recv() => self.last(data(writer, &notice)).await?,
                done = &mut restart => break done,
            }
        };
        while let Ok(notice) = notices.try_recv() {
            self.last(data(writer, &notice)).await?;
        }
        done.map_err(call_error)
    }

    async fn logs(&self, query: &LogQuery, writer: &mut OwnedWriteHalf) -> Result<(), Reply> {
        if let Some(module) = &query.module {
            self.namespace(module)?;
        }
        let mut follower = self.host.logs().follow(usize::MAX);
        let mut there = VecDeque::new();
        while let Some(record) = follower.try_next() {
            there.extend(Some(record).filter(|record| query.takes(record)));
            // The last of those that are wanted, not those that are wanted of the last.
            if there.len() > query.last {
                there.pop_front();
            }
        }
        let held = self.hold(there.iter().map(|record| record.bytes()).sum())?;
        while let Some(record) = there.pop_front() {
            self.part(writer, &*record).await?;
        }
        drop(held);
        while query.follow
            && let Some(record) = follower.next().await
        {
            if query.takes(&record) {
                self.part(writer, &*record).await?;
            }
        }
        Ok(())
    }

    /// An answer takes so much until it is taken.
    fn hold(&self, bytes: usize) -> Result<Reservation, Reply> {
        self.lines.take(bytes.saturating_sub(FREE_LINE_BYTES)).ok_or_else(too_much)
    }

    /// The answer to what has one: it is taken within a time.
    async fn last(&self, write: impl Future<Output = Result<(), Reply>>) -> Result<(), Reply> {
        let late = || refusal(code::CANCELLED, "the answer was not taken");
        self.permit.while_sending(timeout(CLIENT_TIMEOUT, write)).await.unwrap_or_else(|_| Err(late()))
    }

    async fn call(&self, topic: &str, payload: &[u8], options: CallOptions) -> Result<Object<'static>, Reply> {
        let provides =
            |module: &Arc<Module>| module.manifest().services.iter().any(|service| service.topic.as_str() == topic);
        let module = self.host.modules().find(provides);
        if let Some(module) = &module {
            module.check_payload(topic, payload).map_err(|error| refusal(code::INVALID_INPUT, &error))?;
        }
        let answer = self.host.call_as(self.asker.source(), topic, payload, options).await;
        answer.map_err(|error| match error {
            CallError::Replied(reply) if module.is_none() => call_error(self.near(topic, reply)),
            error => call_error(error),
        })
    }

    /// To people it is told which topic they have probably meant, where there is no such one.
    fn near(&self, topic: &str, mut reply: ErrorReply) -> CallError {
        let modules: Vec<_> = self.host.modules().collect();
        let services = modules.iter().flat_map(|module| &module.manifest().services);
        let near = closest(topic, services.map(|service| service.topic.as_str()));
        if let Some(near) = near.filter(|_| reply.code == code::NOT_FOUND && self.asker.source().is_none()) {
            reply.message = format!("{}; did you mean `{near}`?", reply.message);
        }
        CallError::Replied(reply)
    }

    fn namespace<'a>(&self, module: &'a str) -> Result<&'a str, Reply> {
        let names: Vec<_> = self.host.routers().iter().map(|router| router.name()).collect();
        if names.contains(&module) {
            return Ok(module);
        }
        Err(refusal(code::NOT_FOUND, &no_module(module, names.into_iter())))
    }
}

/// A request; nothing, if the other end is gone. What comes behind it is nobody's business.
async fn read_line(reader: &mut BufReader<OwnedReadHalf>, lines: &Arc<Budget>) -> Option<Result<Request, Reply>> {
    let (mut line, mut held) = (Vec::new(), lines.overdraw(0));
    loop {
        let there = reader.fill_buf().await.ok().filter(|there| !there.is_empty())?;
        let end = there.iter().position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(there.len());
        if line.len() + taken > MAX_LINE_BYTES {
            let message = format!("the request is over the limit of {MAX_LINE_BYTES} bytes for a line");
            return Some(Err(refusal(code::RESOURCE_EXHAUSTED, &message)));
        }
        if !held.resize((line.len() + taken).saturating_sub(FREE_LINE_BYTES)) {
            return Some(Err(too_much()));
        }
        line.extend_from_slice(&there[..taken]);
        let consumed = taken + usize::from(end.is_some());
        reader.consume(consumed);
        if end.is_some() {
            return Some(Ok(Request { line, held }));
        }
    }
}

fn too_much() -> Reply {
    let message = "the host has too much to do: try again later".to_owned();
    ErrorReply::new(code::RESOURCE_EXHAUSTED.to_owned(), message, Value::Null, true).into()
}

/// Waits until the other end is gone. That it sends nothing more is not enough: it may still read.
async fn hung_up(mut reader: BufReader<OwnedReadHalf>) {
    let mut rest = [0; 64];
    while matches!(reader.read(&mut rest).await, Ok(1..)) {}
    let stream = reader.get_ref();
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

/// Lets the text go, which may be large.
#[expect(clippy::needless_pass_by_value, reason = "it is let go")]
fn bytes(base64: String) -> Result<Vec<u8>, Reply> {
    decode_base64(&base64).map_err(|error| refusal(code::INVALID_INPUT, &error.to_string()))
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
