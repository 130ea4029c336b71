//! The fuzz targets over their corpora, as they are and mutated. `fuzz/README.md` says how to run the fuzzer itself.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code: a failure is the result")]

mod fuzz_targets;

use std::path::Path;

use fuzz_targets::TARGETS;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let inputs: Vec<_> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    assert!(!inputs.is_empty(), "{} is empty", dir.display());
    inputs
}

#[test]
fn corpora_break_no_promise() {
    for (name, target) in TARGETS {
        corpus(name).iter().for_each(|input| target(input));
    }
}

#[test]
fn mutated_corpora_break_no_promise() {
    for (name, target) in TARGETS {
        let corpus = corpus(name);
        let mut rng = StdRng::seed_from_u64(7047);
        for _ in 0..600 {
            let mut input = corpus.choose(&mut rng).unwrap().clone();
            for _ in 0..rng.random_range(1..4) {
                mutate(&mut input, &corpus, &mut rng);
            }
            target(&input);
        }
    }
}

/// Changes, removes, repeats or splices some bytes.
fn mutate(input: &mut Vec<u8>, corpus: &[Vec<u8>], rng: &mut StdRng) {
    const TOKENS: [&[u8]; 8] = [b"{", b"]", b"\"", b",", b"null", b"-1", b"\xff", b"[\"set\",[]]"];
    let (from, to) = (rng.random_range(0..=input.len()), rng.random_range(0..=input.len()));
    let (from, to) = (from.min(to), from.max(to).min(from.min(to) + 24));
    match rng.random_range(0..5) {
        0 => input[from..to].iter_mut().for_each(|byte| *byte = byte.wrapping_add(1)),
        1 => drop(input.drain(from..to)),
        2 => {
            let piece = input[from..to].to_vec();
            input.splice(to..to, piece);
        }
        3 => drop(input.splice(from..to, TOKENS.choose(rng).unwrap().iter().copied())),
        _ => {
            let other = corpus.choose(rng).unwrap();
            let cut = rng.random_range(0..=other.len());
            input.splice(from.., other[cut..].iter().copied());
        }
    }
}
