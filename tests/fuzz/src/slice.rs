//! A short part of what `run` does for hours: the targets' first inputs, and some thousand changed ones.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

use crate::{TARGETS, Target};

/// A change to an input, as libFuzzer makes them, but without looking at the code that they reach.
#[derive(Clone, Debug)]
enum Edit {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    /// A part of another input.
    Splice(Index, Index, Index, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<Index>;
    // What means something to a frame, to a number or to a target.
    let byte = prop_oneof![any::<u8>(), prop::sample::select(&b"{}[]\":,\\0-e.u\n\xff\xfe\0\x80"[..])];
    prop_oneof![
        (at(), byte.clone()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        (at(), vec(byte, 1..5)).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        (at(), 1..20_usize).prop_map(|(at, count)| Edit::Remove(at, count)),
        (at(), at(), at(), 1..200_usize).prop_map(|(at, of, from, count)| Edit::Splice(at, of, from, count)),
    ]
}

fn changed(seeds: &[Vec<u8>], seed: Index, edits: &[Edit]) -> Vec<u8> {
    let mut input = seed.get(seeds).clone();
    for edit in edits {
        let place = |at: &Index| at.index(input.len() + 1);
        match edit {
            Edit::Set(at, byte) => {
                let at = place(at);
                if let Some(changed) = input.get_mut(at) {
                    *changed = *byte;
                }
            }
            Edit::Insert(at, bytes) => {
                let at = place(at);
                input.splice(at..at, bytes.iter().copied());
            }
            Edit::Remove(at, count) => {
                let at = place(at);
                input.drain(at..input.len().min(at + count));
            }
            Edit::Splice(at, of, from, count) => {
                let at = place(at);
                let of = of.get(seeds);
                let from = from.index(of.len() + 1);
                input.splice(at..at, of[from..of.len().min(from + count)].iter().copied());
            }
        }
    }
    input
}

fn run(name: &str) {
    let target = Target::find(name).unwrap();
    let seeds = (target.seeds)();
    for seed in &seeds {
        (target.run)(seed);
    }
    // An input takes microseconds.
    let config = Config::default();
    let config = Config { cases: 16 * config.cases, failure_persistence: None, ..config };
    TestRunner::new(config)
        .run(&(any::<Index>(), vec(edit(), 1..8)), |(seed, edits)| {
            (target.run)(&changed(&seeds, seed, &edits));
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn base64_text() {
    run("base64_text");
}

#[test]
fn control() {
    run("control");
}

#[test]
fn decoder() {
    run("decoder");
}

#[test]
fn host_frame() {
    run("host_frame");
}

#[test]
fn manifest() {
    run("manifest");
}

#[test]
fn module_frame() {
    run("module_frame");
}

#[test]
fn session() {
    run("session");
}

#[test]
fn text() {
    run("text");
}

#[test]
fn no_target_is_without_a_slice() {
    let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(
        names,
        ["base64_text", "control", "decoder", "host_frame", "manifest", "module_frame", "session", "text"]
    );
    for target in TARGETS {
        assert!((target.seeds)().len() >= 5, "{} has hardly anything to begin with", target.name);
    }
}
