//! All kinds of mistakes in a manifest, and all rules by which changes are judged. The reference page lists them from here, with
//! their docs as the texts, and tests check that a manifest in `manifests/` shows each, except for `invalid-option`, which no
//! manifest can have.

use std::fmt;

/// How serious a [`Diagnostic`](crate::Diagnostic) is. `Error` and `Warning` are about a manifest, the host's file or an option, the
/// other three about a change. Reports are sorted in the order of the variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The manifest is invalid: no code is generated from it. Nor does a host start its module, unless it is a mistake that
    /// [`Manifest::parse`](crate::Manifest::parse) does not look for, such as one in `[requires.from]`.
    Error,
    /// The manifest is valid, but probably does not say what its author means. Code is generated from it, and hosts start its module.
    Warning,
    /// Callers, subscribers or configurations that worked with the old manifest may not work with the new one.
    Breaking,
    /// Everything that worked with the old manifest works with the new one, but differently: callers or operators may have to know.
    Note,
    /// Everything that worked with the old manifest works with the new one.
    Compatible,
}

impl Severity {
    /// The word that reports show: `error`, `warning`, `breaking`, `note` or `compatible`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Breaking => "breaking",
            Self::Note => "note",
            Self::Compatible => "compatible",
        }
    }
}

macro_rules! codes {
    ($(#[$meta:meta])* $type:ident: $($(#[doc = $summary:literal])+ $variant:ident = $severity:ident $name:literal,)*) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $type {
            $($(#[doc = $summary])+ $variant,)*
        }

        impl $type {
            /// All of them, each once, sorted by their names.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name that reports show in brackets: words in lower case, joined by `-`. It stays the same from release to
            /// release.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// How serious a diagnostic with this name is: always the same.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self {
                    $(Self::$variant => Severity::$severity,)*
                }
            }

            /// The meaning in one to three sentences of Markdown, in one line without a line end, for the reference page.
            #[must_use]
            pub const fn summary(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($summary),+).trim_ascii(),)*
                }
            }
        }

        /// Writes the name, as `as_str` returns it, padded to the width of the format.
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

codes! {
    /// The kind of mistake that a [`Diagnostic`](crate::Diagnostic) is about, for programs: the text in brackets in
    /// `error[unknown-key]`. Not the code of a service's error, which is [`ErrorCode`](crate::ErrorCode).
    Code:
    /// Two manifests of `[requires.from]` provide the same required topic, and no entry is for that topic alone.
    AmbiguousImport = Error "ambiguous-import",
    /// Two statements exclude each other, such as `required = true` and a default.
    Contradiction = Error "contradiction",
    /// Something deprecated is used by something that is not deprecated.
    DeprecatedUse = Warning "deprecated-use",
    /// An array has the same entry twice, or two things have a name that only one can have.
    Duplicate = Error "duplicate",
    /// A manifest in `[requires.from]` can't be read, is invalid, or belongs to another module.
    ImportFailed = Error "import-failed",
    /// A key does not apply to the type that its table declares, such as `min` to a string.
    Inapplicable = Error "inapplicable",
    /// Every value of a type would have to contain another value of that type, so no value can exist.
    InfiniteType = Error "infinite-type",
    /// A default does not fit its type or its bounds.
    InvalidDefault = Error "invalid-default",
    /// A name has characters that are not allowed, such as a topic with spaces.
    InvalidName = Error "invalid-name",
    /// An option of the code generator can't be read, or applies to nothing in the manifest.
    InvalidOption = Error "invalid-option",
    /// A pattern is not a valid regular expression.
    InvalidPattern = Error "invalid-pattern",
    /// A type can't be read, or can't be used where it is.
    InvalidType = Error "invalid-type",
    /// A value is out of range, or of the wrong form.
    InvalidValue = Error "invalid-value",
    /// A required key is missing, or one that another key of the table needs.
    MissingKey = Error "missing-key",
    /// Two names become the same name in Rust.
    NameCollision = Error "name-collision",
    /// `runtime_targets` is not empty, and has no `Process`.
    NotAProcess = Warning "not-a-process",
    /// A request, response or payload has a type that is not an object, or a case of a union one that is not a record.
    NotAnObject = Error "not-an-object",
    /// A table of `[services]` or `[events]` is for a topic that the module does not provide, or an entry of `[requires.from]` names
    /// a manifest that does not provide its topic.
    NotProvided = Error "not-provided",
    /// A config key is deprecated and required, so every host has to set it.
    RequiredDeprecated = Warning "required-deprecated",
    /// A name is reserved: for the language, for the host, or for something that is generated for every module.
    ReservedName = Error "reserved-name",
    /// `schema_version` is not the version that this reader supports.
    SchemaVersion = Error "schema-version",
    /// The text is not valid TOML.
    Syntax = Error "syntax",
    /// A table has a key that the language does not know.
    UnknownKey = Error "unknown-key",
    /// A type is neither built in nor declared in `[types]`.
    UnknownType = Error "unknown-type",
    /// A file can't be read, or is not UTF-8.
    Unreadable = Error "unreadable",
    /// No manifest of `[requires.from]` declares a required topic, so its messages are not typed.
    UntypedRequirement = Warning "untyped-requirement",
    /// An entry of `[requires.from]` is for no required topic.
    UnusedImport = Error "unused-import",
    /// No message and no config key uses a type of `[types]`, directly or through other types.
    UnusedType = Warning "unused-type",
    /// A value has the wrong TOML type, such as a number for a name.
    WrongKind = Error "wrong-kind",
}

codes! {
    /// The rule that a change of a manifest falls under, for programs: the text in brackets in `breaking[field-required]`. *Input* is
    /// what the module receives, which is requests and its configuration; *output* is what it sends, which is responses and events.
    ChangeRule:
    /// A bound of input was tightened, or a bound of output was loosened. A `pattern` that was replaced by another one counts as
    /// both.
    BoundBreaking = Breaking "bound-breaking",
    /// A bound of input was loosened, or a bound of output was tightened.
    BoundCompatible = Compatible "bound-compatible",
    /// A config key was added that has a default or is optional.
    ConfigKeyAdded = Compatible "config-key-added",
    /// A config key, or a field within one, was removed. A configuration that sets it is refused.
    ConfigKeyRemoved = Breaking "config-key-removed",
    /// The default of an input field or of a config key changed.
    DefaultChanged = Note "default-changed",
    /// A service, an event, a field, a config key or a type was deprecated.
    Deprecated = Note "deprecated",
    /// An error was added to a service, or removed from it.
    ErrorsChanged = Note "errors-changed",
    /// An event was added.
    EventAdded = Compatible "event-added",
    /// An event was removed.
    EventRemoved = Breaking "event-removed",
    /// A field was added to output, or one that is not required to input. Receivers that do not know the field ignore it.
    FieldAdded = Compatible "field-added",
    /// A field was removed from input, where it is ignored now, or an optional one from output.
    FieldIgnored = Note "field-ignored",
    /// A field of output may be absent now.
    FieldOptional = Breaking "field-optional",
    /// A field of input may be absent now, or one of output is always there now.
    FieldRelaxed = Compatible "field-relaxed",
    /// A field was removed from output.
    FieldRemoved = Breaking "field-removed",
    /// A field of input or a config key was added as required, or became required.
    FieldRequired = Breaking "field-required",
    /// A request or payload has a declared type now, or a response or payload has none any longer.
    MessageDeclared = Breaking "message-declared",
    /// The module has another name. The host takes it for another module.
    ModuleRenamed = Breaking "module-renamed",
    /// `[artifacts.process]`, `[limits]` or `[env]` changed. A change of `sha256` or `size_bytes` is not reported.
    ProcessChanged = Note "process-changed",
    /// A service is not idempotent any more, or an event not durable.
    PromiseBroken = Breaking "promise-broken",
    /// A service is idempotent now, or an event durable.
    PromiseMade = Compatible "promise-made",
    /// The module requires a service or an event that it did not require.
    RequirementAdded = Note "requirement-added",
    /// A config key, or a field within one, became secret, or is not secret any more.
    SecretChanged = Note "secret-changed",
    /// A service was added.
    ServiceAdded = Compatible "service-added",
    /// A service was removed.
    ServiceRemoved = Breaking "service-removed",
    /// The default timeout of a service, `ttl_ms`, changed.
    TtlChanged = Note "ttl-changed",
    /// A type changed so that old values may be refused on input, or new ones not understood on output.
    TypeChanged = Breaking "type-changed",
    /// A type changed so that input accepts all that it accepted, and output has nothing that it could not have.
    TypeRelaxed = Compatible "type-relaxed",
    /// An enum or union of output can have a value or case that it could not have, or one of input does not accept one any more.
    ValueBreaking = Breaking "value-breaking",
    /// An enum or union gained or lost a value or case, but accepts all input that it accepted, and has no output that it could not
    /// have.
    ValueCompatible = Compatible "value-compatible",
    /// There are breaking changes, but cargo would take the new version for a compatible or an earlier one.
    VersionTooLow = Note "version-too-low",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_unique() {
        assert!(Code::ALL.is_sorted_by(|a, b| a.as_str() < b.as_str()));
        assert!(ChangeRule::ALL.is_sorted_by(|a, b| a.as_str() < b.as_str()));
    }
}
