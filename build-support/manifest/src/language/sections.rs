//! The manifest as a whole, and `[module]`, `[provides]`, `[requires]`, `[services]` and `[events]` with the tables in them. The other
//! sections are in `types` and `process`.

use super::types::{CONFIG_KEY, FIELD_KIND, TYPE_DEFINITION};
use super::{ARTIFACTS, ENV, LIMITS, SCHEMA_VERSION, TableSpec, ValueSpec, deprecated, description, key};

/// The manifest as a whole: `schema_version` and the sections. `read::mod` reads it.
pub(crate) static MANIFEST: TableSpec = TableSpec {
    title: "The manifest",
    description: "A TOML file, `manifest.toml`, in the module's directory.",
    keys: &[
        key(
            "schema_version",
            ValueSpec::Choice(&[SCHEMA_VERSION]),
            "\"3.0\"",
            "The version of the manifest language. There is only one.",
        )
        .required(),
        key(
            "module",
            ValueSpec::Table(&MODULE),
            "{ name = \"orders\", version = \"1.0.0\" }",
            "The module's name, its version, and facts about it.",
        )
        .required(),
        key(
            "provides",
            ValueSpec::Table(&PROVIDES),
            "{ services = [\"orders.place\"] }",
            "The services and events that the module provides.",
        ),
        key(
            "requires",
            ValueSpec::Table(&REQUIRES),
            "{ services = [\"stock.take\"] }",
            "The services and events of other modules that it uses.",
        ),
        key(
            "config",
            ValueSpec::Entries(&ValueSpec::Table(&CONFIG_KEY)),
            "{ url = { type = \"string\" } }",
            "The keys of the module's configuration.",
        ),
        key(
            "types",
            ValueSpec::Entries(&TYPE_DEFINITION),
            "{ Sku = \"string\" }",
            "Types for its messages and its configuration.",
        ),
        key(
            "services",
            ValueSpec::Entries(&ValueSpec::Table(&SERVICE)),
            "{ \"orders.place\" = { request = \"Order\" } }",
            "For services of `[provides]`: their messages, errors and properties.",
        ),
        key(
            "events",
            ValueSpec::Entries(&ValueSpec::Table(&EVENT)),
            "{ \"orders.placed\" = { payload = \"Order\" } }",
            "For events of `[provides]`: their payloads and properties.",
        ),
        key(
            "artifacts",
            ValueSpec::Table(&ARTIFACTS),
            "{ process = { path = \"main.py\" } }",
            "The program to start. Without it, the program that cargo builds of the package in the manifest's directory.",
        ),
        key("limits", ValueSpec::Table(&LIMITS), "{ memory = \"256MiB\" }", "What a process of the module may use."),
        key(
            "env",
            ValueSpec::Table(&ENV),
            "{ pass = [\"RUST_BACKTRACE\"] }",
            "Environment variables of the module's processes.",
        ),
    ],
};

/// `[module]`. `read::module` reads it.
pub(crate) static MODULE: TableSpec = TableSpec {
    title: "[module]",
    description: "The identity of the module, and facts about it.",
    keys: &[
        key(
            "name",
            ValueSpec::Text,
            "\"orders\"",
            "The module's name, the first part of the id of its processes, `name:version/instance-NNN`. ASCII letters, digits, `.`, `_`, `-` and `+`.",
        )
        .required(),
        key("version", ValueSpec::Text, "\"1.0.0\"", "The module's version, the second part of that id. A semantic version.")
            .required(),
        key("description", ValueSpec::Text, "\"Takes orders\"", "What the module does."),
        key("author", ValueSpec::Text, "\"Ada\"", "Who wrote the module."),
        key("license", ValueSpec::Text, "\"MIT\"", "The module's licence."),
        key(
            "runtime_targets",
            ValueSpec::Texts,
            "[\"Process\"]",
            "The runtimes that the module is made for, in upper or lower case. This host starts modules as processes: without `Process` in a list that is not empty, `ixt check` warns.",
        ),
    ],
};

/// `[provides]`. `read::topics` reads this and the further tables of this file, except `MESSAGE`, which `read::messages` reads, and the
/// table of `ERROR`, which `read::enum_values` opens.
pub(crate) static PROVIDES: TableSpec = TableSpec {
    title: "[provides]",
    description: "What other modules can use of this one. A topic is one or more words of ASCII letters, digits, `_` and `-`, joined by dots; it begins with a letter, each further word with a letter or a digit.",
    keys: &[
        key("services", ValueSpec::Texts, "[\"orders.place\"]", "The topics of the services that can be called."),
        key("events", ValueSpec::Texts, "[\"orders.placed\"]", "The topics of the events that the module publishes."),
    ],
};

/// `[requires]`. Without it, the module may call any service; with an empty one, none.
pub(crate) static REQUIRES: TableSpec = TableSpec {
    title: "[requires]",
    description: "What the module uses of other modules. With this table, the host answers calls to services that are not listed with `PERMISSION_DENIED`; without it, the module may call any service.",
    keys: &[
        key(
            "services",
            ValueSpec::Texts,
            "[\"notifications.send\"]",
            "The topics of the services that the module calls.",
        ),
        key(
            "events",
            ValueSpec::Texts,
            "[\"stock.changed\"]",
            "The topics of the events that the module handles. It gets no others.",
        ),
        key(
            "from",
            ValueSpec::Entries(&ValueSpec::Text),
            "{ notifications = \"../notifications/manifest.toml\" }",
            "The manifests that declare these topics, so that calls and events are typed. A key is a required topic, or the name of the module that provides it; its value is the path of that module's manifest, relative to the directory of this one. An entry for a topic takes precedence; an entry that is for no required topic is an error.",
        ),
    ],
};

/// A request, a response or a payload, in its long form: a table with `fields`. The short forms are in [`MESSAGE_KIND`].
pub(crate) static MESSAGE: TableSpec = TableSpec {
    title: "Message",
    description: "A request, a response or a payload in its long form. The name of a record or a union of `[types]`, or a table of fields, can be written instead.",
    keys: &[
        key("fields", ValueSpec::Entries(&FIELD_KIND), "{ sku = \"string\" }", "The fields of the message.").required(),
        description(),
    ],
};

/// A request, a response or a payload: the name of a type, a table of fields, or the long form. [`ValueSpec::Fields`] says which of the
/// two a table is.
const MESSAGE_KIND: ValueSpec =
    ValueSpec::Either(&ValueSpec::Text, &ValueSpec::Fields { field: &FIELD_KIND, long: &MESSAGE });

/// A table of `[services]`, for one topic of `[provides]`. A topic may have no table; that is the same as an empty one.
pub(crate) static SERVICE: TableSpec = TableSpec {
    title: "[services.\"topic\"]",
    description: "A service of `[provides]`.",
    keys: &[
        key(
            "request",
            MESSAGE_KIND,
            "{ sku = \"string\" }",
            "The type of its requests, an object. Without it, the handler gets the bytes of the payload as they are.",
        ),
        key(
            "response",
            MESSAGE_KIND,
            "\"Order\"",
            "The type of its responses, an object. Without it, the handler may return any JSON object.",
        ),
        key(
            "errors",
            ValueSpec::Either(
                &ValueSpec::Texts,
                &ValueSpec::Entries(&ValueSpec::Either(&ValueSpec::Text, &ValueSpec::Table(&ERROR))),
            ),
            "{ OUT_OF_STOCK = \"There is nothing left\" }",
            "The codes of its own errors: upper-case ASCII letters, digits and `_`, beginning with a letter. A text describes the error. The built-in codes, such as `NOT_FOUND`, can't be declared; a handler can return them without that.",
        ),
        description(),
        deprecated(),
        key(
            "ttl_ms",
            ValueSpec::Integer,
            "5000",
            "The timeout of a call that has none: its caller sets none, and does not make the call for a request with a deadline. In milliseconds, at least 1. The generated functions that make calls set it. Without it, a call that a module makes for a request has the host's default timeout, which is 5 minutes; any other call has none.",
        ),
        key(
            "idempotent",
            ValueSpec::Boolean,
            "true",
            "Whether handling the same request twice has the same effect as handling it once. With `true`, the host repeats a call whose process has died before it replied: at most three attempts in all, and two if in both the call was the process's only request.",
        ),
        key(
            "blocking",
            ValueSpec::Boolean,
            "true",
            "Whether the handler blocks its thread. With `true`, its generated method is a plain `fn`, which runs on a thread for blocking work; without it, an `async fn`.",
        ),
    ],
};

/// An error of a service, in its long form: a table. The short form is a string, the description; an array of codes has neither.
pub(crate) static ERROR: TableSpec = TableSpec {
    title: "Error",
    description: "An error of a service in its long form. A string in place of the table is its description.",
    keys: &[
        description(),
        deprecated(),
        key(
            "retryable",
            ValueSpec::Boolean,
            "true",
            "Whether the same request may succeed later. Callers read it in the reply.",
        ),
    ],
};

/// A table of `[events]`, for one topic of `[provides]`. A topic may have no table; that is the same as an empty one.
pub(crate) static EVENT: TableSpec = TableSpec {
    title: "[events.\"topic\"]",
    description: "An event of `[provides]`.",
    keys: &[
        key(
            "payload",
            MESSAGE_KIND,
            "\"Order\"",
            "The type of its payload, an object. Without it, the payload is any bytes.",
        ),
        description(),
        deprecated(),
        key(
            "durable",
            ValueSpec::Boolean,
            "true",
            "With `true`, the host delivers the event again if a subscriber's process dies while it handles the event, any number of times, until the event's time is over (`[calls] timeout` of the host, 5 minutes by default). Without it, the event is lost for that subscriber.",
        ),
    ],
};
