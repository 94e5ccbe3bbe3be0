//! Uses the generated code of `everything.toml`, which has every type and every form of the manifest language, as a module's author
//! would.
#![allow(deprecated)] // some of what is declared there is

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use golden::everything::{
    self, Config, ConfigDatabasePool, ConfigFormat, ConfigMode, ConfigServersItemRole, Grid, Level, Order, OrderStatus,
    Payment, Point, Reply, ShopOrderError, ShopOrderRequest, ShopPayError, Size, Sku, Voucher, client,
};
use ixt_sdk::prelude::*;
use ixt_sdk::{Timestamp, Value, code};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

/// A configuration with the required keys only.
fn required() -> Value {
    json!({ "mode": "safe", "token": "t0ken-t0ken", "sku": "AB-1", "database": { "host": "db" } })
}

fn config(given: &Value) -> Result<Config> {
    let mut all = required();
    all.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
    Config::from_json(&all.to_string())
}

fn read<T: DeserializeOwned>(value: Value) -> std::result::Result<T, String> {
    serde_json::from_value(value).map_err(|error| error.to_string())
}

fn write(value: impl Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

fn order(pay: Payment) -> Order {
    Order {
        id: "1".to_owned(),
        sku: Sku::try_from("AB".to_owned()).unwrap(),
        pay,
        parent: None,
        children: vec![],
        by_name: BTreeMap::new(),
        when: None,
        at: None,
        size: Size::M,
        weight: 1000,
        tags: vec![],
        status: OrderStatus::New,
        address: None,
    }
}

#[test]
fn defaults_of_every_type_hold() {
    let config = config(&json!({})).unwrap();
    assert_eq!(config.timeout, Duration::from_millis(250));
    assert_eq!(config.precise, Duration::from_micros(1_000_500));
    assert_eq!((config.cache, config.block), (16 * 1024 * 1024, 4096));
    assert_eq!(config.home, PathBuf::from("/var/lib/shop"));
    assert_eq!(config.opens, "2026-01-31T12:00:00Z".parse::<Timestamp>().unwrap());
    assert_eq!((config.closes, config.interval, config.quantity, config.old), (None, None, None, None));
    assert_eq!((config.format, config.mode), (ConfigFormat::Text, ConfigMode::Safe));
    assert_eq!(config.level, Level::Warn);
    assert_eq!(config.labels, BTreeMap::from([("a".to_owned(), "b".to_owned())]));
    assert_eq!(config.limits, [1, 2]);
    assert_eq!(config.database.port, 5432);
    assert_eq!(config.database.pool, ConfigDatabasePool { size: 4 });
    assert_eq!(config.servers[0].role, ConfigServersItemRole::Main);
    assert_eq!(config.order.pay, Payment::Card { number: "1".to_owned(), names: None });
    assert_eq!(config.order.parent.as_ref().unwrap().pay, Payment::Cash);
    assert_eq!(config.order.weight, 1000);
}

#[test]
fn the_hosts_values_are_read_by_their_types() {
    let config = config(&json!({
        "timeout": "1s 500ms", "cache": "1kB", "block": 7, "closes": "2026-01-31T13:00:00+01:00", "mode": "fast",
        "level": "error", "quantity": 3, "database": { "host": "h", "port": 1, "pool": { "size": 9 } },
        "order": { "id": "z", "sku": "AB", "pay": { "reason": 1, "type": "voucher", "code": "c", "type_": true } },
    }));
    let error = config.unwrap_err();
    assert_eq!(
        error.details()["mistakes"][0]["path"],
        "order.pay.reason",
        "unknown keys are errors at any depth: {error}"
    );

    let config = self::config(&json!({
        "timeout": "1s 500ms", "cache": "1kB", "block": 7, "closes": "2026-01-31T13:00:00+01:00", "mode": "fast",
        "level": "error", "quantity": 3, "database": { "host": "h", "port": 1, "pool": { "size": 9 } },
    }))
    .unwrap();
    assert_eq!(config.timeout, Duration::from_millis(1500));
    assert_eq!((config.cache, config.block), (1000, 7));
    assert_eq!(config.closes, Some("2026-01-31T12:00:00Z".parse().unwrap()));
    assert_eq!((config.level, config.quantity, config.database.pool.size), (Level::Error, Some(3), 9));
}

#[test]
fn every_mistake_is_told_at_any_depth_and_no_value_is_shown() {
    let error = config(&json!({
        "timeout": "5ms", "cache": "s3cret", "format": "s3cret", "token": "s3cret", "sku": "s3cret!", "mode": null,
        "country": "s3cret", "limits": [0, "s3cret", 5, 6], "labels": { "x": 9_876_543 }, "ratio": 1.5, "interval": "s3cret",
        "database": { "port": 70_000, "pool": { "size": "s3cret", "sise": 1 } },
        "servers": [{ "url": 5, "role": "s3cret" }, 5], "lables": {},
        "order": { "id": 5, "pay": { "type": "card" }, "size": "s3cret" },
    }))
    .unwrap_err();
    let mistakes: BTreeMap<_, _> = error.details()["mistakes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mistake| (mistake["path"].as_str().unwrap(), mistake["message"].as_str().unwrap()))
        .collect();
    let expected = BTreeMap::from([
        ("cache", "not a size such as \"16MiB\""),
        ("country", "must be text that matches the pattern `^[A-Z]{2}$`"),
        ("database.host", "required, but not given"),
        ("database.pool.sise", "unknown key; did you mean `size`?"),
        ("database.pool.size", "expected an integer of 64 bits"),
        ("database.port", "must be at most 65535"),
        ("format", "expected `json` or `text`"),
        ("interval", "not a duration such as \"250ms\""),
        ("labels.x", "expected a string"),
        ("lables", "unknown key; did you mean `labels`?"),
        ("limits[0]", "must be at least 1"),
        ("limits[1]", "expected an integer of 64 bits"),
        ("mode", "required, but not given"),
        ("order.id", "expected a string"),
        ("order.pay.number", "required, but not given"),
        ("order.size", "expected `s`, `m`, `x-large`, `3d` or `Self`"),
        ("order.sku", "required, but not given"),
        ("ratio", "must be at most 1"),
        ("servers[0].role", "expected `main` or `spare`"),
        ("servers[0].url", "expected a string"),
        ("servers[1]", "expected an object"),
        ("sku", "must be text that matches the pattern `^[A-Z0-9-]+$`"),
        ("timeout", "must be at least 10ms"),
        ("token", "must be at least 8 characters long"),
    ]);
    assert_eq!(mistakes, expected);
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("s3cret") && !shown.contains("9876543") && !shown.contains("70000"), "{shown}");
}

#[test]
fn secrets_have_no_way_out_but_their_own() {
    let config = config(&json!({ "pin": "4711", "database": { "host": "h", "password": "hunter2" } })).unwrap();
    assert_eq!(config.token.expose_secret(), "t0ken-t0ken");
    assert_eq!(config.key.expose_secret(), b"secret");
    assert_eq!(config.pin.as_ref().unwrap().expose_secret(), "4711");
    assert_eq!(config.database.password.as_ref().unwrap().expose_secret(), "hunter2");
    let shown = format!("{config:?} {:?}", config.clone());
    for secret in ["t0ken", "secret\"", "4711", "hunter2", "115, 101"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let key = Config::KEYS.iter().find(|key| key.name() == "key").unwrap();
    assert!(key.is_secret() && key.default().is_none(), "{key:?}");
}

#[test]
fn the_configuration_can_be_listed() {
    let key = |name: &str| *Config::KEYS.iter().find(|key| key.name() == name).unwrap();
    let timeout = key("timeout");
    assert_eq!((timeout.type_name(), timeout.default(), timeout.is_required()), ("duration", Some("\"250ms\""), false));
    assert_eq!(timeout.description(), Some("How long a payment may take"));
    assert!(key("mode").is_required() && !key("quantity").is_required());
    assert_eq!((key("old").deprecation(), key("older").deprecation()), (Some("use `limits`"), Some("")));
    assert_eq!(timeout.deprecation(), None);
    assert!(Config::KEYS.is_sorted_by_key(ixt_sdk::ConfigKey::name));
}

#[test]
fn records_come_and_go_as_json() {
    let json = json!({
        "id": "1", "sku": "AB-1", "pay": { "type": "cash" }, "parent": { "id": "0", "sku": "CD", "pay": { "type": "cash" } },
        "children": [], "by_name": { "x": null }, "when": "1m 30s", "at": "2026-01-31T12:00:00Z", "size": "x-large",
        "weight": 5, "tags": ["t"], "status": "paid", "address": { "street": "s" },
    });
    let order: Order = read(json.clone()).unwrap();
    assert_eq!(order.when, Some(Duration::from_secs(90)));
    assert_eq!((order.size, order.status), (Size::XLarge, OrderStatus::Paid));
    assert_eq!(order.by_name, BTreeMap::from([("x".to_owned(), None)]));
    let mut expected = json;
    // What was absent has its default, and is written with it.
    for (key, default) in [
        ("children", json!([])),
        ("by_name", json!({})),
        ("size", json!("m")),
        ("weight", json!(1000)),
        ("tags", json!([])),
    ] {
        expected["parent"][key] = default;
    }
    expected["parent"]["status"] = json!("new");
    assert_eq!(write(&order), expected);
}

#[test]
fn rules_are_enforced_on_the_way_in() {
    let with = |key: &str, value: Value| {
        let mut json = json!({ "order": { "id": "1", "sku": "AB", "pay": { "type": "cash" } } });
        json["order"][key] = value;
        read::<ShopOrderRequest>(json).map(drop)
    };
    assert_eq!(with("id", json!("2")), Ok(()));
    for (key, value, reason) in [
        ("sku", json!("A"), "must be at least 2 characters long"),
        ("sku", json!("ab"), "must be text that matches the pattern `^[A-Z0-9-]+$`"),
        ("tags", json!(["abc", "more than ten"]), "must be at most 10 characters long"),
        ("size", json!("xxl"), "invalid value: string \"xxl\", expected `s`, `m`, `x-large`, `3d` or `Self`"),
        ("when", json!(5), "invalid type: integer `5`, expected a duration such as \"250ms\""),
        ("weight", json!(-1), "expected a size such as \"16MiB\""),
        ("weight", json!("16EiB"), "not a size such as \"16MiB\": too large"),
        ("at", json!("today"), "not a point in time such as \"2026-01-31T12:00:00Z\""),
    ] {
        let error = with(key, value).unwrap_err();
        assert!(error.contains(reason), "{key}: {error}");
    }
    let request = json!({ "order": write(order(Payment::Cash)), "copies": 0 });
    assert_eq!(read::<ShopOrderRequest>(request).unwrap_err(), "must be at least 1");
    let request: ShopOrderRequest = read(json!({ "order": write(order(Payment::Cash)), "copies": null })).unwrap();
    assert_eq!(request.copies, 1, "null is read as absent, and then the default holds");
}

#[test]
fn a_union_is_an_object_whose_type_names_the_case() {
    let split = Payment::Split { first: Box::new(Payment::Cash), second: Box::new(Payment::Cash), writer: true };
    let voucher = Voucher { code: "c".to_owned(), type_: false, worth: 0.5 };
    for (payment, json) in [
        (Payment::Cash, json!({ "type": "cash" })),
        (Payment::Card { number: "1".to_owned(), names: None }, json!({ "type": "card", "number": "1" })),
        (Payment::Voucher(voucher), json!({ "type": "voucher", "code": "c", "type_": false, "worth": 0.5 })),
        (Payment::Invoice { days: 3 }, json!({ "type": "invoice", "days": 3 })),
        (split, json!({ "type": "split", "first": { "type": "cash" }, "second": { "type": "cash" }, "writer": true })),
    ] {
        assert_eq!(write(&payment), json);
        assert_eq!(read::<Payment>(json).unwrap(), payment);
    }
    // `type` may stand anywhere.
    let text = r#"{ "number": "1", "names": ["a"], "more": 5, "type": "card" }"#;
    let card: Payment = serde_json::from_str(text).unwrap();
    let Payment::Card { names: Some(names), .. } = card else { panic!("{card:?}") };
    assert_eq!(*names, ["a"]);

    for (json, reason) in [
        (json!({ "number": "1" }), "missing field `type`"),
        (json!({ "type": "card" }), "missing field `number`"),
        (json!({ "type": "gold" }), "invalid value: string \"gold\", expected `card` or `cash`"),
        (json!({ "type": 5 }), "invalid type: integer `5`"),
        (json!("cash"), "expected an object with a `type`"),
    ] {
        let error = read::<Payment>(json).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
    let twice = r#"{ "type": "card", "number": "1", "number": "2" }"#;
    assert!(serde_json::from_str::<Payment>(twice).unwrap_err().to_string().contains("duplicate field `number`"));
}

#[test]
fn what_is_open_keeps_what_it_does_not_know() {
    let level: Level = read(json!("fatal")).unwrap();
    assert_eq!(level, Level::Unknown("fatal".to_owned()));
    assert_eq!((write(&level), level.to_string()), (json!("fatal"), "fatal".to_owned()));
    assert!("huge".parse::<Size>().is_err() && "huge".parse::<Level>().is_ok());

    let maybe = json!({ "type": "maybe", "because": [1] });
    let reply: Reply = read(maybe.clone()).unwrap();
    assert_eq!(reply, Reply::Unknown(maybe.clone()));
    assert_eq!(write(&reply), maybe);

    // The types of another module are open, whatever its manifest says: it may be newer.
    let channel: client::notifications::Channel = read(json!("pigeon")).unwrap();
    assert_eq!(channel.as_str(), "pigeon");
    let outcome: client::notifications::Outcome = read(json!({ "type": "lost" })).unwrap();
    assert_eq!(outcome, client::notifications::Outcome::Unknown(json!({ "type": "lost" })));
}

#[test]
fn a_newtype_holds_only_what_keeps_to_its_rules() {
    let error = Sku::try_from("a".to_owned()).unwrap_err();
    assert_eq!(error.to_string(), "not a `Sku`: must be at least 2 characters long");
    let sku = Sku::try_from("AB-1".to_owned()).unwrap();
    assert_eq!((sku.len(), sku.into_inner()), (4, "AB-1".to_owned()));
    assert_eq!(*everything::Names::from(vec!["a".to_owned()]), ["a"]);
    let grid = Grid::try_from(BTreeMap::from([("row".to_owned(), vec![1, -1])])).unwrap_err();
    assert_eq!(grid.to_string(), "not a `Grid`: the value of `row` item 1 must be at least 0");
    assert!(read::<Grid>(json!({ "row": [1] })).is_ok() && read::<Grid>(json!({ "row": [-1] })).is_err());
}

#[test]
fn a_number_that_json_does_not_have_is_an_error_and_not_null() {
    let voucher = Voucher { code: "c".to_owned(), type_: true, worth: f64::NAN };
    let error = serde_json::to_string(&voucher).unwrap_err();
    assert_eq!(error.to_string(), "NaN is not a number in JSON");
}

#[test]
fn a_services_errors_convert_with_their_codes() {
    fn pay(fails: bool) -> Result<()> {
        if fails { Err(ShopPayError::Busy)? } else { Ok(()) }
    }
    let error = pay(true).unwrap_err();
    assert_eq!((error.code(), error.message()), ("BUSY", "The bank does not answer"));
    assert!(error.is_retryable());
    assert_eq!(ShopPayError::of(&error), Some(ShopPayError::Busy));
    assert_eq!(ShopOrderError::of(&error), None);
    let error = ShopOrderError::OutOfStock.error("two are left").detail("left", 2);
    assert_eq!((error.code(), error.message(), error.is_retryable()), ("OUT_OF_STOCK", "two are left", false));
    assert_eq!(Error::from(ShopOrderError::OutOfStock).message(), "out of stock");
    assert!(pay(false).is_ok() && error.code() != code::INTERNAL);
}

#[test]
fn what_can_be_copied_compared_and_hashed_is() {
    fn copied<T: Copy + Eq + std::hash::Hash>(_: T) {}
    copied(Point { x: 1, y: 2 });
    copied(Size::_3d);
    copied(ConfigDatabasePool::default());
    let set = std::collections::HashSet::from([order(Payment::Cash).sku]);
    assert_eq!(set.len(), 1);
}
