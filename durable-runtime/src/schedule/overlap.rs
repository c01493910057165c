//! What becomes of a run that is due while the one before has not ended.

/// What becomes of a run that is due while the one before, of the same schedule, has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// It begins all the same: there can be several at a time.
    Allow,
    /// It is left out.
    Skip,
    /// It begins when the one before has ended. At most one waits: those that are due after it, while it waits, are left out.
    Wait,
    /// The one before is cancelled, and it begins when that has ended; one that waits for that, too, is left out for it.
    CancelPrevious,
}

/// What to do with a run that is due; see [`Overlap::decide`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It begins now.
    Begin,
    /// It never begins.
    Skip,
    /// It begins when the one before has ended.
    Wait,
    /// The one before is to be cancelled. It begins when that has ended, in the place of one that waits already.
    CancelPrevious,
}

impl Overlap {
    /// Decides about a run that is due: whether the one that began before it is unfinished, and whether one that was due before it
    /// has not begun, because it waits.
    ///
    /// One that waits counts as the one before also if what it waited for has just ended.
    ///
    /// ```
    /// use durable_runtime::Overlap;
    /// use durable_runtime::schedule::Decision;
    ///
    /// assert_eq!(Overlap::Skip.decide(false, false), Decision::Begin);
    /// assert_eq!(Overlap::Skip.decide(true, false), Decision::Skip);
    /// assert_eq!(Overlap::Wait.decide(true, false), Decision::Wait);
    /// assert_eq!(Overlap::Wait.decide(true, true), Decision::Skip);
    /// ```
    #[must_use]
    pub fn decide(self, previous_is_unfinished: bool, another_waits: bool) -> Decision {
        if !previous_is_unfinished && !another_waits {
            return Decision::Begin;
        }
        match self {
            Self::Allow => Decision::Begin,
            Self::Skip => Decision::Skip,
            Self::Wait if another_waits => Decision::Skip,
            Self::Wait => Decision::Wait,
            Self::CancelPrevious => Decision::CancelPrevious,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each policy decides when nothing is unfinished or waits, one is unfinished, one waits, both.
    fn decisions(overlap: Overlap) -> [Decision; 4] {
        [(false, false), (true, false), (false, true), (true, true)]
            .map(|(is_unfinished, waits)| overlap.decide(is_unfinished, waits))
    }

    #[test]
    fn a_run_that_is_due_alone_begins_under_every_policy() {
        for overlap in [Overlap::Allow, Overlap::Skip, Overlap::Wait, Overlap::CancelPrevious] {
            assert_eq!(overlap.decide(false, false), Decision::Begin, "{overlap:?}");
        }
    }

    #[test]
    fn at_most_one_run_waits_for_the_one_before() {
        assert_eq!(decisions(Overlap::Wait), [Decision::Begin, Decision::Wait, Decision::Skip, Decision::Skip]);
    }

    #[test]
    fn the_other_policies_begin_skip_or_cancel_whatever_waits() {
        assert_eq!(decisions(Overlap::Allow), [Decision::Begin; 4]);
        assert_eq!(decisions(Overlap::Skip)[1..], [Decision::Skip; 3]);
        assert_eq!(decisions(Overlap::CancelPrevious)[1..], [Decision::CancelPrevious; 3]);
    }
}
