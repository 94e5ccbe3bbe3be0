//! Which values a configuration takes, and what its errors say.

use ixt_manifest::Source;

use super::*;

const MANIFEST: &str = r#"
    schema_version = "3.0"
    [module]
    name = "m"
    version = "1.0.0"
    [config]
    url = { type = "string", default = "sqlite://x" }
    limit = { type = "integer", default = 7 }
    ratio = { type = "float", default = 1 }
    on = { type = "boolean", default = true }
    key = { type = "bytes" }
    tags = { type = "[string]", default = ["a"] }
    note = { type = "string?" }
"#;

fn with(set: impl FnOnce(&mut Config<'_>) -> Result<(), ConfigError>) -> Result<Value, ConfigError> {
    let manifest = Manifest::parse(&Source::new("manifest.toml", MANIFEST)).unwrap();
    let mut config = Config::of(&manifest);
    set(&mut config)?;
    config.to_json().map(|json| serde_json::from_str(json.get()).unwrap())
}

#[test]
fn defaults_and_what_was_set_make_the_object() {
    let object = with(|config| {
        config.set_text("url", "5")?;
        config.set_text("limit", "9")?;
        config.set_content("key", b"\x00\n")?;
        config.set_content("note", b"hunter2\r\n")?;
        config.set_text("tags", r#"["x", "y"]"#)
    })
    .unwrap();
    let expected = serde_json::json!({
        "url": "5", "limit": 9, "ratio": 1.0, "on": true, "key": "AAo=", "tags": ["x", "y"], "note": "hunter2",
    });
    assert_eq!(object, expected);
}

#[test]
fn a_value_of_the_wrong_type_is_refused_and_not_shown() {
    for (key, text) in
        [("limit", "s3cret"), ("limit", "9.5"), ("on", "yes"), ("key", "s3cret!"), ("tags", "[1]"), ("ratio", "s3cret")]
    {
        let error = with(|config| config.set_text(key, text)).unwrap_err();
        assert!(matches!(&error, ConfigError::WrongType { key: named, .. } if named == key), "{error}");
        assert!(!error.to_string().contains(text), "{error}");
    }
}

const TYPES: &str = r#"
    schema_version = "3.0"
    [module]
    name = "m"
    version = "1.0.0"
    [config]
    port = { type = "Port", default = 80 }
    level = { type = "Level", default = "low" }
    open = { type = "Open", default = "a" }
    target = { type = "Target", default = { type = "file", path = "/tmp" } }
    grown = { type = "Grown", default = { type = "a" } }
    table = { type = "table", fields = { host = "string", tls = "boolean?" }, default = { host = "x" } }
    map = { type = "{integer}", default = { a = 1 } }
    wait = { type = "duration", default = "250ms" }
    size = { type = "size", default = "1KiB" }
    since = { type = "datetime", default = "2026-01-31T12:00:00Z" }
    path = { type = "path", default = "/var" }
    short = { type = "string", max_length = 3, default = "abc" }
    list = { type = "[Port]", min_length = 1, default = [1] }
    choice = { type = "string", enum = ["x", "y"], default = "x" }
    sku = { type = "Sku", default = "a" }
    [types]
    Sku = "string"
    [types.Port]
    newtype = { type = "integer", min = 1, max = 99 }
    [types.Level]
    enum = ["low", "high"]
    [types.Open]
    enum = ["a"]
    open = true
    [types.Target]
    union = { file = { path = "string" }, net = "Net" }
    [types.Net]
    host = "string"
    port = "Port?"
    [types.Grown]
    union = { a = {} }
    open = true
"#;

/// Sets a key of [`TYPES`] to a value. Returns the key's value in the object, or the error as text.
fn set(key: &str, value: Value) -> Result<Value, String> {
    let manifest = Manifest::parse(&Source::new("manifest.toml", TYPES)).unwrap();
    let mut config = Config::of(&manifest);
    config.set_json(key, value).map_err(|error| error.to_string())?;
    let object: Value = serde_json::from_str(config.to_json().unwrap().get()).unwrap();
    Ok(object[key].clone())
}

#[test]
fn values_within_a_value_are_checked_too() {
    use serde_json::json;
    for (key, value) in [
        ("port", json!(99)),
        ("level", json!("high")),
        ("open", json!("anything")),
        ("target", json!({ "type": "file", "path": "x" })),
        ("target", json!({ "type": "net", "host": "x", "port": null })),
        ("grown", json!({ "type": "new", "any": [1] })),
        ("table", json!({ "host": "x", "tls": true })),
        ("table", json!({ "host": "x", "tls": null })),
        ("map", json!({})),
        ("map", json!({ "b": -1 })),
        ("wait", json!("1m 30s")),
        ("size", json!(5)),
        ("size", json!("16MiB")),
        ("since", json!("2026-01-31T12:00:00+01:00")),
        ("path", json!("")),
        ("short", json!("\u{e4}\u{e4}\u{e4}")),
        ("list", json!([1, 99])),
        ("choice", json!("y")),
    ] {
        assert_eq!(set(key, value.clone()), Ok(value));
    }
    for (key, value, expected) in [
        ("port", json!(0), "at least 1"),
        ("port", json!(100), "at most 99"),
        ("port", json!("80"), "an integer of at most 64 bits"),
        ("port", json!(null), "an integer of at most 64 bits"),
        ("level", json!("middle"), "`low` or `high`"),
        ("open", json!(5), "`a`"),
        ("target", json!({ "path": "x" }), "a JSON object with `type`: `file` or `net`"),
        ("target", json!({ "type": "other" }), "a JSON object with `type`: `file` or `net`"),
        ("target", json!({ "type": "file" }), "a value for `path`"),
        ("target", json!({ "type": "net", "host": "x", "port": 0 }), "at `port` at least 1"),
        ("target", json!({ "type": "net", "host": "x", "prt": 1 }), "no `prt`"),
        ("grown", json!({}), "a JSON object with `type`: `a`"),
        ("table", json!({}), "a value for `host`"),
        ("table", json!({ "host": null }), "at `host` a string"),
        ("table", json!({ "host": "x", "tls": 1 }), "at `tls` `true` or `false`"),
        ("table", json!([]), "a JSON object"),
        ("map", json!({ "b": "x" }), "at `b` an integer of at most 64 bits"),
        ("map", json!(1), "a JSON object"),
        ("wait", json!("soon"), "a duration such as `250ms`"),
        ("size", json!(-1), "a size such as `16MiB`"),
        ("since", json!("today"), "a point in time such as `2026-01-31T12:00:00Z`"),
        ("path", json!(1), "a string"),
        ("short", json!("abcd"), "at most 3 characters"),
        ("list", json!([]), "at least 1 item"),
        ("list", json!([1, 100]), "at [1] at most 99"),
        ("list", json!({}), "a JSON array"),
        ("choice", json!("z"), "`x` or `y`"),
    ] {
        let error = set(key, value.clone()).unwrap_err();
        let start = format!("the config key `{key}` needs {expected} (its type is ");
        assert!(error.starts_with(&start), "{value}: {error}");
    }
}

#[test]
fn text_is_read_by_the_type_of_its_key() {
    let manifest = Manifest::parse(&Source::new("manifest.toml", TYPES)).unwrap();
    let set = |key: &str, text: &str| {
        let mut config = Config::of(&manifest);
        config.set_text(key, text).unwrap();
        serde_json::from_str::<Value>(config.to_json().unwrap().get()).unwrap()[key].to_string()
    };
    for (key, text, json) in [
        ("port", "7", "7"),
        ("level", "high", "\"high\""),
        ("open", "5", "\"5\""),
        ("choice", "y", "\"y\""),
        ("wait", "5s", "\"5s\""),
        ("size", "1KiB", "\"1KiB\""),
        ("path", "5", "\"5\""),
        ("sku", "5", "\"5\""),
        ("list", "[1, 2]", "[1,2]"),
    ] {
        assert_eq!(set(key, text), json);
    }
    // All defaults, as they are in the object.
    let config = Config::of(&manifest);
    let object: Value = serde_json::from_str(config.to_json().unwrap().get()).unwrap();
    let expected = serde_json::json!({
        "port": 80, "level": "low", "open": "a", "target": { "type": "file", "path": "/tmp" }, "grown": { "type": "a" },
        "table": { "host": "x" }, "map": { "a": 1 }, "wait": "250ms", "size": 1024, "since": "2026-01-31T12:00:00Z",
        "path": "/var", "short": "abc", "list": [1], "choice": "x", "sku": "a",
    });
    assert_eq!(object, expected);
}

#[test]
fn a_key_without_default_has_to_be_set() {
    assert_eq!(with(|_| Ok(())).unwrap_err(), ConfigError::Missing { keys: vec!["key".to_owned()] });
}

#[test]
fn the_content_of_a_file_is_read_by_the_type_of_its_key() {
    let error = with(|config| config.set_content("url", b"\xFF")).unwrap_err();
    assert_eq!(error.to_string(), "the config key `url` needs text in UTF-8 (its type is `string`)");
    let object = with(|config| {
        config.set_content("key", b"")?;
        config.set_content("url", b"two\nlines\n\n")
    });
    assert_eq!(object.unwrap()["url"], "two\nlines\n");
}

#[test]
fn an_unknown_key_is_refused() {
    let error = with(|config| config.set_text("limits", "1")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no config key `limits`: the manifest declares `key`, `limit`, `note`, `on`, `ratio`, `tags`, `url`"
    );
}
