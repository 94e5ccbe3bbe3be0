//! The manifest language as data: every table, and every key in it. The parser knows no key that is not here, and the
//! JSON Schema and the reference page are made from it.

/// A table of the manifest whose keys the language fixes.
#[derive(Debug)]
pub struct TableSpec {
    /// How the reference page calls it, such as `[module]`.
    pub title: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// Its keys, in the order in which they are explained.
    pub keys: &'static [Key],
}

/// A key of a [`TableSpec`].
#[derive(Debug)]
pub struct Key {
    /// The key.
    pub name: &'static str,
    /// What its value can be.
    pub kind: Kind,
    /// Whether it has to be there.
    pub required: bool,
    /// What it says.
    pub description: &'static str,
    /// A value, as it stands in a manifest.
    pub example: &'static str,
}

/// What the value of a key can be.
#[derive(Debug)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// Any text.
    Text,
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// An array of texts, each of them once.
    Texts,
    /// An array of texts in an order that means something; the same one may stand there twice.
    Arguments,
    /// An integer that is not negative.
    Integer,
    /// A number above zero.
    Number,
    /// A size: an integer of bytes, or text with a unit.
    Size,
    /// A duration, as text.
    Duration,
    /// `true`, or text that says what to use instead.
    Deprecated,
    /// A value of the declared type.
    Value,
    /// A type as text, such as `"[string]"`.
    TypeText,
    /// A type as text, or as a table.
    Type(&'static TableSpec),
    /// A table of this form.
    Table(&'static TableSpec),
    /// A table whose keys the author chooses, and what their values can be.
    Entries(&'static Kind),
    /// Either of the two.
    Either(&'static Kind, &'static Kind),
    /// The fields of an object: a table whose keys the author chooses, or the long form of it.
    Fields(&'static TableSpec),
}

const fn key(name: &'static str, kind: Kind, example: &'static str, description: &'static str) -> Key {
    Key { name, kind, required: false, description, example }
}

impl Key {
    const fn required(mut self) -> Self {
        self.required = true;
        self
    }
}

/// The one version of the manifest's schema that exists (seeds).
pub const SCHEMA_VERSION: &str = "3.0";

/// The manifest as a whole.
pub static MANIFEST: TableSpec = TableSpec {
    title: "The manifest",
    description: "A TOML file, `manifest.toml`, in the directory of the module.",
    keys: &[
        key("schema_version", Kind::Choice(&[SCHEMA_VERSION]), "\"3.0\"", "The version of this language.").required(),
        key("module", Kind::Table(&MODULE), "{ name = \"orders\", version = \"1.0.0\" }", "What the module is.")
            .required(),
        key("provides", Kind::Table(&PROVIDES), "{ services = [\"orders.place\"] }", "What others can use of it."),
        key("requires", Kind::Table(&REQUIRES), "{ services = [\"stock.take\"] }", "What it uses of others."),
        key(
            "config",
            Kind::Entries(&Kind::Table(&CONFIG_KEY)),
            "{ url = { type = \"string\" } }",
            "Its configuration, key by key.",
        ),
        key(
            "types",
            Kind::Entries(&TYPE_DEFINITION),
            "{ Sku = \"string\" }",
            "The types of its messages and its configuration.",
        ),
        key(
            "services",
            Kind::Entries(&Kind::Table(&SERVICE)),
            "{ \"orders.place\" = { request = \"Order\" } }",
            "What there is to say about each service that it provides.",
        ),
        key(
            "events",
            Kind::Entries(&Kind::Table(&EVENT)),
            "{ \"orders.placed\" = { payload = \"Order\" } }",
            "What there is to say about each event that it provides.",
        ),
        key(
            "artifacts",
            Kind::Table(&ARTIFACTS),
            "{ process = { path = \"main.py\" } }",
            "What is started, and how; not needed for a Rust crate.",
        ),
        key("limits", Kind::Table(&LIMITS), "{ memory = \"256MiB\" }", "What a process of the module may use."),
        key("env", Kind::Table(&ENV), "{ pass = [\"RUST_BACKTRACE\"] }", "The environment of its processes."),
    ],
};

/// `[module]`.
pub static MODULE: TableSpec = TableSpec {
    title: "[module]",
    description: "What the module is.",
    keys: &[
        key("name", Kind::Text, "\"orders\"", "The first part of the id of its processes, `name:version/instance-NNN`: ASCII letters, digits, `.`, `_`, `-`.").required(),
        key("version", Kind::Text, "\"1.0.0\"", "The second part: a semantic version.").required(),
        key("description", Kind::Text, "\"Takes orders\"", "What it does."),
        key("author", Kind::Text, "\"Ada\"", "Who wrote it."),
        key("license", Kind::Text, "\"MIT\"", "The licence that it is under."),
        key("runtime_targets", Kind::Texts, "[\"Process\"]", "Where it can run, upper and lower case alike. `Process` is what this project runs."),
    ],
};

/// `[provides]`.
pub static PROVIDES: TableSpec = TableSpec {
    title: "[provides]",
    description: "What others can use of the module.",
    keys: &[
        key("services", Kind::Texts, "[\"orders.place\"]", "The topics under which it can be called."),
        key("events", Kind::Texts, "[\"orders.placed\"]", "The topics of the events that it publishes."),
    ],
};

/// `[requires]`.
pub static REQUIRES: TableSpec = TableSpec {
    title: "[requires]",
    description: "What the module uses of others.",
    keys: &[
        key("services", Kind::Texts, "[\"notifications.send\"]", "The topics that it calls."),
        key("events", Kind::Texts, "[\"stock.changed\"]", "The topics of the events that it handles."),
        key(
            "from",
            Kind::Entries(&Kind::Text),
            "{ notifications = \"../notifications/manifest.toml\" }",
            "Who declares them: a required topic, or the name of the module that provides it, and the path of that module's manifest, relative to this one. That makes calls and events typed.",
        ),
    ],
};

/// What `[config]` says about a key.
pub static CONFIG_KEY: TableSpec = TableSpec {
    title: "[config] key",
    description: "A key of the configuration. It is required unless it has a default or is optional.",
    keys: &[
        type_(),
        items(),
        values(),
        key("fields", Kind::Entries(&CONFIG_KEY_KIND), "{ host = \"string\" }", "With `type = \"table\"`: its fields."),
        enum_(),
        default(),
        required(),
        optional(),
        description(),
        deprecated(),
        min(),
        max(),
        min_length(),
        max_length(),
        pattern(),
        key("secret", Kind::Boolean, "true", "Never shown in logs, errors or `Debug`. For `string` and `bytes`."),
    ],
};

/// A field of an object, in its long form.
pub static FIELD: TableSpec = TableSpec {
    title: "Field",
    description: "A field of an object. It is required unless it has a default or is optional.",
    keys: &[
        type_(),
        items(),
        values(),
        fields(),
        enum_(),
        default(),
        required(),
        optional(),
        description(),
        deprecated(),
        min(),
        max(),
        min_length(),
        max_length(),
        pattern(),
    ],
};

/// A type that stands alone, in its long form.
pub static ELEMENT: TableSpec = TableSpec {
    title: "Type",
    description: "The type of the items of a list, of the values of a map, or of what a newtype holds.",
    keys: &[
        type_(),
        items(),
        values(),
        fields(),
        enum_(),
        optional(),
        min(),
        max(),
        min_length(),
        max_length(),
        pattern(),
    ],
};

static FIELD_KIND: Kind = Kind::Type(&FIELD);
static CONFIG_KEY_KIND: Kind = Kind::Type(&CONFIG_KEY);

const fn type_() -> Key {
    key(
        "type",
        Kind::TypeText,
        "\"integer\"",
        "The type: a built-in one, one of `[types]`, or a shorthand such as `\"[string]\"`.",
    )
    .required()
}

const fn items() -> Key {
    key("items", Kind::Type(&ELEMENT), "\"string\"", "With `type = \"list\"`: the type of the items.")
}

const fn values() -> Key {
    key(
        "values",
        Kind::Type(&ELEMENT),
        "\"string\"",
        "With `type = \"map\"`: the type of the values. The keys are strings.",
    )
}

const fn fields() -> Key {
    key("fields", Kind::Entries(&FIELD_KIND), "{ host = \"string\" }", "With `type = \"table\"`: its fields.")
}

const fn enum_() -> Key {
    key(
        "enum",
        ENUM_VALUES,
        "[\"json\", \"text\"]",
        "With `type = \"string\"`: all the values that there are. Becomes a Rust enum.",
    )
}

const fn default() -> Key {
    key("default", Kind::Value, "10", "The value where none is given.")
}

const fn required() -> Key {
    key(
        "required",
        Kind::Boolean,
        "true",
        "`true` says what holds anyway without a default; `false` is the same as `optional = true`.",
    )
}

const fn optional() -> Key {
    key("optional", Kind::Boolean, "true", "There may be no value: the same as `?` behind the type.")
}

const fn description() -> Key {
    key("description", Kind::Text, "\"How many at most\"", "What it is.")
}

const fn deprecated() -> Key {
    key(
        "deprecated",
        Kind::Deprecated,
        "\"use the key limit\"",
        "Not to be used any more; a text says what to use instead.",
    )
}

const fn min() -> Key {
    key("min", Kind::Value, "1", "The least value: of `integer`, `float`, `duration`, `size`.")
}

const fn max() -> Key {
    key("max", Kind::Value, "100", "The greatest value.")
}

const fn min_length() -> Key {
    key(
        "min_length",
        Kind::Integer,
        "1",
        "The least length: characters of a `string`, bytes of `bytes`, items of a list, entries of a map.",
    )
}

const fn max_length() -> Key {
    key("max_length", Kind::Integer, "64", "The greatest length.")
}

const fn pattern() -> Key {
    key(
        "pattern",
        Kind::Text,
        "\"^[A-Z]{2}$\"",
        "A regular expression that a `string` matches somewhere; `^` and `$` tie it to the ends.",
    )
}

const ENUM_VALUES: Kind =
    Kind::Either(&Kind::Texts, &Kind::Entries(&Kind::Either(&Kind::Text, &Kind::Table(&ENUM_VALUE))));

/// What there is to say about a value of an enum.
pub static ENUM_VALUE: TableSpec = TableSpec {
    title: "Enum value",
    description: "A value of an enum; its description alone can stand for the table.",
    keys: &[description(), deprecated()],
};

const TYPE_DEFINITION: Kind = Kind::Either(&Kind::TypeText, &Kind::Fields(&TYPE_LONG));

/// `[types.Name]` in its long form.
pub static TYPE_LONG: TableSpec = TableSpec {
    title: "[types.Name]",
    description: "A type in its long form, with one of `fields`, `enum`, `union` and `newtype`. A table without any of these is a record, and its keys are the fields; text is a newtype.",
    keys: &[
        key("fields", Kind::Entries(&FIELD_KIND), "{ id = \"string\" }", "A record: an object with these fields."),
        key("enum", ENUM_VALUES, "[\"red\", \"green\"]", "An enum: one of these texts."),
        key(
            "union",
            Kind::Entries(&Kind::Either(&Kind::Text, &Kind::Fields(&CASE))),
            "{ card = { number = \"string\" }, cash = {} }",
            "A tagged union: an object whose `type` names the case, beside the fields of that case.",
        ),
        key(
            "newtype",
            Kind::Type(&ELEMENT),
            "{ type = \"string\", max_length = 20 }",
            "A type of its own for values of another type.",
        ),
        key(
            "open",
            Kind::Boolean,
            "true",
            "An enum or a union that may grow: what is not known is kept instead of refused.",
        ),
        description(),
        deprecated(),
    ],
};

/// A case of a union in its long form.
pub static CASE: TableSpec = TableSpec {
    title: "Case",
    description: "A case of a union in its long form. The name of a record, or a table of fields, can stand for it.",
    keys: &[
        key("fields", Kind::Entries(&FIELD_KIND), "{ number = \"string\" }", "The fields of this case.").required(),
        description(),
        deprecated(),
    ],
};

/// A request, response or payload in its long form.
pub static MESSAGE: TableSpec = TableSpec {
    title: "Message",
    description: "A request, a response or a payload in its long form. The name of a record or a union, or a table of fields, can stand for it.",
    keys: &[
        key("fields", Kind::Entries(&FIELD_KIND), "{ sku = \"string\" }", "The fields of the message.").required(),
        description(),
    ],
};

const MESSAGE_KIND: Kind = Kind::Either(&Kind::Text, &Kind::Fields(&MESSAGE));

/// `[services."topic"]`.
pub static SERVICE: TableSpec = TableSpec {
    title: "[services.\"topic\"]",
    description: "A service of `[provides]`. Without a declared request it gets the raw payload, without a declared response it answers any JSON object.",
    keys: &[
        key("request", MESSAGE_KIND, "{ sku = \"string\" }", "What it takes."),
        key("response", MESSAGE_KIND, "\"Order\"", "What it answers."),
        key(
            "errors",
            Kind::Either(&Kind::Texts, &Kind::Entries(&Kind::Either(&Kind::Text, &Kind::Table(&ERROR)))),
            "{ OUT_OF_STOCK = \"There is nothing left\" }",
            "The codes of its own errors: upper-case words.",
        ),
        description(),
        deprecated(),
        key("ttl_ms", Kind::Integer, "5000", "How long a caller waits that does not say so itself, in milliseconds."),
        key(
            "idempotent",
            Kind::Boolean,
            "true",
            "The same request twice does what it does once, so a caller may repeat it.",
        ),
        key("blocking", Kind::Boolean, "true", "The handler blocks its thread, so it is run where that is allowed."),
    ],
};

/// What there is to say about an error of a service.
pub static ERROR: TableSpec = TableSpec {
    title: "Error",
    description: "An error of a service; its description alone can stand for the table.",
    keys: &[
        description(),
        deprecated(),
        key("retryable", Kind::Boolean, "true", "The same request may do better later."),
    ],
};

/// `[events."topic"]`.
pub static EVENT: TableSpec = TableSpec {
    title: "[events.\"topic\"]",
    description: "An event of `[provides]`. Without a declared payload it carries raw bytes.",
    keys: &[
        key("payload", MESSAGE_KIND, "\"Order\"", "What it carries."),
        description(),
        deprecated(),
        key("durable", Kind::Boolean, "true", "A subscriber that ends while it handles it gets it again."),
    ],
};

/// `[artifacts]`.
pub static ARTIFACTS: TableSpec = TableSpec {
    title: "[artifacts]",
    description: "What is started.",
    keys: &[key("process", Kind::Table(&PROCESS), "{ path = \"main.py\", interpreter = \"python3\" }", "A program.")],
};

/// `[artifacts.process]`.
pub static PROCESS: TableSpec = TableSpec {
    title: "[artifacts.process]",
    description: "The program that is started as a process of the module, and how. Without a `path` it is the one that cargo builds of the package in the manifest's directory.",
    keys: &[
        key(
            "path",
            Kind::Text,
            "\"dist\"",
            "The program, or the directory that `entry` is in, relative to the manifest. `interpreter`, `entry`, `sha256` and `size_bytes` need it.",
        ),
        key(
            "interpreter",
            Kind::Text,
            "\"python3\"",
            "The program that runs it, if it does not run by itself: found on the `PATH`, or, with a `/` in it, beside the manifest. It is one file: what stands behind it on a command line is `interpreter_args`.",
        ),
        key(
            "interpreter_args",
            Kind::Arguments,
            "[\"-X\", \"dev\"]",
            "The arguments of the `interpreter`, before the program. No shell reads them.",
        ),
        key("entry", Kind::Text, "\"main.py\"", "The file to run, in the directory at `path`."),
        key(
            "args",
            Kind::Arguments,
            "[\"--verbose\"]",
            "The arguments of the program. No shell reads them, and anybody on the machine can.",
        ),
        key("framing", Kind::Choice(&["line", "length"]), "\"line\"", "How it wants its frames (see the wire's page)."),
        key(
            "sha256",
            Kind::Text,
            "\"2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae\"",
            "The SHA-256 of the program, in hexadecimal digits.",
        ),
        key("size_bytes", Kind::Integer, "81920", "The size of the program."),
        key(
            "connect_timeout",
            Kind::Duration,
            "\"30s\"",
            "How long a process has to connect to its host once it was started, from `1ms` to `24h`; then it is ended, and started again. Without it the host's time, which is 10 s.",
        ),
        key(
            "init_timeout",
            Kind::Duration,
            "\"5m\"",
            "How long it then has to answer `init`, likewise. Without it the host's time, which is 60 s.",
        ),
        key(
            "overlap",
            Kind::Boolean,
            "false",
            "Whether, on a restart, the new process may start while the old one runs. `false` is for a module that owns a port or a file: the old one ends first. Without it `true`.",
        ),
    ],
};

/// `[limits]`.
pub static LIMITS: TableSpec = TableSpec {
    title: "[limits]",
    description: "What one process of the module may use.",
    keys: &[
        key("memory", Kind::Size, "\"256MiB\"", "Memory that it writes to."),
        key("files", Kind::Integer, "1024", "Open files."),
        key(
            "cpu",
            Kind::Number,
            "1.5",
            "Processors, at least 0.01: how much time of them it takes, with what it starts. Where its host has no cgroup to enforce that, the log warns.",
        ),
    ],
};

/// `[env]`.
pub static ENV: TableSpec = TableSpec {
    title: "[env]",
    description: "The environment of the module's processes. Of the host's they get `PATH`, `HOME`, `USER`, `LANG`, `LC_*`, `TZ`, `TMPDIR`, `PYTHONPATH`, `NODE_PATH`, `IXT_LOG` and `IXT_MAX_CONCURRENCY`, and what stands here; nothing else but `PYTHONUNBUFFERED=1`.",
    keys: &[
        key(
            "pass",
            Kind::Texts,
            "[\"RUST_BACKTRACE\", \"SSL_CERT_FILE\"]",
            "More variables of the host's environment that are passed on, where they are set.",
        ),
        key(
            "set",
            Kind::Entries(&Kind::Text),
            "{ PYTHONUTF8 = \"1\" }",
            "Variables with their values, whatever the host has; what the host's configuration sets comes first. A manifest is no place for secrets: those are keys of `[config]` with `secret = true`.",
        ),
    ],
};

/// Why nobody can give this variable to a module's processes: neither `[env]` of its manifest nor the configuration of its
/// host. `None` if it can be given.
#[must_use]
pub fn reserved_variable(name: &str) -> Option<&'static str> {
    match name {
        "IXT_IPC_SOCKET" | "IXT_MODULE_ID" | "IXT_HOST_ID" => Some("the host sets it, for each process another one"),
        "NOTIFY_SOCKET" | "LISTEN_FDS" | "LISTEN_PID" | "LISTEN_PIDFDID" | "LISTEN_FDNAMES" | "WATCHDOG_USEC"
        | "WATCHDOG_PID" => Some("it is what the service manager says to the host: a module would speak for its host"),
        _ => None,
    }
}
