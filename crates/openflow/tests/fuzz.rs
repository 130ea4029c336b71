//! What fuzzing found, and mutations of it, as ordinary tests.
//!
//! The targets are in `fuzz/targets.rs`; `cargo +nightly fuzz run NAME` in `crates/openflow` runs them under libFuzzer,
//! and what it finds is put into `corpus/fuzz/NAME`.

mod common;
#[path = "fuzz/targets.rs"]
mod targets;

use std::path::Path;

use proptest::prelude::*;

/// The inputs kept for a target.
fn kept(name: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/fuzz").join(name);
    let mut paths: Vec<_> =
        dir.read_dir().expect("corpus").map(|entry| entry.expect("entry").path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("read")).collect()
}

/// The messages recorded from a real switch and ovs-ofctl.
fn recorded() -> Vec<Vec<u8>> {
    let vectors = [
        include_str!("vectors/messages.hex"),
        include_str!("vectors/OpenFlow13.flow_mods.hex"),
        include_str!("vectors/OpenFlow14.flow_mods.hex"),
        include_str!("vectors/OpenFlow15.flow_mods.hex"),
    ];
    let lines = vectors.into_iter().flat_map(str::lines).map(|line| line.rsplit('\t').next().unwrap_or(line));
    let byte = |hex: &str, i: usize| u8::from_str_radix(&hex[i..i + 2], 16).expect("hexadecimal");
    lines.map(|hex| (0..hex.len()).step_by(2).map(|i| byte(hex, i)).collect()).collect()
}

/// Every text of the corpora.
fn texts() -> Vec<Vec<u8>> {
    let mut lines = common::whole_corpus();
    for more in [
        include_str!("corpus/divergent.flows"),
        include_str!("corpus/groups.txt"),
        include_str!("corpus/meters.txt"),
    ] {
        lines.extend(common::lines(more));
    }
    lines.into_iter().map(String::into_bytes).collect()
}

#[test]
fn kept_inputs_break_no_law() {
    let mut understood = [0; 3];
    for (i, (name, target)) in [
        ("message", targets::message as fn(&[u8]) -> bool),
        ("text", targets::text),
        ("stream", targets::stream),
    ]
    .into_iter()
    .enumerate()
    {
        understood[i] = kept(name).iter().filter(|input| target(input)).count();
    }
    assert!(understood.iter().all(|n| *n > 0), "of some corpus nothing is understood: {understood:?}");
}

#[test]
fn recorded_messages_and_corpus_texts_break_no_law() {
    assert!(recorded().iter().all(|frame| targets::message(frame)));
    assert!(texts().iter().all(|text| targets::text(text)));
    let stream: Vec<u8> = recorded().concat();
    for chunk in [1, 7, 255] {
        assert!(targets::stream(&[&[chunk], stream.as_slice()].concat()));
    }
}

/// One of `inputs` with some bytes changed, put in, taken away, or a piece of another in their place.
fn mutated(inputs: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>(), 0u8..5);
    let sources = (prop::sample::select(inputs.clone()), prop::sample::select(inputs));
    (sources, prop::collection::vec(change, 0..5)).prop_map(|((mut input, other), changes)| {
        for (at, len, byte, kind) in changes {
            if input.is_empty() {
                break;
            }
            let at = at.index(input.len());
            let end = (at + len.index(16)).min(input.len());
            match kind {
                0 => input[at] = byte,
                1 => input.insert(at, byte),
                2 => drop(input.drain(at..end)),
                3 => input[at] ^= 1 << (byte % 8),
                _ => {
                    let from = len.index(other.len().max(1));
                    let piece = other.iter().skip(from).take(usize::from(byte % 24)).copied();
                    drop(input.splice(at..end, piece.collect::<Vec<u8>>()));
                }
            }
        }
        input
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

    #[test]
    fn mutated_messages_break_no_law(frame in mutated([recorded(), kept("message")].concat())) {
        targets::message(&frame);
    }

    #[test]
    fn mutated_texts_break_no_law(text in mutated([texts(), kept("text")].concat())) {
        targets::text(&text);
    }

    #[test]
    fn random_bytes_break_no_law(version in 4u8..=6, kind in 0u8..36, body in prop::collection::vec(any::<u8>(), 0..200)) {
        let frame = [&[version, kind, 0, 0, 0, 0, 0, 7], body.as_slice()].concat();
        targets::message(&frame);
        targets::stream(&frame);
        targets::text(&body);
    }

    #[test]
    fn mutated_streams_break_no_law(
        chunk: u8,
        frames in prop::collection::vec(mutated(recorded().into_iter().filter(|f| f.len() < 300).collect()), 1..5),
    ) {
        targets::stream(&[&[chunk], frames.concat().as_slice()].concat());
    }
}
