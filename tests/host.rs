//! `ixt-host` as a library, with real module processes.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

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
        let Err(CallError::Replied(error)) = instance.call("add", b"{}").await else { panic!("it should not do that") };
        assert_eq!(error.code, "INVALID_INPUT");
        assert_eq!(instance.health_check().await.unwrap().get(), r#"{"healthy":true,"entered":2}"#);
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
        assert!(matches!(instance.call("raw", b"").await, Err(CallError::Gone { .. })));
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
