//! Chance, injected: no run gets any from elsewhere.

use std::fmt;

/// Where the seeds of runs come from.
pub(crate) trait Entropy: fmt::Debug + Send + Sync {
    /// The seed of a new run; no two are the same.
    fn seed(&self) -> u128;
}

/// The machine's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn seed(&self) -> u128 {
        let mut bytes = [0; 16];
        // As `HashMap` does: a machine without random numbers runs nothing.
        getrandom::fill(&mut bytes).expect("the operating system gives random numbers");
        u128::from_le_bytes(bytes)
    }
}

/// The same for all runs, for a world that is to be played again.
#[cfg(feature = "testing")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct FixedEntropy;

#[cfg(feature = "testing")]
impl Entropy for FixedEntropy {
    fn seed(&self) -> u128 {
        0x6475_7261_626c_655f_7275_6e74_696d_6521
    }
}
