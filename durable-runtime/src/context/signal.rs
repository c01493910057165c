//! Waiting for what others send: `ctx.signal`.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use serde::de::DeserializeOwned;

use super::shared::RunShared;
use crate::halt::{Halt, HaltReason, detail};
use crate::journal::OperationKind;
use crate::panics::message_of;
use crate::payload::Payload;
use crate::replay::{ClaimNumber, Request};

/// A wait for a signal, asked for with [`Context::signal`](crate::Context::signal); await it for what the signal says.
///
/// Signals that came before are kept, and those of one name are given out in the order in which they came, each once:
/// to the wait that was asked for first. A replay gives the same one, and takes no other. Dropping the wait takes none.
///
/// What the signal says is read as a `T` when it is given out. If it can't be, the run is halted
/// ([`HaltReason::Value`](crate::HaltReason::Value)), and nothing is lost: deploy code that reads it, and resume the run.
#[must_use = "a wait does nothing unless it is awaited"]
pub struct Signal<T> {
    shared: Arc<RunShared>,
    claim: ClaimNumber,
    name: Cow<'static, str>,
    is_over: bool,
    value: PhantomData<fn() -> T>,
}

impl<T> Signal<T> {
    #[track_caller]
    pub(super) fn claim(shared: &Arc<RunShared>, name: Cow<'static, str>) -> Self {
        let site = Location::caller();
        shared.check_place(&format_args!("`ctx.signal({name:?})` at {site}"));
        let request = Request { name: name.clone(), kind: OperationKind::Signal, digest: 0, site: site.into() };
        let (claim, _) = shared.claim_named(request);
        Self { shared: Arc::clone(shared), claim, name, is_over: false, value: PhantomData }
    }
}

impl<T: DeserializeOwned> Future for Signal<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<T> {
        let signal = self.get_mut();
        signal.shared.check_place(&"a wait for a signal");
        if signal.is_over {
            return Poll::Pending;
        }
        let Some(value) = signal.shared.take_signal(signal.claim, &signal.name, task.waker()) else {
            return Poll::Pending;
        };
        signal.is_over = true;
        match read_or_halt(&signal.shared, signal.claim, &value, &format_args!("the signal {:?} says", signal.name)) {
            Some(value) => Poll::Ready(value),
            None => Poll::Pending,
        }
    }
}

/// Reads what somebody has sent; what is no `T` halts the run.
pub(super) fn read_or_halt<T: DeserializeOwned>(
    shared: &RunShared,
    claim: ClaimNumber,
    value: &Payload,
    what: &dyn fmt::Display,
) -> Option<T> {
    let why = match read(value) {
        Ok(value) => return Some(value),
        Err(why) => why,
    };
    let key = shared.operation(claim).map(|operation| operation.key);
    let (said, type_name) = (value.excerpt(), std::any::type_name::<T>());
    let message = format!(
        "{what} {said}, which is no {type_name}: {why}. It is kept: deploy code that reads it, and resume the run"
    );
    shared.halt(Halt::new(HaltReason::Value, key, message));
    None
}

fn read<T: DeserializeOwned>(value: &Payload) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(|| value.decode())) {
        Ok(read) => read.map_err(|error| detail(error.to_string())),
        Err(panic) => Err(format!("its deserialization panicked: {}", message_of(&*panic))),
    }
}

impl<T> Drop for Signal<T> {
    fn drop(&mut self) {
        self.shared.abandon(self.claim);
    }
}

impl<T> fmt::Debug for Signal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.shared.operation(self.claim).map(|operation| operation.key);
        f.debug_struct("Signal").field("run", &self.shared.id).field("key", &key).finish_non_exhaustive()
    }
}
