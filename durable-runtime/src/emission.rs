//! Events that runs emit, and the sinks that they are delivered to: an outbox.
//!
//! What a run emits is a record of its own ([`Context::emit`]). The engine then starts a run of [`delivers`] for it, which is
//! tried again until the sink has taken it, and gone when it has.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::context::{Context, StepContext, idempotency_key};
use crate::failure::Failure;
use crate::id::RunId;
use crate::payload::{Codec, Payload, PayloadError};
use crate::replay;
use crate::retry::Retry;
use crate::runtime::RuntimeBuilder;
use crate::value;
use crate::{DurableFunction, durable};

/// The name of the function that delivers what runs [emit](Context::emit): the runs of it are what is not delivered yet.
///
/// ```
/// use durable_runtime::{DELIVERY_FUNCTION, RunFilter};
/// let undelivered = RunFilter::default().function(DELIVERY_FUNCTION);
/// # drop(undelivered);
/// ```
pub const DELIVERY_FUNCTION: &str = delivers::NAME;

/// The largest event that can be [emitted](Context::emit), in bytes, if [`Limits::payload_bytes`](crate::Limits::payload_bytes) is not less: the run that
/// delivers it has it in its input.
pub const EVENT_BYTES_MAX: usize = 3 * 1_024 * 1_024;

/// How long a sink may take for one attempt.
const LIMIT: Duration = Duration::from_mins(1);

/// How many attempts one part of a delivery's run makes.
const ATTEMPTS: u32 = 1_000;

/// An event that a run has [emitted](Context::emit), as the [sink](RuntimeBuilder::sink) of its channel is given it.
#[derive(Debug, Clone)]
pub struct Emission {
    event: Undelivered,
    attempt: u32,
}

/// What a delivery's run is started with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Undelivered {
    pub(crate) id: String,
    pub(crate) channel: String,
    pub(crate) run: String,
    #[serde(with = "recorded")]
    pub(crate) value: Payload,
    pub(crate) emitted_at: u64,
}

/// A payload in another one: spelled where people can read that, else as it is.
mod recorded {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use crate::journal::spelling;
    use crate::payload::{Codec, Payload};

    pub(super) fn serialize<S: Serializer>(payload: &Payload, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return spelling::serialize(payload, serializer);
        }
        (matches!(payload.codec(), Codec::Json), payload.bytes()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Payload, D::Error> {
        if deserializer.is_human_readable() {
            return spelling::deserialize(deserializer);
        }
        let (is_json, bytes) = <(bool, Vec<u8>)>::deserialize(deserializer)?;
        Ok(Payload::of_parts(if is_json { Codec::Json } else { Codec::Bincode }, bytes))
    }
}

impl Undelivered {
    /// What is to be delivered of an emission of this part of a run.
    pub(crate) fn of(run: &RunId, part: u64, emission: &replay::Emission) -> Self {
        let replay::Emission { operation, value, at } = emission;
        Self {
            id: idempotency_key(run, &operation.key, part),
            channel: operation.name().to_owned(),
            run: run.as_str().to_owned(),
            value: value.clone(),
            emitted_at: *at,
        }
    }
}

impl Emission {
    /// What tells this event from all others, and a second delivery from the first: `<run id>:<key>`, as the
    /// [idempotency key](StepContext::idempotency_key) of a step. The same on every attempt, after every crash.
    pub fn id(&self) -> &str {
        &self.event.id
    }

    /// The channel that it was emitted to.
    pub fn channel(&self) -> &str {
        &self.event.channel
    }

    /// The id of the run that has emitted it.
    pub fn run(&self) -> &str {
        &self.event.run
    }

    /// When that was recorded.
    pub fn emitted_at(&self) -> Timestamp {
        Timestamp(self.event.emitted_at)
    }

    /// Which attempt to deliver it this is, from 1; counted across restarts.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The event as it was recorded.
    pub fn payload(&self) -> &Payload {
        &self.event.value
    }

    /// The event.
    ///
    /// # Errors
    /// It is of another type.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        self.event.value.decode()
    }
}

type Sink = Arc<dyn Fn(Emission) -> BoxFuture<'static, Result<(), Failure>> + Send + Sync>;

/// The program's sinks, by channel.
#[derive(Clone, Default)]
pub(crate) struct Sinks {
    by_channel: BTreeMap<String, Sink>,
    /// Whether every channel has one, which takes everything: in a simulated process.
    take_all: bool,
}

impl Sinks {
    /// A sink for every channel that takes everything.
    #[cfg(feature = "testing")]
    pub(crate) fn taking_all() -> Self {
        Self { by_channel: BTreeMap::new(), take_all: true }
    }

    /// The channels that have one, if this is not among them.
    pub(crate) fn others_than(&self, channel: &str) -> Option<Vec<String>> {
        let is_known = self.take_all || self.by_channel.contains_key(channel);
        (!is_known).then(|| self.by_channel.keys().cloned().collect())
    }

    async fn take(&self, emission: Emission) -> Result<(), Failure> {
        match self.by_channel.get(emission.channel()) {
            Some(sink) => sink(emission).await,
            None if self.take_all => Ok(()),
            None => Err(Failure::new(format!(
                "this program has no sink for the channel {:?}: add `.sink({:?}, …)` to `Runtime::builder()`",
                emission.channel(),
                emission.channel()
            ))),
        }
    }
}

impl fmt::Debug for Sinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_channel.keys()).finish()
    }
}

impl RuntimeBuilder {
    /// Says where the events of a channel go that runs [emit](Context::emit): to a broker, a webhook, a table. A second one for the same
    /// channel replaces the first.
    ///
    /// The sink is called for each event until it has returned `Ok` once: *at least once*, also after a crash, so it passes on
    /// [`Emission::id`], by which its receiver can tell a second delivery. An attempt that fails, panics, or takes more than a minute is made again, after 1 s, then twice as
    /// long each time, up to 5 min, for as long as it takes. Meanwhile the event is a run of [`DELIVERY_FUNCTION`] under the event's id, which can be
    /// [looked at](crate::Runtime::get), and given up by [cancelling](crate::Runtime::cancel) it. It leaves memory while it waits; delivered, it is deleted.
    ///
    /// Events are delivered independently of each other: one that fails holds up none, and they may come in another order than they were emitted in.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_runtime::{Context, Emission, PayloadError, Runtime, durable};
    /// use tokio::sync::mpsc;
    ///
    /// async fn charge(cents: u64) -> u64 {
    ///     cents
    /// }
    ///
    /// #[durable]
    /// async fn sells(ctx: Context, cents: u64) {
    ///     let cents = ctx.run(charge, cents).await;
    ///     ctx.emit("sales", &cents);
    /// }
    ///
    /// let (broker, mut sales) = mpsc::unbounded_channel();
    /// let sink = move |sale: Emission| {
    ///     let broker = broker.clone();
    ///     async move {
    ///         broker.send((sale.id().to_owned(), sale.decode::<u64>()?))?;
    ///         Ok(())
    ///     }
    /// };
    /// let runtime = Runtime::builder().sink("sales", sink).in_memory().await?;
    /// runtime.start("order-1", sells, 1_990).await?.await?;
    /// assert_eq!(sales.recv().await, Some(("order-1:sales".to_owned(), 1_990)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn sink<F, R>(mut self, channel: impl Into<String>, sink: F) -> Self
    where
        F: Fn(Emission) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.sinks.by_channel.insert(channel.into(), Arc::new(move |emission| sink(emission).boxed()));
        self
    }
}

/// Delivers one event.
#[durable(crate = crate, name = "durable_runtime::delivers")]
pub(crate) async fn delivers(ctx: Context, event: Undelivered) {
    let often = Retry::exponential(Duration::from_secs(1)).max_delay(Duration::from_mins(5)).jitter();
    let delivered = ctx.run(deliver, &event).timeout(LIMIT).retry(often.max_attempts(ATTEMPTS)).await;
    if delivered.is_err() {
        // With a journal that begins anew: this may go on for years.
        ctx.continue_as_new(event).await;
    }
}

async fn deliver(step: StepContext, event: &Undelivered) -> Result<(), Failure> {
    let emission = Emission { event: event.clone(), attempt: step.attempt_of_all(ATTEMPTS) };
    let delivered = step.sinks().take(emission).await;
    if let Err(error) = &delivered {
        tracing::warn!(event = event.id, channel = event.channel, attempt = step.attempt(), %error, "an event was not delivered");
    }
    delivered
}

/// With what the run that delivers it is started, and the digest of that.
///
/// # Errors
/// Why it can't be.
pub(crate) fn delivery_of(event: &Undelivered) -> Result<(Payload, u64), String> {
    // Whatever codec the runtime has: what is in it says its own.
    let payload = Payload::encode(Codec::Json, event, usize::MAX).map_err(|error| error.to_string())?;
    let digest = value::digest(event).map_err(|error| error.to_string())?;
    Ok((payload, digest.0))
}
