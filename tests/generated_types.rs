//! Uses the generated code of the golden files as a module's author would: configurations, records and topics.

use golden::{config, descriptions, minimal, names, nodejs_quickstart, orders, python_quickstart, types};
use ixt_sdk::prelude::*;
use ixt_sdk::{Bytes, code};
use serde_json::json;

#[test]
#[expect(clippy::approx_constant, reason = "what the manifest says")]
fn the_manifests_defaults_hold_where_the_host_gives_no_value() {
    assert_eq!(python_quickstart::Config::default().database_url, "sqlite:///data.db");
    assert_eq!(nodejs_quickstart::Config::default().database_url, "sqlite://data.db");
    assert_eq!(python_quickstart::Config::from_json("{}").unwrap(), python_quickstart::Config::default());
    assert_eq!(minimal::Config::from_json("{}").unwrap(), minimal::Config::default());

    let required = json!({ "text": "t", "integer": 1, "float": 1 });
    let config = config::Config::from_json(&required.to_string()).unwrap();
    let expected = config::Config {
        text: "t".to_owned(),
        text_default: "with \"quotes\" and \\ and \u{7}".to_owned(),
        integer: 1,
        integer_default: i64::MIN,
        hexadecimal: 255,
        float: 1.0,
        float_default: 0.0025,
        float_from_integer: 3.0,
        pi: 3.14159,
        flag: true,
        flag_two: false,
        flag_three: false,
        flag_four: false,
        key: Bytes::from(&[0, 1, 255]),
        tags: vec!["a".to_owned(), "b".to_owned()],
        matrix: vec![vec![1, 2], vec![]],
        note: None,
        limits: None,
    };
    assert_eq!(config, expected);
}

#[test]
fn what_the_host_gives_replaces_the_default() {
    let config = orders::Config::from_json(r#"{ "max_quantity": 5, "database_url": null }"#).unwrap();
    assert_eq!(config.max_quantity, 5);
    assert_eq!(config.database_url, "sqlite://orders.db", "null is read as absent");
}

#[test]
fn every_mistake_of_a_configuration_is_told_with_its_path_and_without_its_value() {
    let given = json!({
        "text": 5, "integer": 3.0, "float": "s3cret", "key": "s3cret!", "tags": ["a", 12345], "matrix": [[1], ["s3cret"]],
        "databse_url": "s3cret",
    });
    let error = config::Config::from_json(&given.to_string()).unwrap_err();
    assert_eq!(error.code(), code::INVALID_INPUT);
    let paths: Vec<_> = error.details()["mistakes"].as_array().unwrap().iter().map(|m| m["path"].clone()).collect();
    assert_eq!(paths, ["float", "integer", "key", "matrix[1][0]", "tags[1]", "text", "databse_url"]);
    for path in ["float", "integer", "key", "matrix[1][0]", "tags[1]", "text", "databse_url"] {
        assert!(error.message().contains(&format!("`{path}`: ")), "{error}");
    }
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("s3cret") && !shown.contains("12345"), "{shown}");

    let error = config::Config::from_json(r#"{ "text": "t" }"#).unwrap_err();
    assert_eq!(error.details()["mistakes"].as_array().unwrap().len(), 2, "float and integer are required: {error}");
    let error = config::Config::from_json("[]").unwrap_err();
    assert_eq!(error.code(), code::INVALID_INPUT);
}

#[test]
fn topics_convert_to_their_names_and_back() {
    assert_eq!(names::Topic::ALL.len(), 17);
    assert!(names::Topic::ALL.is_sorted_by_key(|topic| topic.as_str()));
    for topic in names::Topic::ALL {
        assert_eq!(topic.as_str().parse(), Ok(*topic));
        assert_eq!(topic.to_string(), topic.as_str());
    }
    assert_eq!(orders::Topic::OrdersPlace.as_str(), "orders.place");
    for unknown in ["", "orders", "orders.place.", "Orders.place", "zzz"] {
        let error = unknown.parse::<orders::Topic>().unwrap_err();
        assert_eq!(error.topic(), unknown);
    }
    assert!(minimal::Topic::ALL.is_empty());
    assert!("x".parse::<minimal::Topic>().is_err());
    assert_eq!(descriptions::Topic::Say.to_string(), "say");
}

#[test]
fn messages_are_read_and_written_as_the_protocol_says() {
    let leaf = json!({
        "colour": "green", "area": 1, "healthy": true, "picture": "AAE=", "pictures": ["/w=="], "spots": [1, 2],
        "neighbours": [null], "added_in_a_later_version": {},
    });
    let leaf: types::Leaf = serde_json::from_value(leaf).unwrap();
    let expected = types::Leaf {
        colour: "green".to_owned(),
        area: 1.0,
        healthy: true,
        picture: Bytes::from(&[0, 1]),
        pictures: vec![Bytes::from(&[255])],
        spots: Some(vec![1, 2]),
        age: None,
        neighbours: vec![None],
    };
    assert_eq!(leaf, expected);

    let fruit = types::Fruit { on: None, type_: "pear".to_owned() };
    assert_eq!(serde_json::to_value(&fruit).unwrap(), json!({ "type": "pear" }), "an absent optional is left out");
    let branch = types::BranchOfTree {
        leaves: vec![],
        grows_from: Some(Box::new(types::BranchOfTree {
            leaves: vec![leaf],
            grows_from: None,
            forks: vec![],
            fruit: Some(Box::new(fruit)),
        })),
        forks: vec![],
        fruit: None,
    };
    let json = serde_json::to_string(&branch).unwrap();
    assert_eq!(serde_json::from_str::<types::BranchOfTree>(&json).unwrap(), branch);
}

/// That this compiles shows that the generated code works although the manifest declares types called `Result` and `Option`.
struct Everything;

impl names::Handler for Everything {
    async fn init(_config: names::Config, _runtime: Runtime) -> Result<Self> {
        Ok(Self)
    }
    async fn self_(&self, request: names::Self_, _ctx: Context) -> Result<names::Result> {
        Ok(names::Result { ok: Some(request.fn_.bytes.len().to_string()) })
    }
    async fn super_(&self, _payload: Payload, _ctx: Context) -> Result<Response> {
        Ok(Response::new())
    }
    async fn crate_(&self, _payload: Payload, _ctx: Context) -> Result<Response> {
        Ok(Response::new())
    }
    async fn async_fn(&self, _payload: Payload, _ctx: Context) -> Result<Response> {
        Ok(Response::new())
    }
    async fn gen_(&self, _payload: Payload, _ctx: Context) -> Result<Response> {
        Ok(Response::new())
    }
    async fn try_(&self, _payload: Payload, _ctx: Context) -> Result<Response> {
        Ok(Response::new())
    }
    async fn run(&self, _payload: Payload, _ctx: Context) -> Result<Response> {
        Ok(Response::new())
    }
    async fn option_some(&self, request: names::OptionSomeRequest, _ctx: Context) -> Result<Response> {
        Ok(Response::new().with("some", request.value.some))
    }
    async fn http_server_get_url(&self, _payload: Payload, _ctx: Context) -> Result<Response> {
        Ok(Response::new())
    }
    async fn kebab_case_topic(&self, _payload: Payload, _ctx: Context) -> Result<Response> {
        Ok(Response::new())
    }
    async fn v2_2fa(&self, _payload: Payload, _ctx: Context) -> Result<Response> {
        Ok(Response::new())
    }
    async fn err(&self, _payload: Payload, _ctx: Context) -> Result<Response> {
        Ok(Response::new())
    }
    async fn into_words(&self, _payload: Payload, _ctx: Context) -> Result<Response> {
        Ok(Response::new())
    }
    async fn into(&self, _payload: Payload, _ctx: Context) -> Result<Response> {
        Ok(Response::new())
    }
    async fn clone(&self, _payload: Payload, _ctx: Context) -> Result<Response> {
        Ok(Response::new())
    }
    async fn handle(&self, _payload: Payload, _ctx: Context) -> Result<Response> {
        Ok(Response::new())
    }
    async fn borrow(&self, _payload: Payload, _ctx: Context) -> Result<Response> {
        Ok(Response::new())
    }
}

#[test]
fn any_name_that_the_manifest_allows_can_be_implemented() {
    let _: fn() -> std::process::ExitCode = names::run::<Everything>;
}
