//! What a test says of its world: fakes, crashes and times.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::mishap::Crash;
use crate::chance::promise_token;
use crate::context::{Attempt, StepContext};
use crate::engine::Loaded;
use crate::error::{PromiseError, SignalError};
use crate::halt::{Halt, HaltReason};
use crate::id::{PromiseId, PromiseIdParts, RunId};
use crate::payload::{Codec, PAYLOAD_BYTES_MAX, Payload};
use crate::{Runtime, SignalSent};

/// Sends something to the run; the number is that of what is sent.
type Sends = Box<dyn Fn(Runtime, RunId, usize) -> BoxFuture<'static, Result<(), NotSent>> + Send + Sync>;

/// Why nothing more can be sent.
pub(super) enum NotSent {
    /// The run has ended.
    Ended,
    Failed(Halt),
}

impl NotSent {
    fn failed(reason: HaltReason, error: &dyn fmt::Display) -> Self {
        Self::Failed(Halt::new(reason, None, error.to_string()))
    }
}

/// Returns what the step does, or nothing if the real one is to be called.
type Fake = Box<dyn Fn(&FakeCall<'_>, Codec) -> Option<Payload> + Send + Sync>;

/// What a test says of its world.
#[derive(Default)]
pub(super) struct Script {
    pub(super) fakes: BTreeMap<String, Fake>,
    pub(super) crashes: Vec<(Crash, String)>,
    pub(super) takes: BTreeMap<String, Duration>,
    pub(super) sendings: Vec<Sending>,
}

/// What somebody outside sends.
pub(super) struct Sending {
    /// A signal's name, or a promise's key.
    pub(super) name: String,
    pub(super) is_promise: bool,
    /// So long after the run was started for the first time.
    pub(super) after: Duration,
    pub(super) send: Sends,
}

impl Sending {
    pub(super) fn signal<T: Serialize + Send + Sync + 'static>(after: Duration, name: String, value: T) -> Self {
        let (given, value) = (name.clone(), Arc::new(value));
        let send = move |runtime: Runtime, run: RunId, number| {
            let (name, value) = (given.clone(), Arc::clone(&value));
            async move {
                match runtime.signal(&run, &name, &*value).id(format!("scripted {number}")).await {
                    Ok(SignalSent::Recorded | SignalSent::Duplicate) => Ok(()),
                    Err(SignalError::Finished { .. }) => Err(NotSent::Ended),
                    Err(error @ SignalError::Store { .. }) => Err(NotSent::failed(HaltReason::Storage, &error)),
                    Err(error) => Err(NotSent::failed(HaltReason::Misuse, &error)),
                }
            }
            .boxed()
        };
        Self { name, is_promise: false, after, send: Box::new(send) }
    }

    /// `value` or the reason against it.
    pub(super) fn promise<T: Serialize + Send + Sync + 'static>(
        after: Duration,
        key: String,
        value: Result<T, String>,
    ) -> Self {
        let (given, value) = (key.clone(), Arc::new(value));
        let send = move |runtime: Runtime, run: RunId, _| {
            let (key, value) = (given.clone(), Arc::clone(&value));
            async move {
                let id = promise_id(&runtime, run, key).await?;
                let settled = match &*value {
                    Ok(value) => runtime.resolve(&id, value).await,
                    Err(reason) => runtime.reject(&id, reason).await,
                };
                match settled {
                    // Somebody who is told that it is settled already has sent it before, or is late.
                    Ok(()) | Err(PromiseError::Settled { .. }) => Ok(()),
                    Err(PromiseError::Finished { .. }) => Err(NotSent::Ended),
                    Err(error @ PromiseError::Store { .. }) => Err(NotSent::failed(HaltReason::Storage, &error)),
                    Err(error) => Err(NotSent::failed(HaltReason::Misuse, &error)),
                }
            }
            .boxed()
        };
        Self { name: key, is_promise: true, after, send: Box::new(send) }
    }
}

/// The id that the promise with this key has, or would have.
async fn promise_id(runtime: &Runtime, run: RunId, key: String) -> Result<PromiseId, NotSent> {
    let loaded = runtime.inner.engine.load(&run).await;
    let loaded = loaded.map_err(|error| NotSent::failed(HaltReason::Storage, &error))?;
    let seed = loaded.as_ref().and_then(Loaded::started).map_or(0, |started| started.seed);
    let token = promise_token(seed, &key);
    Ok(PromiseId::of(&PromiseIdParts { run, key, token }))
}

impl Script {
    /// What the step that is called so is to return, if it has a fake.
    pub(super) fn fake(&self, label: &str, call: &FakeCall<'_>, codec: Codec) -> Option<Payload> {
        let name = call.key().split('#').next().unwrap_or_default();
        // A key, behind those of the runs that lead to it, is that of one call, a name that of all.
        let fake = self.fakes.get(label).or_else(|| self.fakes.get(name))?;
        fake(call, codec)
    }

    /// The first scripted crash, of those that have not happened, that `is_here`.
    pub(super) fn crash_of(
        &self,
        happened: &BTreeSet<usize>,
        is_here: impl Fn(Crash, &str) -> bool,
    ) -> Option<(usize, Crash)> {
        let mut crashes = self.crashes.iter().enumerate().filter(|(index, _)| !happened.contains(index));
        crashes.find(|(_, (crash, key))| is_here(*crash, key)).map(|(index, (crash, _))| (index, *crash))
    }

    /// The first scripted crash that did not happen.
    pub(super) fn crash_that_did_not_happen(&self, happened: &BTreeSet<usize>) -> Option<&(Crash, String)> {
        let left = self.crashes.iter().enumerate().find(|(index, _)| !happened.contains(index));
        left.map(|(_, crash)| crash)
    }

    pub(super) fn takes(&self, key: &str) -> Option<Duration> {
        let name = key.split(['#', '@']).next().unwrap_or_default();
        self.takes.get(key).or_else(|| self.takes.get(name)).copied()
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script")
            .field("fakes", &self.fakes.keys())
            .field("crashes", &self.crashes)
            .field("takes", &self.takes)
            .field("sendings", &self.sendings.iter().map(|sending| &sending.name).collect::<Vec<_>>())
            .finish()
    }
}

pub(super) fn fake_of<R: Serialize>(fake: impl Fn(&FakeCall<'_>) -> Option<R> + Send + Sync + 'static) -> Fake {
    Box::new(move |call, codec| {
        let returned = fake(call)?;
        let encoded = Payload::encode(codec, &returned, PAYLOAD_BYTES_MAX);
        Some(
            encoded
                .unwrap_or_else(|error| panic!("what the fake of {} returned can't be recorded: {error}", call.key())),
        )
    })
}

/// A call of a step that is faked; see [`Exploration::fake`](super::Exploration::fake).
#[derive(Debug)]
pub struct FakeCall<'a> {
    attempt: &'a Attempt,
}

impl<'a> FakeCall<'a> {
    pub(super) fn of(attempt: &'a Attempt) -> Self {
        Self { attempt }
    }

    /// What the body of the step would get: the run's id, the key, the idempotency key, and the dependencies.
    pub fn step(&self) -> &'a StepContext {
        &self.attempt.step
    }

    /// The step's key, such as `charge_card#2`.
    pub fn key(&self) -> &'a str {
        self.attempt.step.key()
    }

    /// Which attempt it is, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt.step.attempt()
    }

    /// The argument at this place, from 0, behind the [`StepContext`](crate::StepContext) if the step has one; inline
    /// steps have none.
    ///
    /// # Panics
    /// If there is none, or it is not a `T`.
    pub fn argument<T: DeserializeOwned>(&self, index: usize) -> T {
        let key = self.key();
        let arguments = self
            .attempt
            .arguments
            .as_ref()
            .unwrap_or_else(|error| panic!("the arguments of {key} are no JSON: {error}"));
        let argument = arguments.get(index).unwrap_or_else(|| panic!("{key} has no argument {index}: {arguments}"));
        serde_json::from_value(argument.clone())
            .unwrap_or_else(|error| panic!("argument {index} of {key} is not what was asked for: {error}"))
    }
}
