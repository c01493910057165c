//! The crash explorer: a durable function, in a world of its own for everything that can go wrong.

mod clock;
mod disk;
mod judge;
mod mishap;
mod play;
mod quiet;
mod report;
mod schedule;
mod script;
mod search;
mod stage;
mod timeline;
mod world;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

pub use mishap::Crash;
pub use report::Explored;
pub use script::FakeCall;
pub use timeline::Timeline;
pub use world::World;

use script::Script;

use crate::context::Dependencies;
use crate::engine::Limits;
use crate::function::DurableFunction;
use crate::id::RunId;
use crate::payload::{Codec, PAYLOAD_BYTES_MAX, Payload};

/// Makes one dependency of a world.
type Make = Box<dyn Fn(&mut Dependencies) + Send + Sync>;

pub fn explore<F: DurableFunction>(function: F, input: F::Input) -> Exploration<F> {
    let input = Payload::encode(Codec::Json, &input, PAYLOAD_BYTES_MAX)
        .unwrap_or_else(|error| panic!("the input of {} can't be recorded: {error}", F::NAME));
    let id = RunId::new(F::NAME).unwrap_or_else(|error| panic!("{error}"));
    Exploration {
        function,
        input,
        id,
        make: Vec::new(),
        script: Arc::new(Script::default()),
        codec: Codec::default(),
        limits: Limits::default(),
        depth: 2,
        worlds_max: 20_000,
        seeds: 0..200,
    }
}

#[must_use = "nothing is explored until `check` is called, and nothing run until `run` is"]
pub struct Exploration<F: DurableFunction> {
    function: F,
    input: Payload,
    id: RunId,
    make: Vec<Make>,
    script: Arc<Script>,
    codec: Codec,
    limits: Limits,
    depth: u32,
    worlds_max: usize,
    seeds: std::ops::Range<u64>,
}

impl<F: DurableFunction> Exploration<F> {
    /// Gives the steps something to work with, as [`RuntimeBuilder::dependency`](crate::RuntimeBuilder::dependency)
    /// does: a fake of what is outside. It outlives the processes of a world, and each world has a clone of its own.
    pub fn dependency<T: Clone + Send + Sync + 'static>(self, dependency: T) -> Self {
        self.dependency_with(move || dependency.clone())
    }

    /// Like [`dependency`](Self::dependency), for what can't be cloned: each world calls `make`.
    pub fn dependency_with<T: Send + Sync + 'static>(mut self, make: impl Fn() -> T + Send + Sync + 'static) -> Self {
        self.make.push(Box::new(move |dependencies| dependencies.insert(Arc::new(make()))));
        self
    }

    /// Calls this instead of the body of the step with this name, or, if that is more precise, with this key.
    pub fn fake<R: Serialize>(
        self,
        step: impl Into<String>,
        fake: impl Fn(&FakeCall) -> R + Send + Sync + 'static,
    ) -> Self {
        self.fake_some(step, move |call| Some(fake(call)))
    }

    /// Like [`fake`](Self::fake); where it answers `None`, the body of the step is called.
    pub fn fake_some<R: Serialize>(
        mut self,
        step: impl Into<String>,
        fake: impl Fn(&FakeCall) -> Option<R> + Send + Sync + 'static,
    ) -> Self {
        self.script_mut().fakes.insert(step.into(), script::fake_of(fake));
        self
    }

    /// The step with this name or key takes so long, in virtual time, behind what its body takes.
    pub fn takes(mut self, step: impl Into<String>, duration: Duration) -> Self {
        self.script_mut().takes.insert(step.into(), duration);
        self
    }

    /// The process dies there, once: when the step with this key comes to it.
    pub fn crash(mut self, crash: Crash, key: impl Into<String>) -> Self {
        self.script_mut().crashes.push((crash, key.into()));
        self
    }

    fn script_mut(&mut self) -> &mut Script {
        Arc::get_mut(&mut self.script).unwrap_or_else(|| panic!("the script is shared only while worlds are played"))
    }

    /// The id of the run; the function's name, unless set.
    pub fn id(mut self, id: impl AsRef<str>) -> Self {
        self.id = RunId::new(id).unwrap_or_else(|error| panic!("{error}"));
        self
    }

    /// The limits of the runtime.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How values are encoded.
    pub fn codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    /// How many crashes follow each other in every possible way: 2 unless set. With 1, recovery itself is not crashed.
    pub fn depth(mut self, crashes: u32) -> Self {
        self.depth = crashes;
        self
    }

    /// How many worlds there are at the most for each number of crashes: 20,000 unless set. If more are possible, as many
    /// are chosen among them, and [`Explored`] says so.
    pub fn worlds_max(mut self, worlds: usize) -> Self {
        self.worlds_max = worlds;
        self
    }

    /// The seeds of random worlds: 0..200 unless set.
    pub fn seeds(mut self, seeds: std::ops::Range<u64>) -> Self {
        self.seeds = seeds;
        self
    }

    fn dependencies(&self) -> Dependencies {
        let mut dependencies = Dependencies::default();
        self.make.iter().for_each(|make| make(&mut dependencies));
        dependencies
    }
}

impl<F: DurableFunction> fmt::Debug for Exploration<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exploration").field("function", &F::NAME).field("script", &self.script).finish_non_exhaustive()
    }
}
