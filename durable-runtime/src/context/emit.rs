//! Telling others, for certain: `ctx.emit`.

use std::borrow::Cow;
use std::panic::Location;

use serde::Serialize;

use super::Context;
use super::scope::{Place, Scope};
use crate::emission::EVENT_BYTES_MAX;
use crate::halt::{Halt, HaltReason};
use crate::journal::{Arguments, OperationKind};
use crate::payload::Payload;
use crate::replay::Request;
use crate::value;

impl Context {
    /// Tells others what has happened, for certain: the event is recorded together with what the run has done before it, and delivered to the
    /// [sink](crate::RuntimeBuilder::sink) of its channel, at least once, whatever becomes of the run and the process then.
    ///
    /// It is for what another system is to learn from this one, without a transaction over both: that an order was paid. What is only to be looked at while
    /// the run goes on is [published](Self::publish); what the run depends on is a step.
    ///
    /// There is nothing to await: what was emitted since the last `.await` is recorded when the code comes to the next one that does not go on at once, or
    /// returns. A step that begins behind it begins when it is durable. Its delivery is then a run of its own, by which the sink is called until it has taken
    /// the event: this run neither waits for that, nor learns of it. Also if it fails, halts, or is cancelled behind it.
    ///
    /// It is an operation: its key is the channel (1 to [`STEP_NAME_BYTES_MAX`](crate::STEP_NAME_BYTES_MAX) bytes, no `#`), it counts
    /// among [`Limits::operations`](crate::Limits::operations), and on replay the event must be the same (R9). Its
    /// [id](crate::Emission::id) is `<run id>:<key>`, such as `order-1:sales#2`. A [fork](crate::Runtime::fork) delivers nothing again that it repeats.
    ///
    /// An event that can't be encoded, or is larger than [`Limits::payload_bytes`](crate::Limits::payload_bytes) or [`EVENT_BYTES_MAX`], halts the run
    /// ([`HaltReason::Value`]), and so does a channel for which the program has no sink ([`HaltReason::Misuse`]). In a destructor nothing is emitted when it is the
    /// engine that drops the code, because the run leaves memory.
    ///
    /// See [`RuntimeBuilder::sink`](crate::RuntimeBuilder::sink) for an example with both ends.
    ///
    /// ```
    /// use durable_runtime::{Context, durable};
    ///
    /// async fn charge(order: &str) -> u64 {
    ///     1_990
    /// }
    ///
    /// #[durable]
    /// async fn charges(ctx: Context, order: String) -> u64 {
    ///     let cents = ctx.run(charge, &order).await;
    ///     // Whoever listens hears of each charge that is recorded, and of no other.
    ///     ctx.emit("charges", &(&order, cents));
    ///     cents
    /// }
    /// ```
    ///
    /// # Panics
    /// Outside the code of its run (R10).
    #[track_caller]
    pub fn emit<T: Serialize + ?Sized>(&self, channel: impl Into<Cow<'static, str>>, event: &T) {
        let (channel, site, shared) = (channel.into(), Location::caller(), &self.shared);
        if Scope::current() == Place::Leaving(shared.instance) {
            return;
        }
        shared.check_place(&format_args!("`ctx.emit({channel:?}, …)` at {site}"));
        let refuse = |reason, why: &dyn std::fmt::Display| {
            let message = format!("what is emitted to {channel:?} at {site} can't be: {why}");
            shared.halt(Halt::new(reason, None, message));
        };
        let digest = match value::digest(event) {
            Ok(digest) => digest.0,
            Err(error) => return refuse(HaltReason::Value, &error),
        };
        let request = Request { name: channel.clone(), kind: OperationKind::Emission, digest, site: site.into() };
        let (claim, differs) = shared.claim_named(request);
        if differs {
            shared.show(claim, Arguments::of(&(event,)));
        }
        if !shared.is_unpublished(claim) {
            return;
        }
        let environment = &shared.environment;
        if let Some(known) = environment.sinks.others_than(&channel) {
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let why = format!(
                "the program has no sink for that channel (it has: {known}). Add `.sink({channel:?}, …)` to `Runtime::builder()`, restart, and resume the run"
            );
            return refuse(HaltReason::Misuse, &why);
        }
        match Payload::encode(environment.codec, event, environment.limits.payload_bytes.min(EVENT_BYTES_MAX)) {
            Ok(event) => shared.emit(claim, event),
            Err(error) => refuse(HaltReason::Value, &error),
        }
    }
}
