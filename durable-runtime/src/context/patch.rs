//! `ctx.patched` and `ctx.deprecate_patch`: changing a function while runs of it are under way.

use super::Context;
use crate::halt::{Halt, HaltReason};

/// The longest id of a patch, in bytes: it is in the first record of every run.
pub const PATCH_ID_BYTES_MAX: usize = 1_024;

/// An id that is asked about somewhere in this program, so that every run it starts takes the new path from the
/// beginning. Submitted by `#[durable]`.
#[derive(Debug)]
pub struct Patch {
    id: &'static str,
}

impl Patch {
    /// The patch with this id.
    pub const fn new(id: &'static str) -> Self {
        Self { id }
    }

    /// Its id, unless that is one that can't be used.
    pub(crate) fn id(&self) -> Option<&'static str> {
        is_usable(self.id).then_some(self.id)
    }
}

inventory::collect!(Patch);

fn is_usable(id: &str) -> bool {
    (1..=PATCH_ID_BYTES_MAX).contains(&id.len())
}

impl Context {
    /// Whether this run takes the new path of a change: `if ctx.patched("id") { /* new */ } else { /* old */ }`.
    ///
    /// For changing a function while runs of it are under way. A run takes the new path if it was started by a program
    /// that has the patch, or had not done anything beyond this place when it came here first; that it did is then
    /// recorded. Every other run takes the old path, which is the one that it recorded. Whatever the answer is, it is
    /// the same for all of the run's life, for every branch, and after every crash.
    ///
    /// Asking is not an operation: it has no key, waits for nothing, and may be taken out of the code again. When no
    /// run is left that took the old path, remove that and write [`deprecate_patch`](Self::deprecate_patch).
    ///
    /// The id is 1 to [`PATCH_ID_BYTES_MAX`] bytes, else the run halts with [`HaltReason::Misuse`]. Use each id for one
    /// change: places with the same id get the same answer, and an id that was used before is known to old runs.
    ///
    /// ```
    /// use durable_runtime::{Context, durable};
    ///
    /// async fn price(quantity: u32) -> u32 {
    ///     quantity * 250
    /// }
    ///
    /// async fn price_with_tax(quantity: u32) -> u32 {
    ///     quantity * 300
    /// }
    ///
    /// #[durable]
    /// async fn total_by_path(ctx: Context, quantity: u32) -> u32 {
    ///     if ctx.patched("tax") {
    ///         ctx.run(price_with_tax, quantity).await
    ///     } else {
    ///         ctx.run(price, quantity).await
    ///     }
    /// }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let runtime = durable_runtime::Runtime::builder().in_memory().await.unwrap();
    /// # assert_eq!(runtime.start("t", total_by_path, 2).await.unwrap().await.unwrap(), 600);
    /// # }
    /// ```
    ///
    /// # Panics
    /// Outside the code of its run (R10).
    #[track_caller]
    pub fn patched(&self, id: &'static str) -> bool {
        self.shared.check_place(&format_args!("`ctx.patched({id:?})`"));
        self.check_id(id) && self.shared.patched(id)
    }

    /// In the place of [`patched`](Self::patched), when the old path was removed: halts a run that took it.
    ///
    /// Without this line, such a run would be told that it diverges; with it, which code it needs. The line may be
    /// removed when no such run is left.
    ///
    /// ```
    /// use durable_runtime::{Context, durable};
    ///
    /// async fn price_with_tax(quantity: u32) -> u32 {
    ///     quantity * 300
    /// }
    ///
    /// #[durable]
    /// async fn bill(ctx: Context, quantity: u32) -> u32 {
    ///     ctx.deprecate_patch("tax");
    ///     ctx.run(price_with_tax, quantity).await
    /// }
    /// ```
    ///
    /// # Panics
    /// Outside the code of its run (R10).
    #[track_caller]
    pub fn deprecate_patch(&self, id: &'static str) {
        self.shared.check_place(&format_args!("`ctx.deprecate_patch({id:?})`"));
        if self.check_id(id) && !self.shared.patched(id) {
            self.shared.retired_patch(id);
        }
    }

    fn check_id(&self, id: &str) -> bool {
        let is_usable = is_usable(id);
        if !is_usable {
            let beginning = &id[..id.floor_char_boundary(100)];
            let bytes = id.len();
            self.shared.halt(Halt::new(
                HaltReason::Misuse,
                None,
                format!(
                    "{beginning:?} ({bytes} bytes) can't be the id of a patch: it must have 1 to {PATCH_ID_BYTES_MAX} bytes"
                ),
            ));
        }
        is_usable
    }
}
