//! Places where steps wait until the test lets them pass.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::watch;

use crate::patiently;

/// Named gates, closed until they are opened.
#[derive(Debug, Default)]
pub struct Gates {
    open: watch::Sender<BTreeSet<String>>,
    arrivals: watch::Sender<BTreeMap<String, usize>>,
}

impl Gates {
    /// Called by a step: waits until the gate is open.
    ///
    /// # Panics
    /// Never: the gates hold the sender.
    pub async fn pass(&self, gate: &str) {
        self.arrivals.send_modify(|arrivals| *arrivals.entry(gate.to_owned()).or_default() += 1);
        self.open.subscribe().wait_for(|open| open.contains(gate)).await.expect("the gates hold the sender");
    }

    /// Waits until `count` steps in all have come to the gate.
    ///
    /// # Panics
    /// If they do not.
    pub async fn arrived(&self, gate: &str, count: usize) {
        let mut arrivals = self.arrivals.subscribe();
        let enough = |arrivals: &BTreeMap<String, usize>| arrivals.get(gate).is_some_and(|arrived| *arrived >= count);
        patiently(gate, arrivals.wait_for(enough)).await.expect("the gates hold the sender");
    }

    /// Opens the gate for good.
    pub fn open(&self, gate: &str) {
        self.open.send_modify(|open| {
            open.insert(gate.to_owned());
        });
    }
}
