//! `ixt kv`: reads, writes, watches and backs up the keys and values of a running host's modules; and checks and repairs the data directory
//! of a host that is not running.

use std::collections::BTreeMap;
use std::path::Path;

use ixt_host::control::ControlCommand;
use ixt_host::kv::{Inspection, RedbStore, Repair};
use ixt_host::text::harmless;
use ixt_protocol::{decode_base64, encode_base64};
use serde::Deserialize;
use serde_json::json;

use super::connection::ControlClient;
use crate::args::{DataInput, KvCommand};
use crate::data_dir::data_dir_or_default;
use crate::failure::{Failure, Result};
use crate::output::{print, print_bytes, print_json};

/// The answer to `KvGet`. `value`, in base64, and `revision` are there only if the key was found.
#[derive(Deserialize)]
struct ValueAnswer {
    found: bool,
    #[serde(default)]
    value: String,
    #[serde(default)]
    revision: u64,
}

/// The answer to `KvSet`: the new revision of the key.
#[derive(Deserialize)]
struct WriteAnswer {
    revision: u64,
}

/// The answer to `KvDelete`: false if there was no such key.
#[derive(Deserialize)]
struct DeleteAnswer {
    deleted: bool,
}

/// A change that `KvWatch` reports. The value is in base64; `None`: the key was deleted or has expired.
#[derive(Deserialize)]
struct ChangeAnswer {
    key: String,
    revision: u64,
    value: Option<String>,
}

/// The answer to `KvBackup`: the number of keys in the file, of all modules.
#[derive(Deserialize)]
struct BackupAnswer {
    keys: u64,
}

/// `ixt kv`. `check` and `repair` read the data directory and ignore `socket`; the other commands talk to the host at `socket`. `get` and
/// `delete` fail with status 1 if there is no such key. `watch` goes on until a signal comes. It fails if the host ends, or if stdout is
/// read so slowly that changes are lost.
pub(crate) fn kv(args: &KvCommand, socket: Option<&Path>, json: bool) -> Result<()> {
    let bytes = |value: &str| decode_base64(value).map_err(Failure::module);
    match args {
        KvCommand::Get { module, key } => {
            let command = ControlCommand::KvGet { module: module.clone(), key: key.clone() };
            let ValueAnswer { found, value, revision } = ControlClient::ask(socket, &command)?.one()?;
            if !found {
                return Err(no_key(module, key));
            }
            if json {
                return print_json(&json!({ "key": key, "revision": revision, "value": value }).to_string());
            }
            print_bytes(&bytes(&value)?)
        }
        KvCommand::Set { module, key, value, data, ttl, expected_revision } => {
            let value = content(value.as_deref(), data.as_ref()).map_err(Failure::usage)?;
            let command = ControlCommand::KvSet {
                module: module.clone(),
                key: key.clone(),
                value: encode_base64(&value),
                ttl_ms: ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
                expected_revision: *expected_revision,
            };
            let WriteAnswer { revision } = ControlClient::ask(socket, &command)?.one()?;
            if json { print_json(&json!({ "key": key, "revision": revision }).to_string()) } else { Ok(()) }
        }
        KvCommand::Delete { module, key, expected_revision } => {
            let command = ControlCommand::KvDelete {
                module: module.clone(),
                key: key.clone(),
                expected_revision: *expected_revision,
            };
            let DeleteAnswer { deleted } = ControlClient::ask(socket, &command)?.one()?;
            if json {
                print_json(&json!({ "key": key, "deleted": deleted }).to_string())?;
            }
            if deleted { Ok(()) } else { Err(no_key(module, key)) }
        }
        KvCommand::List { module, prefix } => {
            let command = ControlCommand::KvList { module: module.clone(), prefix: prefix.clone() };
            let mut remote = ControlClient::ask(socket, &command)?;
            while let Some(key) = remote.next()? {
                let name: String = serde_json::from_str(key.get()).map_err(Failure::module)?;
                if json {
                    print_json(&json!({ "key": name }).to_string())?;
                } else {
                    print(&format!("{}\n", harmless(&name)))?;
                }
            }
            Ok(())
        }
        KvCommand::Watch { module, prefix } => {
            let command = ControlCommand::KvWatch { module: module.clone(), prefix: prefix.clone() };
            let mut remote = ControlClient::ask(socket, &command)?;
            // The first data says that changes are reported from now on.
            remote.next()?;
            while let Some(change) = remote.next()? {
                if json {
                    print_json(change.get())?;
                    continue;
                }
                let ChangeAnswer { key, revision, value } =
                    serde_json::from_str(change.get()).map_err(Failure::module)?;
                let key = harmless(&key);
                print(&match value {
                    None => format!("{revision} {key} deleted\n"),
                    Some(value) => {
                        format!("{revision} {key} = {}\n", harmless(&String::from_utf8_lossy(&bytes(&value)?)))
                    }
                })?;
            }
            Ok(())
        }
        KvCommand::Backup { file } => {
            // A relative path would be relative to the host's current directory there.
            let path = std::path::absolute(file).map_err(Failure::usage)?;
            let BackupAnswer { keys } =
                ControlClient::ask(socket, &ControlCommand::KvBackup { path: path.clone() })?.one()?;
            if json {
                return print_json(&json!({ "keys": keys }).to_string());
            }
            let are = if keys == 1 { "key is" } else { "keys are" };
            print(&format!("{keys} {are} in {}\n", harmless(&path.display().to_string())))
        }
        KvCommand::Check { data_dir } => check(&data_dir_or_default(data_dir.as_deref())?, json),
        KvCommand::Repair { data_dir } => repair(&data_dir_or_default(data_dir.as_deref())?, json),
    }
}

/// The failure of `get` and `delete` if there is no such key: status 1.
fn no_key(module: &str, key: &str) -> Failure {
    Failure::no(format!("error: `{}` has no key `{}`\n", harmless(module), harmless(key)))
}

/// `ixt kv check`: prints how many keys are whole, and each damage. Fails with status 1 if there is damage, and with 2 if the data can't be
/// read, such as when a host uses it.
fn check(directory: &Path, json: bool) -> Result<()> {
    let Inspection { keys, damage, .. } = RedbStore::check(directory).map_err(Failure::usage)?;
    if json {
        print_json(&json!({ "whole": damage.is_empty(), "modules": keys, "damage": damage }).to_string())?;
    } else {
        print(&format!("{} whole\n{}", are(&keys), lines("damaged", &damage)))?;
    }
    if damage.is_empty() {
        return Ok(());
    }
    let place = harmless(&directory.display().to_string());
    Err(Failure::no(format!(
        "error: the store of keys and values in {place} is damaged: `ixt kv repair --data-dir {place}` saves what is whole\n"
    )))
}

/// `ixt kv repair`: saves what can be read, and prints what was lost. Changes nothing if nothing is damaged. Fails with status 2 if that is
/// not possible.
fn repair(directory: &Path, json: bool) -> Result<()> {
    let Repair { keys, damage, aside, .. } = RedbStore::repair(directory).map_err(Failure::usage)?;
    if json {
        return print_json(&json!({ "modules": keys, "damage": damage, "aside": aside }).to_string());
    }
    print(&match aside {
        None => format!("{} whole: there is nothing to repair\n", are(&keys)),
        Some(aside) => {
            let aside = harmless(&aside.display().to_string());
            format!("{} saved; the damaged file is kept as {aside}\n{}", are(&keys), lines("lost", &damage))
        }
    })
}

/// `3 keys of 1 module are`, the beginning of a sentence. The numbers of keys are by module.
fn are(keys: &BTreeMap<String, u64>) -> String {
    let plural = |number: u64, one: &str| format!("{number} {one}{}", if number == 1 { "" } else { "s" });
    let sum = keys.values().sum();
    let are = if sum == 1 { "is" } else { "are" };
    format!("{} of {} {are}", plural(sum, "key"), plural(keys.len() as u64, "module"))
}

/// A line for each damage: `word`, a colon, and what is damaged.
fn lines(word: &str, damage: &[String]) -> String {
    let mut lines = String::new();
    for what in damage {
        // It quotes keys, which may be any text.
        lines.extend([word, ": ", &harmless(what), "\n"]);
    }
    lines
}

/// The value to be set: the argument, or what is read from a file or stdin. Without both, stdin.
fn content(value: Option<&str>, data: Option<&DataInput>) -> anyhow::Result<Vec<u8>> {
    match value {
        Some(value) => Ok(value.as_bytes().to_vec()),
        None => data.unwrap_or(&DataInput::Stdin).read("the value"),
    }
}
