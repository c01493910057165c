//! Which run's code is being polled on this thread, so that operations used elsewhere are noticed (R10).

use std::cell::{Cell, RefCell};

use crate::sync::thread_local;

thread_local! {
    static CURRENT: Cell<Place> = const { Cell::new(Place::Outside) };
    static MISUSE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Where the code that calls us runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In no durable function: a spawned task, or ordinary code.
    Outside,
    /// In the code of the run with this number.
    Run(u64),
    /// In the body of a step of the run with this number.
    Step(u64),
    /// In a destructor: the code of the run with this number leaves memory, at a place of the engine's choice.
    Leaving(u64),
}

/// Marks a stretch of polling; the mark ends with it, also by a panic.
#[derive(Debug)]
pub(crate) struct Scope {
    before: Place,
}

impl Scope {
    /// The code of run `instance` is polled from here on.
    pub(crate) fn run(instance: u64) -> Self {
        Self { before: CURRENT.with(|current| current.replace(Place::Run(instance))) }
    }

    /// The body of a step of run `instance` is polled from here on.
    pub(crate) fn step(instance: u64) -> Self {
        Self { before: CURRENT.with(|current| current.replace(Place::Step(instance))) }
    }

    /// The code of run `instance` is dropped from here on.
    pub(crate) fn leaving(instance: u64) -> Self {
        Self { before: CURRENT.with(|current| current.replace(Place::Leaving(instance))) }
    }

    /// The code that is polled here is about to panic, because it used what belongs to another run: that is told to
    /// whoever polls it.
    pub(crate) fn misused(message: String) {
        MISUSE.with(|misuse| misuse.replace(Some(message)));
    }

    /// What the code that was just polled misused, if it did.
    pub(crate) fn take_misuse() -> Option<String> {
        MISUSE.with(RefCell::take)
    }

    /// Where we are.
    pub(crate) fn current() -> Place {
        CURRENT.with(Cell::get)
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        CURRENT.with(|current| current.set(self.before));
    }
}
