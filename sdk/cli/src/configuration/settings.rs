//! Where the value of a config key comes from, and how it gets into the configuration.

use std::ffi::OsString;
use std::path::Path;
use std::{env, fs};

use anyhow::{Context as _, bail};
use ixt_host::Config;

use crate::args::{Setting, Value};

/// Sets one key.
pub(crate) fn apply(config: &mut Config<'_>, Setting { key, value }: &Setting) -> anyhow::Result<()> {
    match value {
        Value::Text(text) => config.set_text(key, text)?,
        Value::File(path) => {
            let content =
                fs::read(path).with_context(|| format!("can't read the config key `{key}` from {}", path.display()))?;
            config.set_content(key, &content)?;
        }
        // Not `env::var`, whose error shows the value.
        Value::Variable(name) => match env::var_os(name).map(OsString::into_string) {
            Some(Ok(text)) => config.set_text(key, &text)?,
            Some(Err(_)) => bail!("the environment variable `{name}`, for the config key `{key}`, is not UTF-8"),
            None => bail!("the environment variable `{name}`, for the config key `{key}`, is not set"),
        },
        Value::Credential(name) => {
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
