//! Fuzzing, driven by libFuzzer. The targets are in `durable-runtime/src/testing/fuzz`.

use durable_runtime::testing::fuzz::Target;

/// What libFuzzer calls with each input.
pub fn run(target: &str, bytes: &[u8]) {
    Target::of(target).run(bytes, |check| allocation_counter::measure(check).bytes_max);
}
