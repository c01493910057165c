//! The crash explorer, through its public interface: it passes functions that survive everything, and finds what is wrong
//! with the others.
#![cfg(feature = "testing")]

mod finds;
mod gateway;
mod passes;
mod repeats;
mod scripts;
