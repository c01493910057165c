//! One world, as it is written.

use std::time::Duration;

use durable_runtime::testing::{self, Crash};
use durable_runtime::{Context, Failure, durable};
use expect_test::expect;

use crate::gateway::{Gateway, order, paid_order};

#[test]
fn a_world_is_told_line_by_line() {
    let world = testing::explore(paid_order, order())
        .fake("charge_card", |call| match call.attempt() {
            1 => Err(Failure::new("declined")),
            _ => Ok(format!("faked {} under {}", call.argument::<u32>(0), call.step().idempotency_key())),
        })
        .id("ord_1")
        .crash(Crash::AfterEffect, "price")
        .crash(Crash::Acknowledged, "charge_card")
        .run();
    expect![[r#"
        life 1
               0 ms  recorded: Started
               0 ms  price acts
               0 ms  price returned 750
               0 ms  CRASH when the body of price has returned, and nothing of that is recorded
        life 2
               0 ms  recorded: Recovered
               0 ms  price acts
               0 ms  price returned 750
               0 ms  recorded: StepCompleted price
               0 ms  charge_card acts
               0 ms  charge_card returned {"Err":{"message":"declined","causes":[],"permanent":false}}
               0 ms  recorded: AttemptFailed charge_card, suspended
            1000 ms  recorded: woken
            1000 ms  charge_card acts (attempt 2)
            1000 ms  charge_card returned {"Ok":"faked 750 under ord_1:charge_card"}
            1000 ms  recorded: StepCompleted charge_card
            1000 ms  CRASH when the run was told that this is synced, and before it goes on: StepCompleted charge_card
        life 3
            1000 ms  recorded: Recovered
            1000 ms  label acts
            1000 ms  label returned "label of ord_1"
            1000 ms  save acts
            1000 ms  save returned 33
            1000 ms  recorded: StepCompleted label, StepCompleted save, Finished
            1000 ms  the run returned
    "#]]
    .assert_eq(&world.timeline().to_string());
    expect![[r#"
        started paid_order ["ord_1",3]
        recovered
        price [3] = 750
        charge_card [750]: attempt 1 {"Err":{"message":"declined","causes":[],"permanent":false}}, again after 1s
        charge_card = {"Ok":"faked 750 under ord_1:charge_card"}
        recovered
        label ["ord_1"] = "label of ord_1"
        save = 33
        finished {"Ok":"faked 750 under ord_1:charge_card, label of ord_1, 33"}
    "#]]
    .assert_eq(&world.journal().outline());
    assert_eq!((world.lives(), world.executions("price"), world.executions("charge_card")), (3, 2, 2));
}

/// Each crash is where it says, once: what is recorded by then is not done again.
#[test]
fn crashes_are_where_the_script_says() {
    let lives_and_executions = |crash| {
        let world =
            testing::explore(paid_order, order()).dependency_with(Gateway::default).crash(crash, "charge_card").run();
        let recovered = world.journal().outline().matches("recovered").count();
        (world.lives(), recovered, world.executions("price"), world.executions("charge_card"))
    };
    assert_eq!(lives_and_executions(Crash::BeforeEffect), (2, 1, 1, 1));
    assert_eq!(lives_and_executions(Crash::WhileWaiting), (2, 1, 1, 2));
    assert_eq!(lives_and_executions(Crash::AfterEffect), (2, 1, 1, 2));
    assert_eq!(lives_and_executions(Crash::BeforeWrite), (2, 1, 1, 2));
    assert_eq!(lives_and_executions(Crash::Unsynced), (2, 1, 1, 2));
    assert_eq!(lives_and_executions(Crash::Unacknowledged), (2, 1, 1, 1));
    assert_eq!(lives_and_executions(Crash::Acknowledged), (2, 1, 1, 1));
}

#[durable]
async fn waits_for_the_slower(ctx: Context) -> String {
    let (mail, phone) = (ctx.run("mail", async || "mail".to_owned()), ctx.run("phone", async || "phone".to_owned()));
    tokio::select! {
        first = mail => first,
        first = phone => first,
    }
}

#[test]
fn a_month_passes_at_once() {
    let month = Duration::from_hours(24 * 30);
    let world = testing::explore(waits_for_the_slower, ()).takes("mail", 2 * month).takes("phone", month).run();
    assert_eq!(world.output(), "phone");
    assert!(world.timeline().to_string().contains(&format!("{} ms", month.as_millis())), "{}", world.timeline());
}

/// Fakes can use what the world has, and stand for one call of several.
#[test]
fn fakes_work_with_dependencies() {
    let world = testing::explore(paid_order, order())
        .dependency_with(Gateway::default)
        .fake_some("save", |call| {
            let gateway = call.step().dependency::<Gateway>();
            Some(usize::try_from(gateway.charges()).expect("few"))
        })
        .run();
    assert_eq!(*world.output(), Ok("charge paid_order:charge_card for 750, label of ord_1, 1".to_owned()));
}
