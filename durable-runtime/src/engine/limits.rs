//! Everything that is bounded, by name (R14).

/// What a runtime bounds (R14). Going over one is a typed error that names it.
///
/// ```
/// use durable_runtime::Limits;
/// let limits = Limits { payload_bytes: 64 * 1_024, ..Limits::default() };
/// assert_eq!(limits.operations, 100_000);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest encoded input, step result, step error or result of a run, in bytes. Default 1 MiB;
    /// at most [`PAYLOAD_BYTES_MAX`](crate::PAYLOAD_BYTES_MAX), larger values count as that.
    pub payload_bytes: usize,
    /// How many operations one run may ask for. Default 100,000.
    pub operations: usize,
    /// How many signals one run may receive in all. Default 100,000.
    pub signals: usize,
    /// How many runs may be active at once; a start beyond that is refused, while recovered runs wait for
    /// their turn. Default 100,000.
    pub active_runs: usize,
    /// How often a run may be recovered, go on, and see the process die, without recording anything
    /// new, before it is halted (R12). Default 25; 0 counts as 1.
    pub recoveries_without_progress: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            payload_bytes: 1_024 * 1_024,
            operations: 100_000,
            signals: 100_000,
            active_runs: 100_000,
            recoveries_without_progress: 25,
        }
    }
}
