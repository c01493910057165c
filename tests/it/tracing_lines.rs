//! What is logged: each line of a function once, and every line with the run and the step it belongs to.

use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use durable_runtime::{Context, StepContext, durable};
use durable_tests::{Gates, World};
use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context as LayerContext, Layer, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Scope};

/// Keeps the lines that this file logs: the spans around each, and its message.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

/// One subscriber for the whole program, as applications have it: tracing treats that case in a way of its own.
static LINES: LazyLock<Lines> = LazyLock::new(|| {
    let lines = Lines::default();
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines.clone())).expect("no other one");
    lines
});

impl Lines {
    /// The lines of a run since they were taken last, without what says which run it is.
    fn take(&self, run: &str) -> Vec<String> {
        self.take_of(run, run)
    }

    fn take_of(&self, run: &str, correlation_id: &str) -> Vec<String> {
        let prefix = format!("run id={run} function=\"logged\" correlation_id=\"{correlation_id}\" > ");
        let mut lines = self.0.lock();
        let (taken, kept) =
            std::mem::take(&mut *lines).into_iter().partition::<Vec<_>, _>(|line| line.starts_with(&prefix));
        *lines = kept;
        taken.into_iter().map(|line| line[prefix.len()..].to_owned()).collect()
    }

    fn messages(&self, run: &str) -> Vec<String> {
        self.take(run).into_iter().filter_map(|line| line.rsplit(" > ").next().map(str::to_owned)).collect()
    }
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        }
        .expect("a String takes everything");
    }
}

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: LayerContext<'_, S>) {
        let mut fields = Fields(attributes.metadata().name().to_owned());
        attributes.record(&mut fields);
        context.span(id).expect("a new span").extensions_mut().insert(fields);
    }

    fn on_event(&self, event: &Event<'_>, context: LayerContext<'_, S>) {
        if event.metadata().target() != module_path!() {
            return;
        }
        let mut line = Fields(String::new());
        for span in context.event_scope(event).into_iter().flat_map(Scope::from_root) {
            if let Some(Fields(fields)) = span.extensions().get() {
                write!(line.0, "{fields} > ").expect("a String takes everything");
            }
        }
        event.record(&mut line);
        self.0.lock().push(line.0);
    }
}

async fn logging(step: StepContext, value: u32) -> u32 {
    tracing::info!("in the step");
    step.dependency::<Gates>().pass(step.key()).await;
    tracing::info!("still in the step");
    value
}

#[durable]
async fn logged(ctx: Context) -> u32 {
    tracing::info!("first");
    // As after a deploy that added a line.
    if HAS_NEW_LINE.load(Ordering::SeqCst) && ["deployed", "later"].contains(&ctx.run_id().as_str()) {
        tracing::info!("new");
    }
    let one = ctx.run(logging, 1).await;
    tracing::info!("second");
    let two = ctx.run(logging, 2).await;
    tracing::event!(Level::WARN, "third");
    let three = ctx.run(logging, 3).await;
    tracing::info!("fourth");
    one + two + three
}

#[tokio::test]
async fn lines_before_the_last_checkpoint_are_not_repeated_and_those_behind_it_are_not_lost() {
    let lines = &*LINES;
    let world = World::default();
    world.gates.open("logging");
    let process = world.open().await;
    process.runtime.start("quiet", logged, ()).await.unwrap().id();
    world.gates.arrived("logging#2", 1).await;
    process.crash().await;
    assert_eq!(lines.messages("quiet"), ["first", "in the step", "still in the step", "second", "in the step"]);

    world.gates.open("logging#2");
    let process = world.open().await;
    world.gates.arrived("logging#3", 1).await;
    process.crash().await;
    // "second" was logged by a life that recorded nothing after it: it may have been lost with it.
    assert_eq!(lines.messages("quiet"), ["second", "in the step", "still in the step", "third", "in the step"]);

    world.gates.open("logging#3");
    let process = world.open().await;
    assert_eq!(process.runtime.attach("quiet", logged).await.unwrap().await.unwrap(), 6);
    assert_eq!(lines.messages("quiet"), ["third", "in the step", "still in the step", "fourth"]);
    process.runtime.start("quiet", logged, ()).await.unwrap().await.unwrap();
    assert_eq!(lines.messages("quiet"), [""; 0], "attaching to an ended run logged its lines again");
}

#[tokio::test]
async fn every_line_says_which_run_and_step_it_is_from() {
    let lines = &*LINES;
    let world = World::default();
    let process = world.open().await;
    let runs = ["a", "b"].map(|id| process.runtime.start(id, logged, ()).into_future());
    let runs = futures::future::try_join_all(runs).await.unwrap();
    world.gates.arrived("logging", 2).await;
    for gate in ["logging", "logging#2", "logging#3"] {
        world.gates.open(gate);
    }
    for run in runs {
        run.await.unwrap();
    }
    for id in ["a", "b"] {
        let expected = [
            "first",
            "step key=logging attempt=1 > in the step",
            "step key=logging attempt=1 > still in the step",
            "second",
            "step key=logging#2 attempt=1 > in the step",
            "step key=logging#2 attempt=1 > still in the step",
            "third",
            "step key=logging#3 attempt=1 > in the step",
            "step key=logging#3 attempt=1 > still in the step",
            "fourth",
        ];
        assert_eq!(lines.take(id), expected);
    }
}

static HAS_NEW_LINE: AtomicBool = AtomicBool::new(false);

#[tokio::test]
async fn a_line_that_is_first_reached_on_replay_is_logged_by_later_runs() {
    let lines = &*LINES;
    let world = World::default();
    world.gates.open("logging");
    let process = world.open().await;
    process.runtime.start("deployed", logged, ()).await.unwrap().id();
    world.gates.arrived("logging#2", 1).await;
    process.crash().await;
    for gate in ["logging#2", "logging#3"] {
        world.gates.open(gate);
    }
    lines.take("deployed");
    HAS_NEW_LINE.store(true, Ordering::SeqCst);
    let process = world.open().await;
    assert_eq!(process.runtime.attach("deployed", logged).await.unwrap().await.unwrap(), 6);
    assert!(!lines.messages("deployed").contains(&"new".to_owned()), "it lies before the last checkpoint");
    process.runtime.start("later", logged, ()).await.unwrap().await.unwrap();
    assert_eq!(lines.messages("later").iter().filter(|line| *line == "new").count(), 1);
    HAS_NEW_LINE.store(false, Ordering::SeqCst);
}

/// R9.
#[tokio::test]
async fn verifying_logs_nothing() {
    let lines = &*LINES;
    let world = World::default();
    world.gates.open("logging");
    let process = world.open().await;
    process.runtime.start("verified", logged, ()).await.unwrap().id();
    world.gates.arrived("logging#2", 1).await;
    lines.take("verified");
    assert!(process.runtime.verify("verified").await.unwrap().fits());
    // It would have passed "first" and, behind everything that is recorded, "second"; in no run's span.
    assert!(!lines.0.lock().iter().any(|line| !line.starts_with("run id=")), "{:?}", lines.0.lock());
    assert_eq!(lines.messages("verified"), [""; 0]);
}

/// Logs when it is dropped.
struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        tracing::info!("a destructor of the verified");
    }
}

#[durable]
async fn logging_destructor(ctx: Context) -> u32 {
    let _guard = Guard;
    ctx.run(crate::steps::gated, 1).await
}

#[tokio::test]
async fn verifying_logs_nothing_when_the_code_is_dropped() {
    let lines = &*LINES;
    let world = World::default();
    let process = world.open().await;
    process.runtime.start("destructor", logging_destructor, ()).await.unwrap().id();
    world.gates.arrived("gated", 1).await;
    assert!(process.runtime.verify("destructor").await.unwrap().fits());
    assert!(!lines.0.lock().iter().any(|line| line.contains("a destructor")), "{:?}", lines.0.lock());
}

#[tokio::test]
async fn every_line_says_what_its_run_belongs_to() {
    let lines = &*LINES;
    let world = World::default();
    for gate in ["logging", "logging#2", "logging#3"] {
        world.gates.open(gate);
    }
    let process = world.open().await;
    process.runtime.start("correlated", logged, ()).correlation_id("request-1").await.unwrap().await.unwrap();
    assert_eq!(lines.take_of("correlated", "request-1").len(), 10);
    assert_eq!(lines.take("correlated"), [""; 0]);
}
