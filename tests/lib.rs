//! What the integration tests share.

#[cfg(doctest)]
#[doc = include_str!("../durable-macros/src/durable.md")]
mod attribute {}
