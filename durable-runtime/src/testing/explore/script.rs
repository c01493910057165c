//! What a test says of its world: fakes, crashes and times.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::mishap::Crash;
use crate::RunId;
use crate::context::Attempt;
use crate::payload::{Codec, PAYLOAD_BYTES_MAX, Payload};

/// Returns what the step does, or nothing if the real one is to be called.
type Fake = Box<dyn Fn(&FakeCall, Codec) -> Option<Payload> + Send + Sync>;

/// What a test says of its world.
#[derive(Default)]
pub(super) struct Script {
    pub(super) fakes: BTreeMap<String, Fake>,
    pub(super) crashes: Vec<(Crash, String)>,
    pub(super) takes: BTreeMap<String, Duration>,
}

impl Script {
    pub(super) fn fake(&self, call: FakeCall, codec: Codec) -> Option<Payload> {
        let name = call.key.split('#').next().unwrap_or_default();
        // A key is that of one call, a name that of all.
        let fake = self.fakes.get(&call.key).or_else(|| self.fakes.get(name))?;
        fake(&call, codec)
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

    pub(super) fn takes(&self, key: &str) -> Option<Duration> {
        let name = key.split('#').next().unwrap_or_default();
        self.takes.get(key).or_else(|| self.takes.get(name)).copied()
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script")
            .field("fakes", &self.fakes.keys())
            .field("crashes", &self.crashes)
            .field("takes", &self.takes)
            .finish()
    }
}

pub(super) fn fake_of<R: Serialize>(fake: impl Fn(&FakeCall) -> Option<R> + Send + Sync + 'static) -> Fake {
    Box::new(move |call, codec| {
        let returned = fake(call)?;
        let encoded = Payload::encode(codec, &returned, PAYLOAD_BYTES_MAX);
        Some(
            encoded.unwrap_or_else(|error| panic!("what the fake of {} returned can't be recorded: {error}", call.key)),
        )
    })
}

/// A call of a step that is faked; see [`Exploration::fake`](super::Exploration::fake).
#[derive(Debug)]
pub struct FakeCall {
    run: RunId,
    key: String,
    attempt: u32,
    idempotency_key: String,
    arguments: Result<Value, String>,
}

impl FakeCall {
    pub(super) fn of(attempt: &Attempt) -> Self {
        let step = &attempt.step;
        Self {
            run: step.run_id().clone(),
            key: step.key().to_owned(),
            attempt: step.attempt(),
            idempotency_key: step.idempotency_key().to_owned(),
            arguments: attempt.arguments.clone(),
        }
    }

    /// The run.
    pub fn run_id(&self) -> &RunId {
        &self.run
    }

    /// The step's key, such as `charge_card#2`.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Which attempt it is, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// `<run id>:<key>`.
    pub fn idempotency_key(&self) -> &str {
        &self.idempotency_key
    }

    /// The argument at this place, from 0, behind the [`StepContext`](crate::StepContext) if the step has one; inline
    /// steps have none.
    ///
    /// # Panics
    /// If there is none, or it is not a `T`.
    pub fn argument<T: DeserializeOwned>(&self, index: usize) -> T {
        let key = &self.key;
        let arguments =
            self.arguments.as_ref().unwrap_or_else(|error| panic!("the arguments of {key} are no JSON: {error}"));
        let argument = arguments.get(index).unwrap_or_else(|| panic!("{key} has no argument {index}: {arguments}"));
        serde_json::from_value(argument.clone())
            .unwrap_or_else(|error| panic!("argument {index} of {key} is not what was asked for: {error}"))
    }
}
