//! `on_change = "resume"`: changed code finds what older code recorded by the keys, in whatever order it asks.

use std::collections::{BTreeMap, BTreeSet};

use super::{ClaimNumber, Completion, Difference, OperationNumber, Replay};

/// What is needed where a claim and the operation it is recorded as have different numbers.
#[derive(Debug)]
pub(super) struct ByKey {
    /// The claims of this life, by the number of their operation.
    claims: BTreeMap<OperationNumber, ClaimNumber>,
    /// What is recorded and was not asked for, as yet or ever.
    unclaimed: BTreeSet<OperationNumber>,
    /// The outcomes of those: passed over until they are asked for (R3).
    passed_over: BTreeMap<OperationNumber, Completion>,
    /// The number of the next new operation, above all recorded ones.
    next: OperationNumber,
}

impl ByKey {
    pub(super) fn claim_of(&self, operation: OperationNumber) -> Option<ClaimNumber> {
        self.claims.get(&operation).copied()
    }

    pub(super) fn first_unclaimed(&self) -> Option<OperationNumber> {
        self.unclaimed.first().copied()
    }
}

impl Replay {
    /// Lets the code find what is recorded by its keys, in whatever order it asks. Call before it asks for anything.
    ///
    /// A claim whose key is recorded is bound to that operation, of which kind and arguments must be the same. Any other
    /// claim is a new operation. What is recorded and never asked for is passed over. It is as deterministic as
    /// the strict order: which outcome is next is decided by the journal and by what the code has asked for.
    pub(crate) fn match_by_key(&mut self) {
        let undelivered = std::mem::take(&mut self.undelivered).into_values();
        self.by_key = Some(ByKey {
            claims: BTreeMap::new(),
            unclaimed: self.recorded.keys().copied().collect(),
            passed_over: undelivered.map(|completion| (completion.operation, completion)).collect(),
            next: self.recorded.keys().next_back().map_or(0, |last| last.saturating_add(1)),
        });
    }

    /// Binds a claim to the operation that is recorded under its key, or to a new one.
    pub(super) fn bind(&mut self, claim: ClaimNumber) {
        let Some(operation) = self.claims.get_mut(claim as usize) else { return };
        let Some(by_key) = &mut self.by_key else { return };
        let Some(number) = self.recorded_keys.get(&operation.key).copied() else {
            operation.claim = by_key.next;
            // There is nothing that they could differ from.
            operation.arguments = None;
            by_key.claims.insert(by_key.next, claim);
            by_key.next = by_key.next.saturating_add(1);
            return;
        };
        operation.claim = number;
        by_key.claims.insert(number, claim);
        by_key.unclaimed.remove(&number);
        if let Some(completion) = by_key.passed_over.remove(&number) {
            self.undelivered.insert(completion.position, completion);
        }
        let (kind, digest) = (operation.kind, operation.digest);
        let recorded = self.recorded.get(&number).map(|recorded| &recorded.operation);
        let difference = match recorded {
            Some(recorded) if recorded.kind != kind => Some(Difference::Kind),
            Some(recorded) if recorded.digest != digest => Some(Difference::Arguments),
            Some(_) | None => None,
        };
        self.compared(claim, number, difference);
    }
}
