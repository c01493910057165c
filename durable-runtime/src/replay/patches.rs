//! Which path of a changed function a run takes.

use std::collections::{BTreeMap, BTreeSet};

use super::{Difference, Divergence, Replay};
use crate::journal::Text;

/// What is known of a run's patches.
#[derive(Debug, Default)]
pub(super) struct Patches {
    /// Those of the program that started the run.
    pub(super) known: Vec<Text>,
    /// Those that the run came to later, and took the new path of.
    pub(super) recorded: BTreeSet<String>,
    /// What the code was answered in this life.
    answers: BTreeMap<&'static str, bool>,
}

/// Which path the code is to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    /// The new one.
    New,
    /// The new one, and that is to be recorded.
    NewIfRecorded,
    /// The old one.
    Old,
    /// None: the code asked about too many patches.
    TooMany,
}

impl Replay {
    /// Which path of a patch the code is to take. The first answer stays: branches that ask later get the same one.
    /// At most `patches_max` patches are answered.
    pub(crate) fn patch(&mut self, id: &'static str, patches_max: usize) -> Path {
        self.seal();
        let is_new = match self.patches.answers.get(id) {
            Some(answer) => *answer,
            None if self.patches.answers.len() >= patches_max => return Path::TooMany,
            None if self.patches.known.iter().any(|known| &**known == id) => true,
            None if self.patches.recorded.contains(id) => true,
            // Nothing was done yet that the new path could contradict.
            None if self.is_at_the_end() => {
                self.patches.answers.insert(id, true);
                return Path::NewIfRecorded;
            }
            None => false,
        };
        self.patches.answers.insert(id, is_new);
        if is_new { Path::New } else { Path::Old }
    }

    /// The run took the old path of a patch, and the code has only the new one.
    pub(crate) fn retired_patch(&mut self, id: &'static str) {
        let ahead = self.undelivered.values().next().map(|next| next.operation).or_else(|| self.first_unclaimed());
        let divergence = Divergence {
            difference: Difference::RetiredPatch(id),
            recorded: ahead.and_then(|operation| self.found(operation)),
            current: self.claims.last().cloned(),
            elsewhere: None,
            length: self.length(),
        };
        self.divergence.get_or_insert(divergence);
    }

    /// Whether nothing that is recorded lies ahead of the code.
    fn is_at_the_end(&self) -> bool {
        self.live || (self.undelivered.is_empty() && self.first_unclaimed().is_none())
    }
}
