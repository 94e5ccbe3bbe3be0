//! Reads `[env]`.

use super::ManifestReader;
use super::node::wrong_kind;
use super::table_reader::TableReader;
use crate::diagnostic::{Code, Diagnostic};
use crate::language::{ENV, reserved_variable};
use crate::model::{Env, Name, Variable};

impl ManifestReader<'_> {
    /// `[env]`. Without the table, `pass` and `set` are empty. Reports a name that is wrong or reserved, one that is both in `pass`
    /// and in `set`, and a value with a zero byte; these are in the result all the same. An entry of `set` that is no string is left
    /// out, and reported, and so is an item of `pass` that is no string or is there twice.
    pub(super) fn env(&mut self, root: &TableReader<'_>) -> Env {
        let Some(table) = root.table("env", &ENV, &mut self.errors) else { return Env::default() };
        let mut pass = table.strings("pass", &mut self.errors);
        for name in &pass {
            self.check_variable(name);
        }
        pass.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        let mut set = Vec::new();
        for (name, node) in table.entries("set", &mut self.errors) {
            self.check_variable(&name);
            let subject = format!("`{}` in `set` of {}", name.as_str().escape_debug(), table.subject());
            let Some(value) = node.get_ref().as_str() else {
                self.errors.push(wrong_kind(&subject, node, "a string"));
                continue;
            };
            self.check_no_zero(&Name::new(value, node.span()), &subject);
            if let Some(passed) = pass.iter().find(|passed| passed.as_str() == name.as_str()) {
                let message = format!("`{}` is passed on, and set", name.as_str().escape_debug());
                self.errors.push(
                    Diagnostic::new(Code::Contradiction, message)
                        .at(name.span(), "has this value, whatever the host has")
                        .related(passed.span(), "has the value that the host has")
                        .help("remove one of the two"),
                );
            }
            set.push(Variable { name, value: value.to_owned() });
        }
        Env { pass, set }
    }

    /// Reports a name that is empty, is not made of ASCII letters, digits and `_`, begins with a digit, or is reserved.
    fn check_variable(&mut self, name: &Name) {
        let text = name.as_str();
        if let Some(reason) = reserved_variable(text) {
            let message = format!("`{text}` is for the host alone");
            self.errors.push(Diagnostic::new(Code::ReservedName, message).at(name.span(), reason));
        } else if text.starts_with(|c: char| c.is_ascii_digit())
            || text.is_empty()
            || !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            let message = format!("`{}` can't name an environment variable", text.escape_debug());
            self.errors.push(
                Diagnostic::new(Code::InvalidName, message)
                    .at(name.span(), "expected ASCII letters, digits and `_`, not beginning with a digit"),
            );
        }
    }
}
