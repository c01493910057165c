//! The targets for fuzzing, with what fuzzing has found so far, and with what is near it: see `docs/fuzzing.md`.
#![cfg(feature = "testing")]

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use durable_runtime::testing::Random;
use durable_runtime::testing::fuzz::{TARGETS, Target};

/// How many inputs are made for each target.
const INPUTS: u64 = 3_000;

fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz").join(path)
}

/// The names of what is in a folder, in order; none if there is no folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("a name that is text");
    let mut names: Vec<String> = entries.map(|entry| name(entry.expect("an entry"))).collect();
    names.sort();
    names
}

/// The inputs in a folder, each with its name.
fn inputs(path: &str) -> Vec<(String, Vec<u8>)> {
    let folder = folder(path);
    let read = |name: String| (format!("{path}/{name}"), fs::read(folder.join(&name)).expect("an input"));
    names(&folder).into_iter().map(read).collect()
}

/// Says which input it was.
struct Told<'a>(&'a dyn Fn() -> String);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("with {}", (self.0)());
        }
    }
}

fn run(target: Target, bytes: &[u8], which: &dyn Fn() -> String) {
    let _told = Told(which);
    target.run(bytes, |check| allocation_counter::measure(check).bytes_max);
}

/// What fuzzing has found: inputs that each reach something that no other one reaches, and inputs that once failed.
fn replays(target: &str) {
    let corpus = inputs(&format!("corpus/{target}"));
    assert!(!corpus.is_empty(), "{target} has no corpus");
    for (name, bytes) in corpus.iter().chain(&inputs(&format!("findings/{target}"))) {
        run(Target::of(target), bytes, &|| name.clone());
    }
}

/// Inputs that are like those of the corpus, or like none.
fn tries(target: &str) {
    let corpus = inputs(&format!("corpus/{target}"));
    for seed in 0..INPUTS {
        let mut random = Random::new(seed);
        let mut bytes = if random.one_in(8) {
            let count = random.below(300);
            random.bytes(count)
        } else {
            let (front, back) = (&corpus[random.below(corpus.len())].1, &corpus[random.below(corpus.len())].1);
            let (end, start) = (random.below(front.len() + 1), random.below(back.len() + 1));
            [&front[..end], &back[start..]].concat()
        };
        for _ in 0..random.below(4) {
            let place = random.below(bytes.len());
            if let Some(byte) = bytes.get_mut(place) {
                *byte = random.number().to_le_bytes()[0];
            }
        }
        run(Target::of(target), &bytes, &|| format!("seed {seed}: {bytes:02x?}"));
    }
}

macro_rules! targets {
    ($($target:ident)*) => {
        const TESTED: &[&str] = &[$(stringify!($target)),*];

        $(mod $target {
            #[test]
            fn what_was_found() {
                super::replays(stringify!($target));
            }

            #[test]
            fn what_is_near_it() {
                super::tries(stringify!($target));
            }
        })*
    };
}

targets! { frame lines payload ids codec replay }

#[test]
fn every_target_is_tested_and_fuzzed_and_there_are_no_others() {
    let mut targets = TARGETS.map(|target| target.name);
    assert_eq!(TESTED, targets);
    targets.sort_unstable();
    assert_eq!(names(&folder("corpus")), targets);
    assert_eq!(names(&folder("targets")), targets.map(|target| format!("{target}.rs")));
    for name in names(&folder("findings")) {
        assert!(targets.contains(&&*name), "findings/{name} is of no target");
    }
}
