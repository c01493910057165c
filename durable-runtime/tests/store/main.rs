//! The stores, through their public interface.
#![cfg(feature = "testing")]

mod memory;
mod sled;
mod support;
