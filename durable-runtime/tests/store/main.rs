//! The stores, through their public interface.
#![cfg(feature = "testing")]

mod damage;
mod lossy;
mod memory;
mod plain;
mod sled;
mod support;
