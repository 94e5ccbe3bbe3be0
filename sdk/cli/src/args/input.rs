//! `--data` of `ixt call`, `ixt publish` and `ixt kv set`: where a payload or a value is read from. One that is given as an argument itself
//! does not come here.

use std::fs;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context as _;

/// The value of `--data`: `@FILE`, a file, or `-`, stdin. Any other text is an error, also an `@` alone. The file is not opened until
/// [`read`](Self::read).
#[derive(Debug, Clone)]
pub(crate) enum DataInput {
    /// The path, which is not empty. A relative one starts at the current directory.
    File(PathBuf),
    Stdin,
}

impl DataInput {
    /// Reads all bytes up to the end, unchanged, without a limit of size or time: stdin blocks until it is closed, and is empty when it is
    /// read again. Fails if the file or stdin can't be read. The error calls the bytes `what`, such as "the value".
    pub(crate) fn read(&self, what: &str) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::File(path) => fs::read(path).with_context(|| format!("can't read {what} from {}", path.display())),
            Self::Stdin => {
                let mut bytes = Vec::new();
                io::stdin().read_to_end(&mut bytes).with_context(|| format!("can't read {what} from stdin"))?;
                Ok(bytes)
            }
        }
    }
}

impl FromStr for DataInput {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix('@')) {
            ("-", _) => Ok(Self::Stdin),
            (_, Some(path)) if !path.is_empty() => Ok(Self::File(path.into())),
            _ => Err("expected `@FILE` or `-`; give text itself as an argument, without --data".to_owned()),
        }
    }
}
