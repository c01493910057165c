//! R1, R14: what is said of a run when it is started: its tags, and what it belongs to.

use std::collections::BTreeMap;

use durable_runtime::{
    CORRELATION_ID_BYTES_MAX, Context, StartError, StepContext, TAG_NAME_BYTES_MAX, TAG_VALUE_BYTES_MAX, TAGS_MAX,
    durable,
};
use durable_tests::{Gates, World};

async fn passed_on(step: StepContext) -> String {
    step.dependency::<Gates>().pass(step.key()).await;
    step.correlation_id().to_owned()
}

/// What the code and two steps see of it.
#[durable]
async fn correlated(ctx: Context) -> (String, String, String) {
    (ctx.correlation_id().to_owned(), ctx.run(passed_on).await, ctx.run(passed_on).await)
}

#[durable]
async fn described(_ctx: Context, number: u32) -> u32 {
    number
}

fn tags<const COUNT: usize>(tags: [(&str, &str); COUNT]) -> BTreeMap<String, String> {
    tags.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

#[tokio::test]
async fn tags_are_recorded_and_shown_also_after_a_restart() {
    let world = World::default();
    let process = world.open().await;
    let start = process.runtime.start("r", described, 1);
    let start = start.tag("region", "south").tag("customer", "Ada Lovelace").tag("region", "north").tag("vip", "");
    start.await.unwrap().await.unwrap();
    let said = tags([("customer", "Ada Lovelace"), ("region", "north"), ("vip", "")]);
    assert_eq!(process.runtime.get("r").await.unwrap().unwrap().tags, said);
    process.crash().await;
    let process = world.open().await;
    assert_eq!(process.runtime.get("r").await.unwrap().unwrap().tags, said);
    let text = process.runtime.journal("r").await.unwrap().unwrap().to_lines();
    assert!(text.contains(r#""tags":{"customer":"Ada Lovelace","region":"north","vip":""}"#), "{text}");
}

#[tokio::test]
async fn what_a_run_belongs_to_is_seen_by_its_code_and_its_steps_in_every_life() {
    let world = World::default();
    world.gates.open("passed_on");
    let process = world.open().await;
    process.runtime.start("r", correlated, ()).correlation_id("order-3").await.unwrap().id();
    process.runtime.start("s", correlated, ()).await.unwrap().id();
    world.gates.arrived("passed_on#2", 2).await;
    process.crash().await;
    world.gates.open("passed_on#2");
    let process = world.open().await;
    for (run, belongs_to) in [("r", "order-3"), ("s", "s")] {
        let seen = process.runtime.attach(run, correlated).await.unwrap().await.unwrap();
        assert_eq!(seen, (belongs_to.to_owned(), belongs_to.to_owned(), belongs_to.to_owned()));
        assert_eq!(process.runtime.get(run).await.unwrap().unwrap().correlation_id, belongs_to);
    }
}

#[tokio::test]
async fn a_start_that_attaches_changes_nothing_of_what_was_said() {
    let world = World::default();
    let process = world.open().await;
    let start = process.runtime.start("r", described, 1);
    start.tag("region", "north").correlation_id("order-3").await.unwrap().await.unwrap();
    let again = process.runtime.start("r", described, 1);
    assert_eq!(again.tag("region", "south").tag("vip", "yes").correlation_id("o").await.unwrap().await.unwrap(), 1);
    let info = process.runtime.get("r").await.unwrap().unwrap();
    assert_eq!((info.tags, &*info.correlation_id), (tags([("region", "north")]), "order-3"));
}

#[tokio::test]
async fn what_can_not_be_recorded_of_a_run_starts_nothing() {
    let world = World::default();
    let process = world.open().await;
    let runtime = &process.runtime;
    let start = || runtime.start("r", described, 1);
    let many = |count: usize| (0..count).fold(start(), |start, number| start.tag(format!("{number}"), ""));
    let refused = [
        (start().tag("", "v"), "its name has 0 bytes, and must have 1 to 128"),
        (start().tag("n".repeat(TAG_NAME_BYTES_MAX + 1), ""), "its name has 129 bytes, and must have 1 to 128"),
        (start().tag("n", "v".repeat(TAG_VALUE_BYTES_MAX + 1)), "its value has 1025 bytes, and may have 1024"),
        (many(TAGS_MAX + 1), "a run has at most 32 tags"),
        // Of two mistakes the first is told, and what follows does not heal it.
        (start().tag("", "v").tag("fine", "v").correlation_id(""), "its name has 0 bytes, and must have 1 to 128"),
    ];
    for (start, expected) in refused {
        match start.await {
            Err(StartError::Tag { why, .. }) => assert_eq!(why, expected),
            other => panic!("{other:?}"),
        }
    }
    for id in [String::new(), "i".repeat(CORRELATION_ID_BYTES_MAX + 1)] {
        let refused = start().correlation_id(id).await;
        assert!(matches!(&refused, Err(StartError::CorrelationId { .. })), "{refused:?}");
    }
    assert_eq!(runtime.get("r").await.unwrap(), None);
    assert_eq!(runtime.stats().commits, 0);

    // At the limits, and a second value for one of as many tags as there can be.
    let (name, value) = ("n".repeat(TAG_NAME_BYTES_MAX), "v".repeat(TAG_VALUE_BYTES_MAX));
    let largest = many(TAGS_MAX - 1).tag(&*name, "").tag(&*name, &*value);
    largest.correlation_id("i".repeat(CORRELATION_ID_BYTES_MAX)).await.unwrap().await.unwrap();
    let info = runtime.get("r").await.unwrap().unwrap();
    assert_eq!((info.tags.len(), &info.tags[&name], info.correlation_id.len()), (TAGS_MAX, &value, 1_024));
}
