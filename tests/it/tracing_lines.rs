//! What is logged: each line of a function once, and every line with the run and the step it belongs to.

use std::fmt::{self, Write as _};
use std::sync::Arc;

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

impl Lines {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }

    fn messages(&self) -> Vec<String> {
        self.take().into_iter().filter_map(|line| line.rsplit(" > ").next().map(str::to_owned)).collect()
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
    let lines = Lines::default();
    let _captured = tracing::subscriber::set_default(tracing_subscriber::registry().with(lines.clone()));
    let world = World::default();
    world.gates.open("logging");
    let process = world.open().await;
    process.runtime.start("r", logged, ()).await.unwrap().id();
    world.gates.arrived("logging#2", 1).await;
    process.crash().await;
    assert_eq!(lines.messages(), ["first", "in the step", "still in the step", "second", "in the step"]);

    world.gates.open("logging#2");
    let process = world.open().await;
    world.gates.arrived("logging#3", 1).await;
    process.crash().await;
    // "second" was logged by a life that recorded nothing after it: it may have been lost with it.
    assert_eq!(lines.messages(), ["second", "in the step", "still in the step", "third", "in the step"]);

    world.gates.open("logging#3");
    let process = world.open().await;
    assert_eq!(process.runtime.attach("r", logged).await.unwrap().await.unwrap(), 6);
    assert_eq!(lines.messages(), ["third", "in the step", "still in the step", "fourth"]);
    process.runtime.start("r", logged, ()).await.unwrap().await.unwrap();
    assert_eq!(lines.messages(), [""; 0], "attaching to an ended run logged its lines again");
}

#[tokio::test]
async fn every_line_says_which_run_and_step_it_is_from() {
    let lines = Lines::default();
    let _captured = tracing::subscriber::set_default(tracing_subscriber::registry().with(lines.clone()));
    let world = World::default();
    let process = world.open().await;
    let runs = ["a", "b"].map(|id| process.runtime.start(id, logged, ()));
    let runs = futures::future::try_join_all(runs).await.unwrap();
    world.gates.arrived("logging", 2).await;
    for gate in ["logging", "logging#2", "logging#3"] {
        world.gates.open(gate);
    }
    for run in runs {
        run.await.unwrap();
    }
    let lines = lines.take();
    for id in ["a", "b"] {
        let run = format!("run id={id} function=\"logged\" > ");
        let of_run: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix(&run)).collect();
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
        assert_eq!(of_run, expected, "{lines:#?}");
    }
    assert_eq!(lines.len(), 20);
}
