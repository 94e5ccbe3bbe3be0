//! `ixt-host` as a library, with real module processes.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ixt_host::{CallError, Config, Instance, Module, ShutdownError, StartError};
use ixt_tests::{build, workspace};

/// The fixture's lines of output, as they come.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn sink(&self) -> impl Fn(&str) + Send + Sync + 'static {
        let lines = Arc::clone(&self.0);
        move |line| lines.lock().unwrap().push(line.to_owned())
    }

    fn get(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn fixture() -> Module {
    Module::open(workspace().join("tests/fixture")).unwrap()
}

/// A module without an SDK, which answers as its topics say.
async fn start_fake(lines: &Lines) -> Instance {
    let module = Module::open(workspace().join("tests/fake")).unwrap();
    Instance::start(&module, &build("fake"), &Config::of(module.manifest()), lines.sink()).await.unwrap()
}

async fn start(module: &Module, settings: &[(&str, &str)], lines: &Lines) -> Result<Instance, StartError> {
    let mut config = Config::of(module.manifest());
    for (key, value) in [("token", "t")].iter().chain(settings) {
        config.set_text(key, value).unwrap();
    }
    Instance::start(module, &build("fixture"), &config, lines.sink()).await
}

/// The real executor, since a paused clock fires every timeout while a process is waited for.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(work)
}

#[test]
fn a_module_is_started_configured_called_and_shut_down() {
    block_on(async {
        let (module, lines) = (fixture(), Lines::default());
        let mut instance = start(&module, &[("limit", "5"), ("key", "AAE=")], &lines).await.unwrap();
        assert_eq!(instance.id(), "fixture:1.0.0/instance-001");
        let reply = instance.call("config", b"").await.unwrap();
        assert_eq!(reply.get(), r#"{"key":"AAE=","limit":5,"tags":["a"],"token":"t"}"#);
        let reply = instance.call("context", b"").await.unwrap();
        assert!(reply.get().contains(r#""source_module":"ixt-host:"#), "{reply}");
        assert!(reply.get().contains(r#""module_id":"fixture:1.0.0/instance-001""#), "{reply}");
        assert!(reply.get().contains(&format!(r#""directory":"{}""#, module.dir().display())), "{reply}");
        let Err(CallError::Replied(error)) = instance.call("add", b"{}").await else { panic!("it should not do that") };
        assert_eq!(error.code, "INVALID_INPUT");
        let health = instance.health_check().await.unwrap();
        assert!(health.get().starts_with(r#"{"entered":2,"healthy":true,"ixt":{"#), "{health}");
        instance.shutdown().await.unwrap();
        assert_eq!(lines.get(), ["INFO closed"], "all of the output is there when it has ended");
    });
}

#[test]
fn a_module_that_dies_ends_its_calls_with_the_reason() {
    block_on(async {
        let mut instance = start(&fixture(), &[], &Lines::default()).await.unwrap();
        let error = instance.call("abort", b"").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "fixture:1.0.0/instance-001 ended while it handled `abort`: it was killed by signal 6"
        );
        let error = instance.call("raw", b"").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "fixture:1.0.0/instance-001 had ended before `raw` was called: it was killed by signal 6"
        );
        assert!(matches!(instance.shutdown().await, Err(ShutdownError::Reply(CallError::Gone { .. }))));
    });
}

#[test]
fn a_module_that_does_not_start_says_why() {
    block_on(async {
        let (module, lines) = (fixture(), Lines::default());
        let error = start(&module, &[("on_init", "no disk")], &lines).await.unwrap_err();
        assert_eq!(error.to_string(), "fixture:1.0.0/instance-001 could not initialize: NOT_TODAY: no disk");
        let error = start(&module, &[("on_init", "exit")], &lines).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "fixture:1.0.0/instance-001 ended before it answered `init`: it exited with status 7"
        );
        let error = start(&module, &[("on_init", "panic")], &lines).await.unwrap_err();
        assert!(matches!(&error, StartError::Refused { reply, .. } if reply.code == "INTERNAL"), "{error}");
        assert!(
            lines.get().iter().any(|line| line.contains("as it was told to")),
            "the panic's own message is passed on"
        );
        assert!(matches!(
            Instance::start(&module, &build("fixture"), &Config::of(module.manifest()), |_| {}).await,
            Err(StartError::Config(_))
        ));
    });
}

#[test]
fn a_program_that_is_no_module_is_told_apart() {
    block_on(async {
        let module = fixture();
        let mut config = Config::of(module.manifest());
        config.set_text("token", "t").unwrap();
        let error = Instance::start(&module, &PathBuf::from("/bin/false"), &config, |_| {}).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "fixture:1.0.0/instance-001 ended before it connected to its host: it exited with status 1"
        );
        let error = Instance::start(&module, &PathBuf::from("/no/such/program"), &config, |_| {}).await.unwrap_err();
        assert!(error.to_string().starts_with("can't start /no/such/program: "), "{error}");
    });
}

#[test]
fn a_module_that_does_not_shut_down_well_has_ended_all_the_same() {
    block_on(async {
        let instance = start(&fixture(), &[("on_shutdown", "can't flush")], &Lines::default()).await.unwrap();
        let error = instance.shutdown().await.unwrap_err();
        assert_eq!(error.to_string(), "the module could not shut down: INTERNAL: can't flush");
    });
}

#[test]
fn a_request_over_the_limit_is_not_sent() {
    block_on(async {
        let mut instance = start(&fixture(), &[], &Lines::default()).await.unwrap();
        let error = instance.call("raw", &vec![0; 13 * 1024 * 1024]).await.unwrap_err();
        assert!(matches!(error, CallError::TooLong { max_frame_bytes: 16_777_216, .. }), "{error}");
        let reply = instance.call("raw", &vec![0; 8 * 1024 * 1024]).await.unwrap();
        assert!(reply.get().starts_with(r#"{"length":8388608,"#));
        instance.shutdown().await.unwrap();
    });
}

#[test]
fn a_module_may_leave_ids_out() {
    block_on(async {
        let mut instance = start_fake(&Lines::default()).await;
        assert_eq!(instance.call("without-id", b"").await.unwrap().get(), r#"{"id":"none"}"#);
        instance.shutdown().await.unwrap();
    });
}

#[test]
fn a_reply_that_is_wrong_ends_its_call_and_the_next_one_is_answered() {
    block_on(async {
        let lines = Lines::default();
        let mut instance = start_fake(&lines).await;
        for (topic, says) in [("wrong", "`code`: missing"), ("too-long", "is over the limit of 16777216 bytes")] {
            let Err(CallError::Replied(reply)) = instance.call(topic, b"").await else { panic!("{topic} is wrong") };
            assert_eq!(reply.code, "INTERNAL");
            assert!(reply.message.starts_with("the module's reply is wrong: "), "{reply}");
            assert!(reply.message.contains(says), "{reply}");
            instance.call("without-id", b"").await.unwrap();
        }
        instance.shutdown().await.unwrap();
    });
}

#[test]
fn what_belongs_to_no_call_is_told() {
    block_on(async {
        let lines = Lines::default();
        let mut instance = start_fake(&lines).await;
        instance.call("twice", b"").await.unwrap();
        instance.call("garbage", b"").await.unwrap();
        instance.shutdown().await.unwrap();
        let expected = [
            "(host) it sent a reply that nobody waits for",
            "(host) skipped what it sent: not a frame: expected an object",
            "(host) skipped what it sent: not a frame: expected an object",
            "(host) skipped what it sent: frames of type `hello` are not known here",
            "(host) it sent a reply that nobody waits for",
        ];
        assert_eq!(lines.get(), expected);
    });
}

#[test]
fn a_module_that_hangs_up_ends_its_calls() {
    block_on(async {
        let mut instance = start_fake(&Lines::default()).await;
        let error = instance.call("close", b"").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "fake:1.0.0/instance-001 ended while it handled `close`: it exited with status 0"
        );
    });
}

#[test]
fn what_a_module_has_started_ends_with_it() {
    block_on(async {
        let mut instance = start_fake(&Lines::default()).await;
        let reply: serde_json::Value = serde_json::from_str(instance.call("orphan", b"").await.unwrap().get()).unwrap();
        let child = PathBuf::from(format!("/proc/{}", reply["pid"]));
        assert!(child.exists());
        // The child holds the output's pipe, and `shutdown` waits for its end.
        instance.shutdown().await.unwrap();
        // Empty for a process that has ended and that nobody has waited for yet.
        assert!(std::fs::read(child.join("environ")).map_or(true, |environment| environment.is_empty()));
    });
}

#[test]
fn a_call_that_is_dropped_is_cancelled_and_disturbs_no_other() {
    block_on(async {
        let mut instance = start(&fixture(), &[], &Lines::default()).await.unwrap();
        {
            let mut wait = std::pin::pin!(instance.call("wait", b""));
            let sent = std::future::poll_fn(|cx| std::task::Poll::Ready(wait.as_mut().poll(cx).is_pending()));
            assert!(sent.await);
        }
        // Had the first call not been cancelled, it would have taken what the second one needs.
        instance.call("release", b"").await.unwrap();
        tokio::time::timeout(Duration::from_secs(60), instance.call("wait", b"")).await.unwrap().unwrap();
        instance.shutdown().await.unwrap();
    });
}
