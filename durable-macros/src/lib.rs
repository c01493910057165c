//! The `#[durable]` attribute. Use it through `durable_runtime::durable`.
