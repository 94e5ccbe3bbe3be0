//! Tests of the checks, with a module that keeps to the protocol unless a variable tells it to break one rule. The
//! module is this test program itself, started again to run only the test [`module::serve`].

mod module;

use std::env;
use std::ffi::OsString;
use std::time::Duration;

use ixt_manifest::{Manifest, Source};
use serde_json::json;

use super::checks::CHECKS;
use super::facts::{Facts, connects, gather};
use super::launch::LaunchCommand;
use super::process::{OutputTail, ProcessGroups};
use super::services::ServiceCall;
use super::subject::Subject;
use super::suite::{Selection, verdict};
use super::trial::Trial;
use super::verdict::{Stop, Verdict};

/// A module that breaks the rule `broken`, or no rule if that is empty.
fn subject(broken: &str, timeout: Duration, echo: bool) -> Subject {
    let manifest = "schema_version = \"3.0\"\n[module]\nname = \"m\"\nversion = \"1.0.0\"\n\
                    [provides]\nservices = [\"typed\", \"fails\", \"give\"]\n[services.typed]\nrequest = {}\n";
    let manifest = Manifest::parse(&Source::new("manifest.toml", manifest)).unwrap();
    let args = ["conformance::tests::module::serve", "--exact", "--nocapture"];
    let launch = LaunchCommand {
        program: env::current_exe().unwrap().into(),
        args: args.map(OsString::from).to_vec(),
        env: vec![(module::BROKEN_RULE.to_owned(), broken.to_owned())],
        dir: env::temp_dir(),
        module_id: "m:1.0.0/instance-001".to_owned(),
    };
    let echo = echo.then(|| "give".to_owned());
    Subject { launch, manifest, config: json!({}), timeout, skip: Vec::new(), echo, groups: ProcessGroups::default() }
}

/// A timeout that is longer than any step takes.
const LONG: Duration = Duration::from_secs(60);
/// A timeout for modules that don't answer.
const SHORT: Duration = Duration::from_secs(2);

fn facts(subject: &Subject) -> Facts {
    gather(subject, &OutputTail::default()).unwrap().0
}

/// The calls of the services that these checks need.
fn calls(subject: &Subject, facts: &Facts, only: &[&str]) -> Vec<ServiceCall> {
    let selection = Selection::new(only.iter().map(|text| (*text).to_owned()).collect(), subject).unwrap();
    let topics = ["typed", "fails", "give"].into_iter().filter(|topic| selection.calls(subject, topic));
    topics.map(|topic| ServiceCall::make(&Trial::new(subject, facts), topic)).collect()
}

/// The verdict of one check that is made alone: the facts and the calls that it needs are gathered for it.
fn alone(subject: &Subject, name: &str) -> Verdict {
    if name == "connects to its host" {
        return connects(subject, &OutputTail::default());
    }
    if name == "init" {
        return gather(subject, &OutputTail::default()).map(|(_, note)| Some(note));
    }
    let facts = facts(subject);
    let calls = calls(subject, &facts, &[name]);
    match CHECKS.iter().find(|check| check.name == name) {
        Some(check) => verdict(check, subject, &facts, &calls).0,
        None => calls.into_iter().find(|call| name == format!("the service `{}`", call.topic)).unwrap().verdict,
    }
}

/// Makes a check for each of these modules, and looks for a text in what came and was expected.
fn fail(timeout: Duration, modules: &[(&str, &str, &str)]) {
    std::thread::scope(|scope| {
        for (broken, check, says) in modules {
            scope.spawn(move || {
                let verdict = alone(&subject(broken, timeout, true), check);
                let Err(Stop::Failed { expected, came, .. }) = &verdict else { panic!("{broken}: {verdict:?}") };
                assert!(expected.contains(says) || came.contains(says), "{broken}: {verdict:?}");
            });
        }
    });
}

#[test]
fn each_broken_rule_is_found_by_its_check() {
    let service = "the service `give`";
    fail(
        LONG,
        &[
            ("exits", "connects to its host", "it exited with status 7"),
            ("about", "init", "`data.ixt.protocol` that is 1, or none"),
            ("unnumbered", "init", "every reply has the `id` of its request, or none has one"),
            ("chats", "init", "`log` only where `init` offers it"),
            ("late-starting", "init", "`starting` only before the reply to `init`"),
            ("extends", "init", "`starting` with `message`, which is text, and `extend_ms`, an unsigned integer"),
        ],
    );
    fail(
        LONG,
        &[
            ("readiness", "health_check", "`data.ready` that is true or false, or none"),
            ("health", "health_check", "`success` with `data.healthy`, which is true or false"),
            ("calls", service, "`service_request` with `id`, an unsigned integer"),
            ("data", service, "`success` with `data`, which is an object"),
            ("error", service, "`message` that is text, or none"),
            ("id", service, "one reply to each request, and now that to the request 2"),
            ("twice", service, "one reply to each request, and now that to the request 3"),
            ("topics", "the service `fails`", "the service, which the manifest provides, is known"),
            ("code", "a topic that it does not provide", "`code`, which is an upper-case word"),
            ("event", "an event", "`success` with `data`, which is an object"),
        ],
    );
    fail(
        LONG,
        &[
            ("double", "ids of 64 bits", "an `id` that is an unsigned integer, or none"),
            ("mixes", "many requests at once", "which was `handle`"),
            ("types", "a request of an unknown type", "an `error` with the code UNIMPLEMENTED"),
            ("shapes", "requests of the wrong shape", "an `error` with the code INVALID_INPUT to "),
            ("cancel", "a cancel of what is not known", "\"code\":\"UNIMPLEMENTED\",\"id\":1000000"),
            ("urgent", "priorities and ttl_ms", "a request with another `priority` or `ttl_ms` is answered like any"),
            ("bytes", "a payload of all bytes", "the payload of 256 bytes, in base64 (--echo)"),
            ("escapes", "JSON with escapes and white space", "a request in other JSON of the same meaning"),
            ("fields", "fields that are not known", "a request with fields that are not known is answered like any"),
            ("garbage", "what is no frame", "such as hello, and answers the next one"),
            ("dies", "what is no frame", "it closed its connection: it exited with status 1"),
            ("small", "a frame of 13 MiB", "it closed its connection: it exited with status 1"),
        ],
    );
    fail(
        LONG,
        &[
            ("framing", "framing `length` once it was offered", "over the limit of 16777216"),
            ("early", "a request before init", "an `error` with the code FAILED_PRECONDITION"),
            ("version", "another version of the protocol", "an `error` with the code FAILED_PRECONDITION"),
            ("status", "shutdown", "it exited with status 3"),
            ("works-on", "a request after shutdown", "a request after `shutdown` is refused"),
        ],
    );
}

#[test]
fn a_module_that_does_not_answer_is_waited_for_as_long_as_the_timeout() {
    fail(
        SHORT,
        &[
            ("deaf", "connects to its host", "no connection within 2s"),
            ("silent", "init", "nothing within 2s"),
            ("forgets", "a request of an unknown type", "nothing within 2s"),
            ("stays", "the host hangs up", "it still ran after 2s"),
            ("stays", "SIGTERM", "it still ran after 2s"),
        ],
    );
}

#[test]
fn a_check_has_the_same_verdict_in_any_order_and_beside_any_others() {
    // A right module, and wrong ones that would leave something behind if anything could be left.
    for broken in ["", "error", "twice", "topics", "mixes", "garbage", "health", "version"] {
        let subject = subject(broken, LONG, false);
        let facts = facts(&subject);
        // What takes long makes no difference here.
        let checks: Vec<_> = CHECKS.iter().filter(|check| check.name != "a frame of 13 MiB").collect();
        let all = calls(&subject, &facts, &[]);
        let forward: Vec<_> = checks.iter().map(|check| verdict(check, &subject, &facts, &all).0).collect();
        let mut backward: Vec<_> = checks.iter().rev().map(|check| verdict(check, &subject, &facts, &all).0).collect();
        backward.reverse();
        for ((check, forward), backward) in checks.iter().zip(&forward).zip(&backward) {
            assert_eq!(forward, backward, "{broken}: {}", check.name);
            assert_eq!(*forward, alone(&subject, check.name), "{broken}: {}", check.name);
        }
        for call in &all {
            assert_eq!(
                call.verdict,
                alone(&subject, &format!("the service `{}`", call.topic)),
                "{broken}: {}",
                call.topic
            );
        }
    }
}

#[test]
fn without_an_echo_the_first_service_that_takes_bytes_and_succeeds_is_called() {
    let mut subject = subject("", LONG, false);
    // Not `typed`, which takes no bytes, nor `fails`, unless it is all there is.
    assert_eq!(
        alone(&subject, "a payload of all bytes"),
        Ok(Some("`give` answers; --echo checks the bytes too".to_owned()))
    );
    subject.skip = vec!["give".to_owned()];
    assert_eq!(
        alone(&subject, "a payload of all bytes"),
        Ok(Some("`fails` answers; --echo checks the bytes too".to_owned()))
    );
    subject.skip.push("fails".to_owned());
    let none = "no service takes bytes, so none was called".to_owned();
    assert_eq!(alone(&subject, "a payload of all bytes"), Ok(Some(none)));
    subject.skip.clear();
    let facts = facts(&subject);
    let called = |only: &[&str]| calls(&subject, &facts, only).into_iter().map(|call| call.topic).collect::<Vec<_>>();
    assert_eq!(called(&["SIGTERM", "the service `typed`"]), ["typed"], "no service is called without need");
    assert_eq!(called(&["a payload of all bytes"]), ["fails", "give"]);
    assert_eq!(called(&["requests that the module makes itself"]), ["typed", "fails", "give"]);
}
