//! Properties that hold for any bytes: the targets of `cargo fuzz` with their seeds and with variations of these. Every
//! run uses the same variations.

#![allow(clippy::print_stdout, reason = "what is printed is seen where a test fails")]
#![allow(unreachable_pub, reason = "the targets are a crate of their own too")]

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngSeed, TestRunner};

#[path = "../fuzz/bodies.rs"]
mod bodies;

/// The number of variations of a target. Names are fast to check and get more.
const CASES: u32 = 300;
const CASES_OF_NAMES: u32 = 20_000;

/// A change to a seed.
#[derive(Clone, Debug)]
enum Change {
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, Index),
    /// Copies a part to another place.
    Copy(Index, Index, Index),
    /// Replaces the bytes between two JSON delimiters by a word.
    Replace(Index, &'static str),
    Truncate(Index),
}

/// Words for places where other content is expected.
const WORDS: [&str; 29] = [
    "null",
    "true",
    "{}",
    "[]",
    "[null]",
    "[[]]",
    "\"\"",
    "\"a\"",
    "0",
    "-0",
    "-1",
    "1.0",
    "2e0",
    "1e999",
    "NaN",
    "4611686018427387904",
    "18446744073709551616",
    "{\"a\":null,\"a\":1}",
    "\"\\ud800\"",
    "\"\\u0000\\u009b\"",
    "\"sha256:../../x\"",
    "\"schemaVersion\":2",
    "\"manifests\":[]",
    "\"layers\":[]",
    "\"annotations\":{\"\":\"\"}",
    "\"mediaType\":\"a/b\"",
    "\"platform\":{}",
    "\"diff_id\":null",
    "\"urls\":[\"x\"]",
];

impl Change {
    fn apply(&self, data: &mut Vec<u8>) {
        // Any position up to the end.
        let place = |index: &Index, data: &[u8]| index.index(data.len() + 1);
        match self {
            Self::Flip(at, bit) => {
                if !data.is_empty() {
                    let at = at.index(data.len());
                    data[at] ^= 1 << bit;
                }
            }
            Self::Insert(at, bytes) => {
                let at = place(at, data);
                data.splice(at..at, bytes.iter().copied());
            }
            Self::Remove(one, other) => {
                let (one, other) = (place(one, data), place(other, data));
                data.drain(one.min(other)..one.max(other).min(one.min(other) + 40));
            }
            Self::Copy(one, other, at) => {
                let (one, other, at) = (place(one, data), place(other, data), place(at, data));
                let part = data[one.min(other)..one.max(other)].to_vec();
                data.splice(at..at, part);
            }
            Self::Replace(at, word) => {
                let delimiters: Vec<_> = (0..data.len()).filter(|at| b":,[]{}".contains(&data[*at])).collect();
                if delimiters.len() > 1 {
                    let at = at.index(delimiters.len() - 1);
                    data.splice(delimiters[at] + 1..delimiters[at + 1], word.bytes());
                }
            }
            Self::Truncate(at) => data.truncate(place(at, data)),
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let at = || any::<Index>();
    prop_oneof![
        3 => (at(), 0..8u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        2 => (at(), prop::collection::vec(any::<u8>(), 1..8)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        2 => (at(), b'\n'..=b'~').prop_map(|(at, byte)| Change::Insert(at, vec![byte])),
        2 => (at(), at()).prop_map(|(one, other)| Change::Remove(one, other)),
        1 => (at(), at(), at()).prop_map(|(one, other, at)| Change::Copy(one, other, at)),
        6 => (at(), select(WORDS.as_slice())).prop_map(|(at, word)| Change::Replace(at, word)),
        1 => at().prop_map(Change::Truncate),
    ]
}

/// Returns the seeds of a target with their names.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.expect("readable");
        (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).expect("readable"))
    };
    let mut seeds: Vec<_> = fs::read_dir(folder).expect("a folder of seeds").map(read).collect();
    seeds.sort();
    assert!(seeds.len() > 3, "{target} has seeds");
    seeds
}

/// Runs a target with its seeds, with variations of them, and with random bytes.
fn holds(name: &str) {
    let (_, target) = bodies::TARGETS.into_iter().find(|(target, _)| *target == name).expect("a target");
    let seeds = seeds(name);
    for (seed, data) in &seeds {
        // The name of a failing seed is in the output of the test.
        println!("{name}/{seed}");
        target(data);
    }
    let changed = (select(seeds), prop::collection::vec(change(), 1..5)).prop_map(|((_, mut data), changes)| {
        changes.iter().for_each(|change| change.apply(&mut data));
        data
    });
    let inputs = prop_oneof![9 => changed, 1 => prop::collection::vec(any::<u8>(), 0..700)];
    let cases = if ["digest", "json", "reference"].contains(&name) { CASES_OF_NAMES } else { CASES };
    let config = Config { cases, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..Config::default() };
    let outcome = TestRunner::new(config).run(&inputs, |data| {
        target(&data);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

macro_rules! targets {
    ($($name:ident),*) => {
        $(
            #[test]
            fn $name() {
                holds(stringify!($name));
            }
        )*

        #[test]
        fn every_target_is_one_that_cargo_fuzz_builds() {
            let names = bodies::TARGETS.map(|(name, _)| name);
            assert_eq!(names, [$(stringify!($name)),*]);
            let root = Path::new(env!("CARGO_MANIFEST_DIR"));
            let mut files: Vec<_> = fs::read_dir(root.join("fuzz/fuzz_targets"))
                .expect("readable")
                .map(|entry| entry.expect("readable").path().file_stem().expect("a name").to_string_lossy().into_owned())
                .collect();
            files.sort();
            let mut sorted = names.to_vec();
            sorted.sort();
            assert_eq!(files, sorted);
            let manifest = fs::read_to_string(root.join("fuzz/Cargo.toml")).expect("readable");
            names.iter().for_each(|name| assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}"));
        }
    };
}

targets!(json, index, manifest, config, stage, digest, reference, tar_sniffing, gzip_join, inflate, layers);
