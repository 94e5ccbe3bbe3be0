//! From TOML text to a checked [`Manifest`]. Reading goes on after a mistake, so that all are reported at once.
//!
//! - this file: the order in which the sections are read
//! - `module`, `topics`, `process`, `env`: a section each; `definitions`: `[types]`
//! - `fields`, `messages`, `type_table`, `shorthand`, `enum_values`: what sections have in common
//! - `defaults`: reads all defaults, once all types are known
//! - `value`: reads one value by its type
//! - `table_reader`, `node`: TOML tables and values
//!
//! What depends on several parts of a manifest is in [`check`](crate::check).

mod bounds;
mod defaults;
mod definitions;
mod enum_values;
mod env;
mod fields;
mod messages;
mod module;
mod node;
mod process;
mod shorthand;
mod table_reader;
mod topics;
mod type_table;
mod value;

use std::collections::BTreeMap;

use toml::de::DeTable;

use self::node::Node;
use self::table_reader::TableReader;
use crate::check;
use crate::diagnostic::{Code, Diagnostic, Report};
use crate::language::{MANIFEST, SCHEMA_VERSION};
use crate::model::{Manifest, Name, TypeDefinition};
use crate::source::Source;

/// The types of `[types]` by name, except those with a mistake after which their shape is not known.
type Types = BTreeMap<String, TypeDefinition>;

impl Manifest {
    /// Reads and checks a manifest. No file is read: for the manifests that it names in `[requires.from]` see
    /// [`Imports`](crate::Imports), and whether its program exists is checked by the host. Two mistakes are found only by the code
    /// generator: names that collide in Rust, and names that generated code needs for itself.
    ///
    /// # Errors
    ///
    /// A report of all mistakes: of those in the TOML if there are any, otherwise of those in what the manifest says. A mistake can
    /// hide others in the same value. The report has only errors, at least one; warnings are [`Manifest::warnings`] of a valid
    /// manifest.
    pub fn parse(source: &Source) -> Result<Self, Report> {
        let (document, syntax_errors) = DeTable::parse_recoverable(source.text());
        if !syntax_errors.is_empty() {
            let diagnostics = syntax_errors.iter().map(|error| Diagnostic::syntax(error, source.text())).collect();
            return Err(Report::new(source, diagnostics));
        }
        let mut errors = Vec::new();
        let root = TableReader::new(document.get_ref(), &(0..0), "the manifest", &MANIFEST, &mut errors);
        let definitions = root.entries("types", &mut errors);
        let declared = definitions.iter().map(|(name, _)| name.as_str()).collect();
        let mut reader = ManifestReader { errors, warnings: Vec::new(), declared };
        match reader.manifest(&root, &definitions) {
            Some(mut manifest) if reader.errors.is_empty() => {
                let mut warnings = reader.warnings;
                check::warnings(&manifest, &mut warnings);
                manifest.warnings = Report::new(source, warnings);
                Ok(manifest)
            }
            _ => Err(Report::new(source, reader.errors)),
        }
    }
}

/// Reads one manifest. Its methods are in the files of this folder. To report a mistake is to add it to `errors`. A method that returns
/// `None` for something that is there has reported why. The converse does not hold: a value that is returned may have been reported
/// too, so only an empty `errors` at the end says that the manifest is valid.
struct ManifestReader<'n> {
    /// All mistakes so far, in the order in which they were found.
    errors: Vec<Diagnostic>,
    /// The warnings that depend on one section alone.
    warnings: Vec<Diagnostic>,
    /// The names that `[types]` declares, sorted; also those of definitions with mistakes, so that a use of one is not reported too.
    declared: Vec<&'n str>,
}

impl ManifestReader<'_> {
    /// Reads all sections, and checks the types. `definitions` are the entries of `[types]`. The result has no warnings yet, and is the
    /// model of a valid manifest only if `errors` is empty.
    ///
    /// A default can be a value of any type, so defaults are read when all types are known: in a second walk through the document,
    /// beside the model that the first walk has made of it. `None` if `[module]`, its name or its version is missing or of the
    /// wrong kind; that is in `errors`, like all other mistakes.
    fn manifest(&mut self, root: &TableReader<'_>, definitions: &[(Name, Node<'_>)]) -> Option<Manifest> {
        if let Some(version) = root.string("schema_version", &mut self.errors)
            && version.as_str() != SCHEMA_VERSION
        {
            let message = format!("schema version `{}` is not supported", version.as_str().escape_debug());
            let expected = format!("expected \"{SCHEMA_VERSION}\"");
            self.errors.push(Diagnostic::new(Code::SchemaVersion, message).at(version.span(), expected));
        }
        let module = self.module(root);
        let (provided_services, provided_events) = self.provides(root);
        let requires = self.requires(root);
        let mut config = self.config(root);
        let mut types = self.types(definitions);
        let mut services = self.services(root, provided_services, &types);
        let mut events = self.events(root, provided_events, &types);
        let process = self.process(root);
        let limits = self.limits(root);
        let env = self.env(root);

        check::types(&types, &mut self.errors);
        self.read_type_defaults(definitions, &mut types);
        self.read_config_defaults(root, &mut config, &types);
        self.read_message_defaults(root, &mut services, &mut events, &types);

        let types = types.into_values().collect();
        let warnings = Report::default();
        Some(Manifest { module: module?, services, events, requires, config, types, process, limits, env, warnings })
    }
}
