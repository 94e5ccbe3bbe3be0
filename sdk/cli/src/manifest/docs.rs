//! `ixt docs`: a module's reference page in Markdown, for its callers and for those who run it. Text from the manifest
//! is escaped, so that it can't become HTML, or Markdown within a line; see [`plain`]. Defaults that hold secrets are
//! not shown. The crate `ixt-build` writes the doc comments of generated code, with its own escapes.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use ixt_build::Source;
use ixt_manifest::text::harmless;
use ixt_manifest::{
    Bounds, Deprecated, EnumValue, ErrorCode, Field, Manifest, MessageType, Name, ProvidedEvent, ProvidedService,
    Shape, Type, TypeDefinition, TypeKind, Value,
};

use crate::failure::{Failure, Result};
use crate::output::print;

/// Prints the page to stdout. `file` is the manifest itself, not its directory. Mistakes in it are a failure with
/// status 1, also that it can't be read; then no page is printed. The manifests of `[requires.from]` are not read, and
/// warnings are not shown.
pub(crate) fn docs(file: &Path) -> Result<()> {
    let manifest = Source::read(file).and_then(|source| Manifest::parse(&source));
    let manifest = manifest.map_err(|report| Failure::no(report.to_ansi_string()))?;
    let mut page = ReferencePage::default();
    page.module(&manifest);
    print(&page.text)
}

/// The page so far, in the order of the calls. The default is empty.
#[derive(Default)]
struct ReferencePage {
    /// The Markdown so far. Empty, or with a line end.
    text: String,
}

impl ReferencePage {
    /// Adds a paragraph, heading or table as it is, after an empty line if it is not the first. Adds the line end.
    fn paragraph(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(text);
        self.text.push('\n');
    }

    /// Adds a table. The cells are Markdown already, of one line each; only `|` is escaped. Without rows it is the head
    /// alone.
    fn table<const N: usize>(&mut self, heads: [&str; N], rows: impl IntoIterator<Item = [String; N]>) {
        let mut table = format!("| {} |\n|{}", heads.join(" | "), " --- |".repeat(N));
        for row in rows {
            let _ = write!(table, "\n| {} |", row.map(|cell| cell.replace('|', "\\|")).join(" | "));
        }
        self.paragraph(&table);
    }

    /// Adds the whole page. A section about which the manifest says nothing is left out.
    fn module(&mut self, manifest: &Manifest) {
        let module = &manifest.module;
        self.paragraph(&format!("# {} {}", module.name, module.version));
        if let Some(description) = &module.description {
            self.paragraph(&described(Some(description), None));
        }
        let facts = [("Author", &module.author), ("Licence", &module.license)];
        let facts = facts.iter().filter_map(|(what, fact)| Some(format!("{what}: {}.", plain(fact.as_ref()?))));
        let facts = facts.collect::<Vec<_>>().join(" ");
        if !facts.is_empty() {
            self.paragraph(&facts);
        }
        if !manifest.services.is_empty() {
            self.paragraph("## Services");
            manifest.services.iter().for_each(|service| self.service(service));
        }
        if !manifest.events.is_empty() {
            self.paragraph("## Events");
            manifest.events.iter().for_each(|event| self.event(event));
        }
        let requires = &manifest.requires;
        if !requires.services.is_empty() || !requires.events.is_empty() {
            self.paragraph("## Requires");
            let services = requires.services.iter().map(|topic| [code(topic.as_str()), "service".to_owned()]);
            let events = requires.events.iter().map(|topic| [code(topic.as_str()), "event".to_owned()]);
            self.table(["topic", ""], services.chain(events));
        }
        if !manifest.config.is_empty() {
            self.paragraph("## Configuration");
            self.fields("key", &manifest.config);
        }
        self.process(manifest);
        if !manifest.types.is_empty() {
            self.paragraph("## Types");
            manifest.types.iter().for_each(|definition| self.definition(definition));
        }
    }

    /// Adds the section about the program, its limits and its environment, if the manifest says anything about them. Of
    /// the environment, only the names of variables are shown.
    fn process(&mut self, manifest: &Manifest) {
        let Manifest { process, limits, env, .. } = manifest;
        let words = |words: Vec<String>| (!words.is_empty()).then(|| code(&words.join(" ")));
        let list = |names: Vec<&str>| {
            let names: Vec<_> = names.into_iter().map(code).collect();
            (!names.is_empty()).then(|| names.join(", "))
        };
        let time = |time: Option<Duration>| time.map(|time| code(&Value::Duration(time).to_string()));
        let interpreter = process.interpreter.iter().chain(&process.interpreter_args).cloned();
        let program = process.path.iter().map(|path| match &process.entry {
            Some(entry) => format!("{}/{entry}", path.as_str().trim_end_matches('/')),
            None => path.to_string(),
        });
        let program = program.chain(process.args.iter().cloned());
        let rows = [
            ("Interpreter", words(interpreter.collect())),
            (if process.path.is_some() { "Program" } else { "Arguments" }, words(program.collect())),
            ("Time to connect", time(process.connect_timeout)),
            ("Time to answer `init`", time(process.init_timeout)),
            ("Restart", (!process.overlap).then(|| "The old process ends before the new one starts.".to_owned())),
            ("Memory", limits.memory.map(|bytes| code(&Value::Size(bytes).to_string()))),
            ("Open files", limits.files.map(|files| code(&files.to_string()))),
            ("Processors", limits.cpu.map(|cpu| code(&cpu.to_string()))),
            ("Variables of the host", list(env.pass.iter().map(Name::as_str).collect())),
            ("Variables that are set", list(env.set.iter().map(|variable| variable.name.as_str()).collect())),
        ];
        let rows: Vec<_> = rows.into_iter().filter_map(|(what, value)| Some([what.to_owned(), value?])).collect();
        if !rows.is_empty() {
            self.paragraph("## Process");
            self.table(["", ""], rows);
        }
    }

    /// Adds the section of a service: its description, its messages, its errors and its notes.
    fn service(&mut self, service: &ProvidedService) {
        self.paragraph(&format!("### {}", code(service.topic.as_str())));
        self.about(service.description.as_ref(), service.deprecated.as_ref());
        self.message("Request", "the payload's bytes as they are", service.request.as_ref());
        self.message("Response", "any JSON object", service.response.as_ref());
        if !service.errors.is_empty() {
            self.paragraph("Errors:");
            let row = |error: &ErrorCode| {
                let retryable = if error.retryable { "A retry may succeed." } else { "" };
                let about = described(error.description.as_ref(), error.deprecated.as_ref());
                [code(error.code.as_str()), join(&[&about, retryable])]
            };
            self.table(["code", ""], service.errors.iter().map(row));
        }
        let mut notes = Vec::new();
        if service.idempotent {
            notes.push("It is idempotent: the same request twice has the effect of one.".to_owned());
        }
        if let Some(ttl) = service.ttl_ms {
            notes.push(format!("The default timeout of a call is {ttl} ms."));
        }
        if !notes.is_empty() {
            self.paragraph(&notes.join(" "));
        }
    }

    /// Adds the section of an event that the module publishes.
    fn event(&mut self, event: &ProvidedEvent) {
        self.paragraph(&format!("### {}", code(event.topic.as_str())));
        self.about(event.description.as_ref(), event.deprecated.as_ref());
        self.message("Payload", "bytes", event.payload.as_ref());
        if event.durable {
            self.paragraph("It is durable: a subscriber that ends while it handles the event gets it again.");
        }
    }

    /// Adds a description and a deprecation as a paragraph, if there is either.
    fn about(&mut self, description: Option<&String>, deprecated: Option<&Deprecated>) {
        let text = described(description, deprecated);
        if !text.is_empty() {
            self.paragraph(&text);
        }
    }

    /// Adds what a message is: a link to its type, or its fields. `raw` is the text for a message without a declared
    /// type.
    fn message(&mut self, role: &str, raw: &str, message: Option<&MessageType>) {
        match message {
            None => self.paragraph(&format!("{role}: {raw}.")),
            Some(MessageType::Named(name)) => self.paragraph(&format!("{role}: {}.", link(name.as_str()))),
            Some(MessageType::Inline { fields, description }) => {
                let about = described(description.as_ref(), None);
                let end = if fields.is_empty() { " an object without fields." } else { "" };
                let about = if about.is_empty() { about } else { format!(" {about}") };
                self.paragraph(&format!("{role}:{end}{about}"));
                if !fields.is_empty() {
                    self.fields("field", fields);
                }
            }
        }
    }

    /// Adds a table of fields. `what` is the head of its first column.
    fn fields(&mut self, what: &str, fields: &[Field]) {
        let mut rows = Vec::new();
        for field in fields {
            add_rows("", field, &mut rows);
        }
        self.table([what, "type", "default", ""], rows);
    }

    /// Adds a type of `[types]`.
    fn definition(&mut self, definition: &TypeDefinition) {
        self.paragraph(&format!("### {}", definition.name));
        self.about(definition.description.as_ref(), definition.deprecated.as_ref());
        let open = |open: bool| if open { " Unknown ones may come too, and are kept as they are." } else { "" };
        match &definition.shape {
            Shape::Record(fields) if fields.is_empty() => self.paragraph("An object without fields."),
            Shape::Record(fields) => self.fields("field", fields),
            Shape::Newtype(ty) => {
                let bounds = bounds(&ty.bounds);
                let bounds = if bounds.is_empty() { bounds } else { format!(" {bounds}") };
                self.paragraph(&format!("A value of type {}.{bounds}", type_text(ty)));
            }
            Shape::Enum { values, open: is_open } => {
                self.paragraph(&format!("One of these texts.{}", open(*is_open)));
                let row = |value: &EnumValue| {
                    [code(value.name.as_str()), described(value.description.as_ref(), value.deprecated.as_ref())]
                };
                self.table(["value", ""], values.iter().map(row));
            }
            Shape::Union { cases, open: is_open } => {
                self.paragraph(&format!("An object whose `type` names the case.{}", open(*is_open)));
                for case in cases {
                    let deprecated = described(None, case.deprecated.as_ref());
                    let role = join(&[&format!("`\"type\": \"{}\"`", case.name), &deprecated]);
                    self.message(&role, "", Some(&case.content));
                }
            }
        }
    }
}

/// Adds the row of a field. If its type is a table written in place, or a list or map of one, also adds the rows of the
/// table's fields, and so on (not those of a list within a list or map): `parent.field`, `list[].field`, `map.*.field`.
fn add_rows(parent: &str, field: &Field, rows: &mut Vec<[String; 4]>) {
    let name = format!("{parent}{}", field.name);
    let default = match &field.default {
        Some(_) if field.holds_secret() => "(secret)".to_owned(),
        Some(default) => code(&default.to_string()),
        None if field.ty.optional => "none".to_owned(),
        None => "**required**".to_owned(),
    };
    let mut about = vec![described(field.description.as_ref(), field.deprecated.as_ref()), bounds(&field.ty.bounds)];
    if let TypeKind::List(inner) | TypeKind::Map(inner) = &field.ty.kind
        && !inner.bounds.is_empty()
    {
        about.push(format!("Each: {}", bounds(&inner.bounds)));
    }
    if field.secret {
        about.push("Secret.".to_owned());
    }
    if let TypeKind::Enum(values) = &field.ty.kind {
        let values: Vec<_> = values.iter().map(|value| code(value.name.as_str())).collect();
        about.push(format!("One of {}.", values.join(", ")));
    }
    let about: Vec<&str> = about.iter().map(String::as_str).collect();
    rows.push([code(&name), type_text(&field.ty), default, join(&about)]);
    let (ty, suffix) = match &field.ty.kind {
        TypeKind::List(item) => (&**item, "[]."),
        TypeKind::Map(value) => (&**value, ".*."),
        _ => (&field.ty, "."),
    };
    if let TypeKind::Table(fields) = &ty.kind {
        for field in fields {
            add_rows(&format!("{name}{suffix}"), field, rows);
        }
    }
}

/// The name of a type in words, with a link if it is one of `[types]`. An enum written in place is called a string.
fn type_text(ty: &Type) -> String {
    let text = match &ty.kind {
        TypeKind::List(item) => format!("list of {}", type_text(item)),
        TypeKind::Map(value) => format!("map of {}", type_text(value)),
        TypeKind::Named(name) => link(name),
        TypeKind::Enum(_) => "string".to_owned(),
        kind => kind.name().to_owned(),
    };
    if ty.optional { format!("{text}, optional") } else { text }
}

/// The bounds of a type itself, a sentence each, separated by spaces. Empty if there are none; those of list items or
/// map values are not in it.
fn bounds(bounds: &Bounds) -> String {
    let mut sentences = bounds.in_words(code);
    for sentence in &mut sentences {
        sentence[..1].make_ascii_uppercase();
        sentence.push('.');
    }
    sentences.join(" ")
}

/// A description and a deprecation as sentences in one line, escaped as by [`plain`]. Empty if there is neither.
fn described(description: Option<&String>, deprecated: Option<&Deprecated>) -> String {
    let deprecated = deprecated.map(|deprecated| match &deprecated.instead {
        Some(instead) => format!("**Deprecated**: {}.", plain(instead)),
        None => "**Deprecated.**".to_owned(),
    });
    let description = description.map(|description| plain(description));
    let description = description.map(|text| if text.ends_with(['.', '!', '?']) { text } else { text + "." });
    join(&[&description.unwrap_or_default(), &deprecated.unwrap_or_default()])
}

/// The parts that are not empty, with a space between two of them.
fn join(parts: &[&str]) -> String {
    parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(" ")
}

/// A link to the section of a type of `[types]` on the same page.
fn link(name: &str) -> String {
    format!("[{name}](#{})", name.to_lowercase())
}

/// A text from the manifest as one line, with the characters escaped that have a meaning within a line of Markdown or
/// HTML. `|` stays: [`ReferencePage::table`] escapes it. What makes a list at the start of a line (`-`, `+`, `1.`)
/// stays too, and so does a bare URL.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for c in text.split_whitespace().collect::<Vec<_>>().join(" ").chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '~' | '&' => plain.extend(['\\', c]),
            c => plain.push(c),
        }
    }
    harmless(&plain)
}

/// A text as a code span, between more backticks than it has in a row. Control characters are escaped, `|` is not.
fn code(text: &str) -> String {
    let text = harmless(text);
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    match longest {
        0 => format!("`{text}`"),
        longest => {
            let fence = "`".repeat(longest + 1);
            format!("{fence} {text} {fence}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_manifest_has_no_meaning_in_markdown() {
        assert_eq!(plain("a\n\n# b | <i>*c*</i>\u{1b}"), "a \\# b | \\<i\\>\\*c\\*\\</i\\>\\u{1b}");
        assert_eq!(code("a|b"), "`a|b`");
        assert_eq!(code("a`b``c"), "``` a`b``c ```");
        let mut page = ReferencePage::default();
        page.table(["one", "two"], [["a|b".to_owned(), code("c|d")]]);
        assert_eq!(page.text, "| one | two |\n| --- | --- |\n| a\\|b | `c\\|d` |\n");
    }

    #[test]
    fn a_secret_is_not_shown_and_a_field_of_a_table_has_its_path() {
        let text = "schema_version = \"3.0\"\n[module]\nname = \"m\"\nversion = \"1.0.0\"\n[config]\n\
                    token = { type = \"string\", secret = true, default = \"s3cret\" }\n\
                    host = { type = \"table\", fields = { name = \"string\", port = { type = \"integer\", max = 9 } } }\n";
        let mut page = ReferencePage::default();
        page.module(&Manifest::parse(&Source::new("manifest.toml", text)).unwrap());
        assert!(!page.text.contains("s3cret"), "{}", page.text);
        for row in
            ["| `token` | string | (secret) | Secret. |", "| `host.port` | integer | **required** | At most `9`. |"]
        {
            assert!(page.text.lines().any(|line| line == row), "{row}: {}", page.text);
        }
    }
}
