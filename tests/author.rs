//! The mistakes that a module's author can make, and what the build and the module then report: in a crate outside the workspace, written
//! as the README says.

use std::process::Command;

use ixt_tests::{Scratch, build, target_dir, workspace};

const MANIFEST: &str = r#"
schema_version = "3.0"

[module]
name = "weather"
version = "2.1.0"

[provides]
services = ["weather.report", "weather.forecast"]

[config]
station = { type = "string", description = "Where it is measured" }
days = { type = "integer", default = 3 }

[types.Day]
sunny = "boolean"
degrees = "float"

[services."weather.report"]
request = { at = "string?" }
response = "Day"

[services."weather.forecast"]
response = { days = "[Day]" }
"#;

const MAIN: &str = r#"
use ixt_sdk::prelude::*;
ixt_sdk::include_module!();

struct Weather {
    config: Config,
}

impl Handler for Weather {
    async fn init(config: Config, _runtime: Runtime) -> Result<Self> {
        Ok(Self { config })
    }

    async fn weather_report(&self, request: WeatherReportRequest, _ctx: Context) -> Result<Day> {
        let at = request.at.unwrap_or_else(|| self.config.station.clone());
        Ok(Day { sunny: at == "Graz", degrees: 21.5 })
    }

    async fn weather_forecast(&self, _payload: Payload, _ctx: Context) -> Result<WeatherForecastResponse> {
        let days = (0..self.config.days).map(|day| Day { sunny: day % 2 == 0, degrees: day as f64 }).collect();
        Ok(WeatherForecastResponse { days })
    }
}

fn main() -> std::process::ExitCode {
    run::<Weather>()
}
"#;

fn stderr(scratch: &Scratch, command: &str) -> String {
    let output = scratch.cargo(command);
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

/// The boxes of a language in the README, in order.
fn readme_boxes(language: &str) -> impl Iterator<Item = &'static str> {
    const README: &str = include_str!("../README.md");
    README.split("\n```").filter_map(move |text| text.strip_prefix(language)?.strip_prefix('\n'))
}

#[test]
fn the_readmes_module_builds_without_a_warning_and_answers_what_the_readme_says() {
    let mut rust = readme_boxes("rust");
    let (build_rs, main) = (rust.next().unwrap(), rust.next().unwrap());
    let scratch = Scratch::exact("weather", readme_boxes("toml").next().unwrap(), main);
    scratch.write("build.rs", build_rs);
    // Relative to the module's directory, which is where the process runs.
    scratch.write("thermometer", "21.5\n");
    let output = scratch.cargo("build");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && !stderr.contains("warning"), "{stderr}");

    let call = |args: &[&str]| {
        let output = Command::new(build("ixt"))
            .args(["call", "-m"])
            .arg(scratch.dir())
            .args(args)
            .env("CARGO_TARGET_DIR", target_dir())
            .env("CARGO_NET_OFFLINE", "true")
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let reply = call(&["weather.report", r#"{ "celsius": true }"#, "--config", "station=Wien"]);
    assert_eq!(reply, "{\"degrees\":21.5,\"station\":\"Wien\"}\n");
    assert!(readme_boxes("console").any(|text| text.contains(reply.trim_end())), "the README shows this reply");
    assert_eq!(call(&["weather.report", r#"{"celsius":false}"#]), "{\"degrees\":70.7,\"station\":\"Graz\"}\n");

    // Its test, where there is no thermometer.
    scratch.use_the_workspaces_features();
    let test = readme_boxes("rust").find(|text| text.contains("#[cfg(test)]")).unwrap();
    scratch.write("src/main.rs", &format!("{main}\n{test}"));
    let root = workspace().display();
    let features = format!("ixt-sdk = {{ path = \"{root}/sdk/module\", features = [\"testing\"] }}");
    scratch.edit(
        "Cargo.toml",
        "[build-dependencies]",
        &format!("[dev-dependencies]\n{features}\n\n[build-dependencies]"),
    );
    std::fs::remove_file(scratch.dir().join("thermometer")).unwrap();
    let output = scratch.cargo("test");
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.contains("test result: ok. 1 passed"), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_topic_without_a_handler_does_not_compile() {
    let start = MAIN.find("    async fn weather_forecast").unwrap();
    let end = start + MAIN[start..].find("\n    }\n").unwrap() + "\n    }\n".len();
    let without = [&MAIN[..start], &MAIN[end..]].concat();
    let stderr = stderr(&Scratch::new("without", MANIFEST, &without), "build");
    assert!(stderr.contains("error[E0046]: not all trait items implemented, missing: `weather_forecast`"), "{stderr}");
    assert!(stderr.contains("--> src/main.rs:9:1"), "{stderr}");
}

#[test]
fn a_handler_of_the_wrong_type_does_not_compile() {
    let stderr =
        stderr(&Scratch::new("mistyped", MANIFEST, &MAIN.replace("degrees: 21.5", "degrees: \"21.5\"")), "build");
    assert!(stderr.contains("error[E0308]: mismatched types"), "{stderr}");
    assert!(stderr.contains("src/main.rs:16:"), "{stderr}");
}

#[test]
fn a_handler_whose_future_is_not_send_does_not_compile() {
    let body = "let at = std::rc::Rc::new(request.at); std::future::ready(()).await; drop(at);";
    let main = MAIN.replace("let at = request.at.unwrap_or_else(|| self.config.station.clone());", body);
    let stderr = stderr(&Scratch::new("not-send", MANIFEST, &main.replace("at == \"Graz\"", "true")), "build");
    assert!(stderr.contains("future cannot be sent between threads safely"), "{stderr}");
}

#[test]
fn without_a_build_script_it_is_told_where_the_code_is_included_what_to_add() {
    let scratch = Scratch::new("scriptless", MANIFEST, MAIN);
    std::fs::remove_file(scratch.dir().join("build.rs")).unwrap();
    let text = stderr(&scratch, "build");
    let says = "error: `include_module!` finds no generated code, for this package has no build script. Put a file build.rs beside \
                its Cargo.toml, with `fn main() { ixt_build::compile(\"manifest.toml\"); }`, and add ixt-build to its \
                [build-dependencies]: `cargo add --build ixt-build`\n --> src/main.rs:3:1\n";
    assert!(text.contains(says), "{text}");
    assert!(!text.contains("std::env::var"), "nothing that leads astray: {text}");
}

#[test]
fn run_within_a_runtime_says_what_to_call_there() {
    let main = MAIN.replace("fn main()", "#[tokio::main]\nasync fn main()");
    let scratch = Scratch::new("within", MANIFEST, &main);
    scratch.edit("Cargo.toml", "[build-dependencies]", "tokio = \"1\"\n\n[build-dependencies]");
    let run = |scratch: &Scratch| {
        let output = scratch.cargo("run");
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, text) = run(&scratch);
    assert_eq!(status, Some(1), "{text}");
    let says = "ERROR weather can't start: `run` makes a tokio runtime of its own, and was called within one, such as that of \
                `#[tokio::main]`. Call `run_async` in its place, with the same arguments, and `.await` it; or let `main` be a \
                function without `async`\n";
    assert!(text.ends_with(says) && !text.contains("panicked"), "{text}");
    // As it says. Without a host it tells how it is called.
    scratch.write("src/main.rs", &main.replace("run::<Weather>()", "run_async::<Weather>().await"));
    let (status, text) = run(&scratch);
    assert!(status == Some(2) && text.contains("weather 2.1.0 is an IXT module"), "{text}");
}

#[test]
fn a_mistake_in_the_manifest_ends_the_build_and_shows_the_line() {
    let typo =
        MANIFEST.replace("days = { type = \"integer\", default = 3 }", "days = { type = \"integer\", defualt = 3 }");
    let scratch = Scratch::new("typo", &typo, MAIN);
    // With RUST_BACKTRACE=1.
    let text = stderr(&scratch, "build");
    let expected = "\
  error[unknown-key]: unknown key `defualt` in the config key `days`
    --> manifest.toml:13:28
     |
  13 | days = { type = \"integer\", defualt = 3 }
     |                            ^^^^^^^
     |
     = help: did you mean `default`?
";
    assert!(text.contains(expected), "{text}");
    assert!(text.contains("(exit status: 1)"), "{text}");
    assert!(!text.contains("panicked") && !text.contains("stack backtrace"), "{text}");

    // A build script that is not run again would still fail.
    scratch.write("manifest.toml", MANIFEST);
    let mended = scratch.cargo("build");
    assert!(mended.status.success(), "{}", String::from_utf8_lossy(&mended.stderr));
}

#[test]
fn code_of_another_generation_is_refused_with_a_reason() {
    let main = MAIN.replace(
        "ixt_sdk::include_module!();",
        "ixt_sdk::include_module!();\nixt_sdk::__private::require_generation!(1u32);",
    );
    let stderr = stderr(&Scratch::new("other", MANIFEST, &main), "build");
    assert!(stderr.contains("the ixt-build that generated this code does not fit this ixt-sdk"), "{stderr}");
}

#[test]
fn what_is_suspicious_is_a_warning_of_the_build() {
    let scratch = Scratch::new("suspicious", &format!("{MANIFEST}\n[types.Unused]\nx = \"string\"\n"), MAIN);
    let output = scratch.cargo("build");
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}");
    let expected = "warning: suspicious@0.1.0: manifest.toml:26:8: the type `Unused` is never used; remove it, or use it \
                    [unused-type]";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn options_change_the_generated_code() {
    let main = MAIN
        .replace("degrees: 21.5 })", "degrees: crate::model::Degrees::from(21.5) })")
        .replace("degrees: day as f64", "degrees: crate::model::Degrees::from(day as f64)")
        .replace("use ixt_sdk::prelude::*;", "use the_sdk::prelude::*;")
        .replace("ixt_sdk::include_module!();", "include!(concat!(env!(\"OUT_DIR\"), \"/weather.rs\"));");
    let model = "
        mod model {
            /// The author's own type, with serde's traits.
            #[derive(Clone, Debug, PartialEq, PartialOrd)]
            pub struct Degrees(f64);
            impl From<f64> for Degrees { fn from(degrees: f64) -> Self { Self(degrees) } }
            impl serde::Serialize for Degrees {
                fn serialize<S: serde::Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> { self.0.serialize(to) }
            }
            impl<'de> serde::Deserialize<'de> for Degrees {
                fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
                    f64::deserialize(from).map(Self)
                }
            }
        }
        // Holds only with the option.
        const _: fn(&Day, &Day) -> bool = |a, b| a < b;
    ";
    let manifest = MANIFEST.replace("degrees = \"float\"", "degrees = \"Degrees\"") + "[types]\nDegrees = \"float\"\n";
    let scratch = Scratch::new("options", &manifest, &format!("{main}{model}"));
    scratch.edit("Cargo.toml", "ixt-sdk = {", "serde = \"1\"\nthe_sdk = { package = \"ixt-sdk\",");
    let build = |options: &str| {
        scratch.write(
            "build.rs",
            &format!(
                "fn main() {{ if let Err(error) = ixt_build::Builder::new(\"manifest.toml\"){options}.compile() {{ \
                 eprintln!(\"{{error}}\"); std::process::exit(1) }} }}"
            ),
        );
        let output = scratch.cargo("build");
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let options = r#".out_file("weather.rs").derive("Day", "PartialOrd").replace("Degrees", "crate::model::Degrees").sdk("::the_sdk")"#;
    let (succeeded, text) = build(options);
    assert!(succeeded && !text.contains("warning"), "{text}");

    for (option, reason) in [
        (
            r#".derive("Dya", "Eq")"#,
            "error[invalid-option]: the option `attribute` is for a type `Dya`, which is not generated",
        ),
        (r#".replace("WeatherReportRequest", "crate::X")"#, "which is not declared in [types]"),
        (r#".attribute("Day", "derive(Eq)")"#, "`derive(Eq)` is not an attribute"),
        (r#".replace("Day", "1")"#, "`1` is not the path of a type"),
        (r#".out_file("../weather.rs")"#, "the output file `../weather.rs` is not a plain name"),
    ] {
        let (succeeded, text) = build(option);
        assert!(!succeeded && text.contains(reason), "{option}: {text}");
    }
}
