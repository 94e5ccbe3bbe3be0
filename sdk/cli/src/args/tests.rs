use std::time::{Duration, SystemTime};

use clap::{CommandFactory as _, Parser as _};

use super::duration::LONGEST;
use super::logs::since;
use super::manifest::type_option;
use super::run::{module_instances, module_setting};
use super::*;

#[test]
fn clap_finds_nothing_wrong() {
    CommandLine::command().debug_assert();
}

#[test]
fn each_command_is_in_the_readme() {
    // A line may end within a name.
    let readme = include_str!("../../../../README.md").split_whitespace().collect::<Vec<_>>().join(" ");
    for command in CommandLine::command().get_subcommands().filter(|command| !command.is_hide_set()) {
        let name = format!("ixt {}", command.get_name());
        assert!(readme.contains(&name), "README.md does not mention `{name}`");
    }
}

#[test]
fn no_duration_panics() {
    assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5400)));
    assert_eq!(duration("0s"), Ok(Duration::ZERO));
    assert_eq!(duration("365000days"), Ok(LONGEST));
    let too_long = "it is longer than 1000 years";
    for (text, says) in [
        ("365000days 1ns", too_long),
        ("18446744073709551615s", too_long),
        ("18446744073709551615s 1000000000ns", "too large"),
        ("5", "time unit needed"),
        ("soon", "expected number"),
    ] {
        let error = duration(text).unwrap_err();
        assert!(error.contains(says), "{text}: {error}");
        // Wherever the command line takes one.
        for args in
            [&["call", "t", "--ttl", text][..], &["kv", "set", "m", "k", "--ttl", text], &["logs", "--since", text]]
        {
            let error = CommandLine::try_parse_from([&["ixt"], args].concat()).unwrap_err();
            assert_eq!(error.exit_code(), 2);
        }
        let args = ["ixt", "conformance", "-m", "manifest.toml", "--timeout", text];
        assert!(CommandLine::try_parse_from(args).unwrap_err().to_string().contains(says), "{text}");
    }
    let args = ["ixt", "conformance", "-m", "manifest.toml", "--timeout", "0s"];
    assert!(CommandLine::try_parse_from(args).unwrap_err().to_string().contains("it must be more than 0"));
}

#[test]
fn a_time_is_a_duration_before_now_or_a_point() {
    let hour_ago = since("1h").unwrap();
    let hour = SystemTime::now().duration_since(hour_ago).unwrap();
    assert!((3600..3660).contains(&hour.as_secs()), "{hour:?}");
    assert_eq!(since("1970-01-01T01:00:10+01:00"), Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(10)));
    assert_eq!(since("900years"), Ok(SystemTime::UNIX_EPOCH));
    assert!(since("yesterday").unwrap_err().contains("RFC 3339"));
}

#[test]
fn a_setting_says_where_its_value_comes_from() {
    let read = |text: &str| text.parse().map(|Setting { key, value }| format!("{key}: {value:?}"));
    assert_eq!(read("k=v=w"), Ok("k: Text(\"v=w\")".to_owned()));
    assert_eq!(read("k="), Ok("k: Text(\"\")".to_owned()));
    assert_eq!(read("k=@dir/file"), Ok("k: File(\"dir/file\")".to_owned()));
    assert_eq!(read("k=env:NAME"), Ok("k: Variable(\"NAME\")".to_owned()));
    assert_eq!(read("k=credential:name"), Ok("k: Credential(\"name\")".to_owned()));
    for wrong in ["k", "k=credential:", "k=credential:..", "k=credential:../key"] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
    let (module, Setting { key, .. }) = module_setting("acme.orders.limit=a.b=5").unwrap();
    assert_eq!((module.as_str(), key.as_str()), ("acme.orders", "limit"));
    assert!(module_setting("limit=5").is_err() && module_setting("a.b").is_err());
}

#[test]
fn other_values_are_checked() {
    assert_eq!(module_instances("m=2"), Ok(("m".to_owned(), 2)));
    assert!(["m", "m=0", "m=-1", "m=x"].iter().all(|text| module_instances(text).is_err()));
    assert!(["localhost", "metrics.example", "127.0.0.1", "::1"].iter().all(|name| http_host(name).is_ok()));
    assert!(["", "localhost:80", "http://x", "[::1]"].iter().all(|name| http_host(name).is_err()));
    assert_eq!(type_option("T=Eq, Ord"), Ok(("T".to_owned(), "Eq, Ord".to_owned())));
    assert!(matches!("-".parse(), Ok(DataInput::Stdin)) && matches!("@f".parse(), Ok(DataInput::File(_))));
    assert!(["", "@", "f"].iter().all(|text| text.parse::<DataInput>().is_err()));
}

#[test]
fn release_is_a_profile_and_an_empty_list_has_no_features() {
    let options =
        |args: &[&str]| match CommandLine::try_parse_from([&["ixt", "build", "."], args].concat()).unwrap().command {
            CliCommand::Build(build) => build.options,
            other => panic!("{other:?}"),
        };
    assert!(options(&[]).is_empty() && !options(&["--bin", "b"]).is_empty());
    assert_eq!(options(&["--release"]).build().profile.as_deref(), Some("release"));
    assert_eq!(options(&["--features", "a,b"]).build().features, ["a", "b"]);
    assert!(options(&["--features", ""]).build().features.is_empty());
}
