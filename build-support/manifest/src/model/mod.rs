//! A manifest that has passed the checks: what the code generator and the host work from. Lists are sorted by name, so
//! that the order of a manifest's keys changes nothing downstream; where the order of an array means something, as in
//! an enum, it is kept.

mod bounds;

use std::fmt;
use std::time::Duration;

use crate::{Report, Span, Value};

/// A module as its manifest declares it.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// `[module]`.
    pub module: ModuleInfo,
    /// `[provides] services` with what `[services."topic"]` says about each.
    pub services: Vec<Service>,
    /// `[provides] events` with what `[events."topic"]` says about each.
    pub events: Vec<Event>,
    /// `[requires]`.
    pub requires: Requires,
    /// `[config]`: its keys.
    pub config: Vec<Field>,
    /// `[types]`.
    pub types: Vec<TypeDefinition>,
    /// `[artifacts.process]`.
    pub process: Process,
    /// `[limits]`.
    pub limits: Limits,
    /// `[env]`.
    pub env: Env,
    /// What is legal but suspicious.
    pub warnings: Report,
}

impl Manifest {
    /// The type of `[types]` with this name.
    #[must_use]
    pub fn find_type(&self, name: &str) -> Option<&TypeDefinition> {
        let index = self.types.binary_search_by(|definition| definition.name.as_str().cmp(name)).ok()?;
        Some(&self.types[index])
    }
}

/// `[module]`: what the module is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleInfo {
    /// The module's name, the first part of its id `name:version/instance-NNN`.
    pub name: Name,
    /// The module's version, the second part of its id: a semantic version.
    pub version: Name,
    /// One sentence about it.
    pub description: Option<String>,
    /// Who wrote it.
    pub author: Option<String>,
    /// The licence it is under.
    pub license: Option<String>,
    /// Where it can run; empty if the manifest does not say.
    pub runtime_targets: Vec<String>,
}

/// `[requires]`: what the module uses of others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Requires {
    /// Whether the manifest has this table: then the module may call nothing else.
    pub declared: bool,
    /// The topics that it calls.
    pub services: Vec<Name>,
    /// The topics of the events that it handles.
    pub events: Vec<Name>,
    /// `[requires.from]`.
    pub from: Vec<From>,
}

/// An entry of `[requires.from]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From {
    /// A required topic, or the name of a module that provides some.
    pub name: Name,
    /// The path of the manifest, as written.
    pub path: Name,
}

/// One service of `[provides] services`.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// The topic under which it is called, such as `orders.place`.
    pub topic: Name,
    /// What it does.
    pub description: Option<String>,
    /// Whether it is not to be used any more.
    pub deprecated: Option<Deprecated>,
    /// What it takes; raw bytes where nothing is declared.
    pub request: Option<Message>,
    /// What it answers; any JSON object where nothing is declared.
    pub response: Option<Message>,
    /// Its own errors.
    pub errors: Vec<ErrorCode>,
    /// How long a caller waits that does not say so itself, in milliseconds.
    pub ttl_ms: Option<u64>,
    /// Whether the same request twice does what it does once.
    pub idempotent: bool,
    /// Whether its handler blocks its thread.
    pub blocking: bool,
}

/// One event of `[provides] events`.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The topic under which it is published, such as `orders.placed`.
    pub topic: Name,
    /// What has happened.
    pub description: Option<String>,
    /// Whether it is not to be used any more.
    pub deprecated: Option<Deprecated>,
    /// What it carries; raw bytes where nothing is declared.
    pub payload: Option<Message>,
    /// Whether a subscriber that ends while it handles it gets it again.
    pub durable: bool,
}

/// A declared request, response or payload.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// A record or a union of `[types]`, by name.
    Named(Name),
    /// Fields written where the message is declared.
    Inline {
        /// The fields.
        fields: Vec<Field>,
        /// What it is.
        description: Option<String>,
    },
}

/// A code of a service's own errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorCode {
    /// An upper-case word, such as `OUT_OF_STOCK`.
    pub code: Name,
    /// What has happened.
    pub description: Option<String>,
    /// Whether it is not to be used any more.
    pub deprecated: Option<Deprecated>,
    /// Whether the same request may do better later.
    pub retryable: bool,
}

/// A field of an object, or a key of `[config]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// The key in the JSON object.
    pub name: Name,
    /// The type of its value.
    pub ty: Type,
    /// Its value where none is given. Without a default and unless its type is optional, the field is required.
    pub default: Option<Value>,
    /// Where the default is written.
    pub default_span: Option<Span>,
    /// What it is.
    pub description: Option<String>,
    /// Whether it is not to be used any more.
    pub deprecated: Option<Deprecated>,
    /// Whether its value is never to be shown. Of configuration only, and only of strings and bytes.
    pub secret: bool,
}

impl Field {
    /// Whether its value is secret, or a part of it is: then its default is shown nowhere.
    #[must_use]
    pub fn holds_secret(&self) -> bool {
        let table = match &self.ty.kind {
            Kind::List(inner) | Kind::Map(inner) => &inner.kind,
            kind => kind,
        };
        self.secret || matches!(table, Kind::Table(fields) if fields.iter().any(Self::holds_secret))
    }

    /// Whether there is no object without it.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.default_span.is_none() && !self.ty.optional
    }
}

/// One type of `[types]`.
#[derive(Debug, Clone, PartialEq)]
pub struct TypeDefinition {
    /// The name by which others refer to it.
    pub name: Name,
    /// What it is.
    pub description: Option<String>,
    /// Whether it is not to be used any more.
    pub deprecated: Option<Deprecated>,
    /// What it consists of.
    pub shape: Shape,
}

/// What a type of `[types]` consists of.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there is one for each type of a manifest, in no hot place")]
pub enum Shape {
    /// An object with these fields.
    Record(Vec<Field>),
    /// One of these texts.
    Enum {
        /// The texts, in the order of the manifest if that is an array.
        values: Vec<EnumValue>,
        /// Whether others are kept instead of refused.
        open: bool,
    },
    /// An object whose `type` names the case, beside the fields of that case.
    Union {
        /// The cases.
        cases: Vec<Case>,
        /// Whether others are kept instead of refused.
        open: bool,
    },
    /// A type of its own for values of another type.
    Newtype(Type),
}

/// A value of an enum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnumValue {
    /// The text.
    pub name: Name,
    /// What it means.
    pub description: Option<String>,
    /// Whether it is not to be used any more.
    pub deprecated: Option<Deprecated>,
}

/// A case of a union.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// What `type` says.
    pub name: Name,
    /// Whether it is not to be used any more.
    pub deprecated: Option<Deprecated>,
    /// The fields beside `type`: those of a record, or written in place.
    pub content: Message,
}

/// That something is not to be used any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deprecated {
    /// What to use instead, if the manifest says so.
    pub instead: Option<String>,
}

/// The type of a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Type {
    /// Which type.
    pub kind: Kind,
    /// Whether there may be no value: absent from the object.
    pub optional: bool,
    /// What its values have to keep to.
    pub bounds: Bounds,
    /// Where it is written.
    pub span: Span,
}

/// Which type.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `string`: UTF-8 text.
    String,
    /// `integer`: 64 bits, signed, as in TOML.
    Integer,
    /// `float`: 64 bits, finite.
    Float,
    /// `boolean`.
    Boolean,
    /// `bytes`: base64 text in JSON and in the manifest.
    Bytes,
    /// `duration`: text such as `"250ms"`.
    Duration,
    /// `size`: a number of bytes, as an integer or as text such as `"16MiB"`.
    Size,
    /// `path`: a path of the file system, as text.
    Path,
    /// `datetime`: a point in time, as text by RFC 3339.
    Datetime,
    /// `[T]`: any number of values.
    List(Box<Type>),
    /// `{T}`: values by string keys.
    Map(Box<Type>),
    /// An enum written in place.
    Enum(Vec<EnumValue>),
    /// An object whose fields are written in place.
    Table(Vec<Field>),
    /// A type of `[types]`, by its name.
    Named(String),
}

/// What the values of a type have to keep to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Bounds {
    /// The least value, of the type itself.
    pub min: Option<Bound<Value>>,
    /// The greatest value.
    pub max: Option<Bound<Value>>,
    /// The least length: characters, bytes, items or entries.
    pub min_length: Option<Bound<u64>>,
    /// The greatest length.
    pub max_length: Option<Bound<u64>>,
    /// A regular expression that matches somewhere in the text.
    pub pattern: Option<Bound<String>>,
}

impl Bounds {
    /// Whether any value will do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A bound and where it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound<T> {
    /// The bound.
    pub value: T,
    /// Where it is written.
    pub span: Span,
}

/// Writes a type as a manifest does, without its bounds.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::List(item) => write!(f, "[{item}]")?,
            Kind::Map(value) => write!(f, "{{{value}}}")?,
            kind => f.write_str(kind.name())?,
        }
        if self.optional { f.write_str("?") } else { Ok(()) }
    }
}

impl Kind {
    /// The name by which a manifest calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Float => "float",
            Self::Boolean => "boolean",
            Self::Bytes => "bytes",
            Self::Duration => "duration",
            Self::Size => "size",
            Self::Path => "path",
            Self::Datetime => "datetime",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Enum(_) => "enum",
            Self::Table(_) => "table",
            Self::Named(name) => name,
        }
    }
}

/// `[artifacts.process]`: the program that is started, and how. The default is what holds where a manifest has no such table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Where the table is written; `None` if it is not.
    pub span: Option<Span>,
    /// The program, or the directory that `entry` is in; relative to the manifest. `None`: what cargo builds of the package beside the
    /// manifest; there is no `interpreter`, `entry`, `sha256` or `size_bytes` then.
    pub path: Option<Name>,
    /// The program that runs it, if it does not run by itself; relative to the manifest if there is a `/` in it.
    pub interpreter: Option<String>,
    /// The arguments of the interpreter, before the program; none without an interpreter.
    pub interpreter_args: Vec<String>,
    /// The file to run, in the directory at `path`.
    pub entry: Option<String>,
    /// The arguments of the program.
    pub args: Vec<String>,
    /// How it wants its frames: `line` or `length`.
    pub framing: Option<String>,
    /// The SHA-256 of the program, in 64 hexadecimal digits.
    pub sha256: Option<String>,
    /// The size of the program in bytes.
    pub size_bytes: Option<u64>,
    /// How long a process has to connect once it was started, 1 ms to 24 h; `None`: as long as its host says.
    pub connect_timeout: Option<Duration>,
    /// How long a process has to answer `init`, 1 ms to 24 h; `None`: as long as its host says.
    pub init_timeout: Option<Duration>,
    /// Whether, on a restart, the new process may start while the old one runs. `true` if the manifest says nothing.
    pub overlap: bool,
}

impl Default for Process {
    fn default() -> Self {
        Self {
            span: None,
            path: None,
            interpreter: None,
            interpreter_args: Vec::new(),
            entry: None,
            args: Vec::new(),
            framing: None,
            sha256: None,
            size_bytes: None,
            connect_timeout: None,
            init_timeout: None,
            overlap: true,
        }
    }
}

/// `[env]`: the environment of the module's processes, beside what every module gets. No variable is in both.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Env {
    /// The variables of the host's environment that are passed on, where they are set.
    pub pass: Vec<Name>,
    /// The variables that have these values, whatever the host has; by name.
    pub set: Vec<Variable>,
}

/// An entry of `[env] set`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// The variable.
    pub name: Name,
    /// Its value.
    pub value: String,
}

/// `[limits]`: what one process may use.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Limits {
    /// Where the table is written; `None` if it is not.
    pub span: Option<Span>,
    /// Memory, in bytes.
    pub memory: Option<u64>,
    /// Open files.
    pub files: Option<u64>,
    /// Processors, 0.01 and more: of their time, as much as so many of them have.
    pub cpu: Option<f64>,
}

/// A name from the manifest and where it stands there, so that later stages can point at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    text: String,
    span: Span,
}

impl Name {
    pub(crate) fn new(text: impl Into<String>, span: Span) -> Self {
        Self { text: text.into(), span }
    }

    /// The name as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Where it is written.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span.clone()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
