//! Panics that are findings: they are told once, in the report, and not on the way to it.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use crate::panics::message_of;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The panics of this thread are not printed while it does `work`.
pub(super) fn quietly<T>(work: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if QUIET.get() {
                PLACE.replace(panic.location().map(ToString::to_string));
            } else {
                before(panic);
            }
        }));
    });
    let before = QUIET.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    QUIET.set(before);
    done
}

/// What the last panic said, and where.
pub(super) fn told(panic: &(dyn Any + Send)) -> String {
    let place = PLACE.take().map(|place| format!(" ({place})")).unwrap_or_default();
    format!("{}{place}", message_of(panic))
}
