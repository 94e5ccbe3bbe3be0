//! `KEY=VALUE`: a key of a module's configuration, on the command line; and where its value comes from, also in `config_from` of the host's
//! file. Nothing is read here: `configuration` reads the sources, and checks the key and the value.

use std::path::PathBuf;
use std::str::FromStr;

/// A key of a module's configuration, and where its value comes from.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    /// The text before the first `=`. It may be empty, or no key of the module.
    pub(crate) key: String,
    /// The source that the text after it names.
    pub(crate) value: ValueSource,
}

/// The source of a key's value. The prefixes are in lower case only. `configuration` reads it, later.
#[derive(Debug, Clone)]
pub(crate) enum ValueSource {
    /// The text itself: any text without one of the prefixes below. May be empty.
    Text(String),
    /// The content of a file: `@FILE`. A relative path on the command line starts at the current directory. It may be empty: then reading
    /// fails.
    File(PathBuf),
    /// The value of an environment variable of `ixt`: `env:NAME`. The name may be empty: then reading fails.
    Variable(String),
    /// The content of a file in the directory in which systemd puts a service's credentials: `credential:NAME`. The name is a plain file
    /// name: not empty, without `/`, and neither `.` nor `..`.
    Credential(String),
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected `KEY=VALUE`, `KEY=@FILE`, `KEY=env:NAME` or `KEY=credential:NAME`";
        let (key, value) = text.split_once('=').ok_or(expected)?;
        Ok(Self { key: key.to_owned(), value: value.parse()? })
    }
}

impl FromStr for ValueSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix('@') {
            return Ok(Self::File(path.into()));
        }
        if let Some(name) = text.strip_prefix("env:") {
            return Ok(Self::Variable(name.to_owned()));
        }
        match text.strip_prefix("credential:") {
            None => Ok(Self::Text(text.to_owned())),
            Some("" | "." | "..") => Err("a credential has a name: `credential:NAME`".to_owned()),
            Some(name) if name.contains('/') => Err("the name of a credential is no path, and has no `/`".to_owned()),
            Some(name) => Ok(Self::Credential(name.to_owned())),
        }
    }
}
