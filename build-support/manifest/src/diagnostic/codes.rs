//! Every kind of thing that can be wrong with a manifest: one list, from which the reference page and the tests work.

use std::fmt;

/// How serious a [`Diagnostic`](crate::Diagnostic) is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// No code can be made from the manifest.
    Error,
    /// Legal, but probably not meant.
    Warning,
    /// A change after which callers, subscribers or configurations that worked may not work any more.
    Breaking,
    /// A change that nobody has to do anything about, but may want to know.
    Note,
    /// A change after which everything works that worked before.
    Compatible,
}

impl Severity {
    /// The word for it.
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
            /// All there are, in the order of the alphabet.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name, as it is shown.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// How serious it is.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self {
                    $(Self::$variant => Severity::$severity,)*
                }
            }

            /// What it means, in a sentence.
            #[must_use]
            pub const fn summary(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($summary),+).trim_ascii(),)*
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

codes! {
    /// The kind of mistake in a manifest, for programs: the text in the brackets of `error[unknown-key]`.
    Code:
    /// Two manifests of `[requires.from]` provide the same topic.
    AmbiguousImport = Error "ambiguous-import",
    /// Two statements that can't both be true, such as `required = true` and a default.
    Contradiction = Error "contradiction",
    /// A type that is deprecated is used by something that isn't.
    DeprecatedUse = Warning "deprecated-use",
    /// The same name twice in one list.
    Duplicate = Error "duplicate",
    /// A manifest that `[requires.from]` names can't be read, or has mistakes itself.
    ImportFailed = Error "import-failed",
    /// A key that does not go with the type it stands beside, such as `min` with a string.
    Inapplicable = Error "inapplicable",
    /// A type that holds itself without a list, a map or an optional in between.
    InfiniteType = Error "infinite-type",
    /// A default that is not of its type, or outside of its bounds.
    InvalidDefault = Error "invalid-default",
    /// A name that can't be one, such as a topic with spaces.
    InvalidName = Error "invalid-name",
    /// An option of the code generator that matches nothing in the manifest, or can't be read.
    InvalidOption = Error "invalid-option",
    /// A regular expression that can't be read.
    InvalidPattern = Error "invalid-pattern",
    /// A type that can't be read.
    InvalidType = Error "invalid-type",
    /// A value of the right kind that is outside of what is allowed.
    InvalidValue = Error "invalid-value",
    /// A key that has to be there is missing.
    MissingKey = Error "missing-key",
    /// Two names that become the same name in Rust.
    NameCollision = Error "name-collision",
    /// The module does not say that it runs as a process.
    NotAProcess = Warning "not-a-process",
    /// A request, response, payload or case that is not an object.
    NotAnObject = Error "not-an-object",
    /// Something is said about a topic that the module does not provide.
    NotProvided = Error "not-provided",
    /// A deprecated config key that has to be given all the same.
    RequiredDeprecated = Warning "required-deprecated",
    /// A name that is taken already, by the language or by something that is generated for every module.
    ReservedName = Error "reserved-name",
    /// A version of the manifest's schema that does not exist.
    SchemaVersion = Error "schema-version",
    /// The text is not TOML.
    Syntax = Error "syntax",
    /// A key that there is not.
    UnknownKey = Error "unknown-key",
    /// A type that is declared nowhere.
    UnknownType = Error "unknown-type",
    /// The file can't be read.
    Unreadable = Error "unreadable",
    /// A required service of which the manifest does not say who declares it, so that calls to it are not typed.
    UntypedRequirement = Warning "untyped-requirement",
    /// An entry of `[requires.from]` that nothing needs.
    UnusedImport = Error "unused-import",
    /// A type that nothing uses.
    UnusedType = Warning "unused-type",
    /// A value of the wrong kind, such as a number for a name.
    WrongKind = Error "wrong-kind",
}

codes! {
    /// The rule by which a change of a manifest is judged, for programs: the text in the brackets of
    /// `breaking[field-required]`. What goes in are requests and the configuration, what goes out responses and events.
    Rule:
    /// A bound of what goes in is narrower, or one of what goes out wider.
    BoundBreaking = Breaking "bound-breaking",
    /// A bound of what goes in is wider, or one of what goes out narrower.
    BoundCompatible = Compatible "bound-compatible",
    /// A config key, with a default or optional, is new.
    ConfigKeyAdded = Compatible "config-key-added",
    /// A config key is gone: a configuration that gives it is refused.
    ConfigKeyRemoved = Breaking "config-key-removed",
    /// A default is another one.
    DefaultChanged = Note "default-changed",
    /// Something is deprecated now.
    Deprecated = Note "deprecated",
    /// A service has an error less, or more.
    ErrorsChanged = Note "errors-changed",
    /// An event is new.
    EventAdded = Compatible "event-added",
    /// An event is gone.
    EventRemoved = Breaking "event-removed",
    /// A field is new, and those who don't know it need not.
    FieldAdded = Compatible "field-added",
    /// A field of what goes in is gone: it is ignored.
    FieldIgnored = Note "field-ignored",
    /// A field of what goes out may be absent now.
    FieldOptional = Breaking "field-optional",
    /// A field of what goes in may be absent now, or one of what goes out is always there.
    FieldRelaxed = Compatible "field-relaxed",
    /// A field of what goes out is gone.
    FieldRemoved = Breaking "field-removed",
    /// A field of what goes in, or a config key, has to be given now.
    FieldRequired = Breaking "field-required",
    /// A message is raw bytes or free-form where it was declared, or the other way round.
    MessageDeclared = Breaking "message-declared",
    /// The module has another name, and so another identity.
    ModuleRenamed = Breaking "module-renamed",
    /// How a process of the module is started, its environment or what it may use is another.
    ProcessChanged = Note "process-changed",
    /// A service may not be called again with the same request any more, or an event is not kept any more.
    PromiseBroken = Breaking "promise-broken",
    /// A service may be called again with the same request now, or an event is kept now.
    PromiseMade = Compatible "promise-made",
    /// The module needs another service or event.
    RequirementAdded = Note "requirement-added",
    /// A config key is secret now, or not any more.
    SecretChanged = Note "secret-changed",
    /// A service is new.
    ServiceAdded = Compatible "service-added",
    /// A service is gone.
    ServiceRemoved = Breaking "service-removed",
    /// The time that a caller waits by default is another one.
    TtlChanged = Note "ttl-changed",
    /// A type is another one, and has other values.
    TypeChanged = Breaking "type-changed",
    /// A type is another one that takes what the old one took, or gives what the old one gave.
    TypeRelaxed = Compatible "type-relaxed",
    /// A value of an enum or a case of a union that goes out is new, or one that goes in is gone.
    ValueBreaking = Breaking "value-breaking",
    /// A value of an enum or a case of a union that goes in is new, or one that goes out is gone.
    ValueCompatible = Compatible "value-compatible",
    /// There are breaking changes, and the version does not say so.
    VersionTooLow = Note "version-too-low",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_unique() {
        assert!(Code::ALL.is_sorted_by(|a, b| a.as_str() < b.as_str()));
        assert!(Rule::ALL.is_sorted_by(|a, b| a.as_str() < b.as_str()));
    }
}
