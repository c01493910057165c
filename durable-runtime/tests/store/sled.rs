//! `SledStore` passes the conformance suite.

use crate::support::Sled;

durable_runtime::store_conformance!(Sled::new());
