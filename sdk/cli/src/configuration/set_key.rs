//! Sets a key of a module's configuration: gets the value from its source, and has it checked against the declared type
//! by `ixt_host::Config`, which says how text becomes a value.

use std::ffi::OsString;
use std::path::Path;
use std::{env, fs};

use anyhow::{Context as _, bail};
use ixt_host::Config;

use crate::args::{Setting, ValueSource};

/// Sets one key; replaces an earlier value. Files, variables and credentials are read now; a relative path starts at
/// the current directory. One line end at the end of a file or credential is not part of the value, except for the type
/// `bytes`. The text of a variable is the value as it is.
///
/// If the source can't be read, the value is wrong, or the manifest declares no such key, the configuration stays as it
/// was. The error names the key, but never shows the value, which may be secret.
pub(super) fn set_key(config: &mut Config<'_>, Setting { key, value }: &Setting) -> anyhow::Result<()> {
    match value {
        ValueSource::Text(text) => config.set_text(key, text)?,
        ValueSource::File(path) => {
            let content =
                fs::read(path).with_context(|| format!("can't read the config key `{key}` from {}", path.display()))?;
            config.set_content(key, &content)?;
        }
        // Not `env::var`, whose error would show the value.
        ValueSource::Variable(name) => match env::var_os(name).map(OsString::into_string) {
            Some(Ok(text)) => config.set_text(key, &text)?,
            Some(Err(_)) => bail!("the environment variable `{name}`, for the config key `{key}`, is not UTF-8"),
            None => bail!("the environment variable `{name}`, for the config key `{key}`, is not set"),
        },
        ValueSource::Credential(name) => {
            let Some(dir) = env::var_os("CREDENTIALS_DIRECTORY") else {
                bail!(
                    "there is no credential `{name}`, for the config key `{key}`: CREDENTIALS_DIRECTORY is not set, which \
                     systemd does for a service with `LoadCredential=`"
                );
            };
            let path = Path::new(&dir).join(name);
            let content = fs::read(&path).with_context(|| {
                format!("can't read the credential `{name}`, for the config key `{key}`, from {}", path.display())
            })?;
            config.set_content(key, &content)?;
        }
    }
    Ok(())
}
