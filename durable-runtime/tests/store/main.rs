//! The stores, through their public interface.
#![cfg(feature = "testing")]

mod lossy;
mod memory;
mod sled;
mod support;
