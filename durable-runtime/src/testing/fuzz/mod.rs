//! Targets for fuzzing: what must hold of any bytes. Not for use by hand; see `docs/fuzzing.md`.
//!
//! A target is a function of bytes that panics when a property does not hold. It is called by a fuzzer (the `fuzz`
//! folder) and, with the bytes that fuzzing has found so far, by an ordinary test.

mod choices;
mod events;
mod frame;
mod ids;
mod lines;
mod payload;
mod replay;
mod replay_model;

pub(crate) use choices::Choices;
pub(crate) use events::{bytes_of, text};

use crate::journal::frame::FRAME_BYTES_MAX;

/// Something to be fuzzed.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    pub name: &'static str,
    /// What must hold of any bytes.
    check: fn(&[u8]),
    /// What it may take whatever the bytes are, in bytes of memory.
    memory_bytes_max: u64,
}

/// A few times what a target takes for the largest small inputs; far less than one believed length.
const MEMORY_BYTES_MAX: u64 = 2 << 20;
/// What a target may take for each byte of its input, besides.
const MEMORY_BYTES_MAX_PER_BYTE: u64 = 512;

pub const TARGETS: [Target; 6] = [
    // A length behind a right checksum is believed up to this.
    target("frame", frame::check, FRAME_BYTES_MAX as u64),
    target("lines", lines::check, 0),
    target("payload", payload::check, 0),
    target("ids", ids::check, 0),
    target("codec", crate::store::check_codec, 0),
    target("replay", replay::check, 0),
];

const fn target(name: &'static str, check: fn(&[u8]), memory_bytes_believed: u64) -> Target {
    Target { name, check, memory_bytes_max: memory_bytes_believed + MEMORY_BYTES_MAX }
}

impl Target {
    /// The target of this name.
    ///
    /// # Panics
    /// If there is none.
    pub fn of(name: &str) -> Self {
        *TARGETS.iter().find(|target| target.name == name).expect("a target's name")
    }

    /// Looks whether all properties hold. `peak` calls what it is given, and returns the most bytes of memory that were
    /// in use meanwhile.
    ///
    /// # Panics
    /// If a property does not hold.
    pub fn run(&self, bytes: &[u8], peak: impl FnOnce(&dyn Fn()) -> u64) {
        let peak = peak(&|| (self.check)(bytes));
        let allowed = self.memory_bytes_max + MEMORY_BYTES_MAX_PER_BYTE * bytes.len() as u64;
        assert!(peak <= allowed, "{peak} bytes of memory for an input of {} bytes; {allowed} are allowed", bytes.len());
    }
}
