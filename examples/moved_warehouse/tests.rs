//! Crash tests. Time is virtual: days take as long as microseconds.

use std::sync::Arc;
use std::time::Duration;

use durable_runtime::testing::{self, Exploration, LossyStore, ManualClock};
use durable_runtime::{Clock as _, RunError, RunStatus, Runtime};

use crate::order::{DAY, NotShipped, ships_when_paid};
use crate::warehouse::Warehouse;

fn order() -> Exploration<ships_when_paid> {
    testing::explore(ships_when_paid, "chair".to_owned()).dependency_with(|| Warehouse::with(10))
}

#[test]
fn what_is_paid_in_time_is_shipped_once_wherever_the_process_dies() {
    order().signal_after(DAY, "payment", "by card").check(|world| {
        assert_eq!(*world.output(), Ok("by card".to_owned()));
        let warehouse = world.dependency::<Warehouse>();
        assert_eq!((warehouse.shipped(), warehouse.in_stock()), (vec!["chair".to_owned()], 9));
    });
}

#[test]
fn what_is_paid_too_late_is_released_wherever_the_process_dies() {
    order().signal_after(3 * DAY, "payment", "by card").check(|world| {
        assert_eq!(*world.output(), Err(NotShipped::NotPaid));
        let warehouse = world.dependency::<Warehouse>();
        assert_eq!((warehouse.shipped(), warehouse.in_stock()), (vec![], 10));
    });
}

async fn open(warehouse: &Warehouse, clock: &ManualClock, store: LossyStore) -> Runtime {
    let builder = Runtime::builder().dependency(warehouse.clone()).clock(clock.clone());
    builder.open_store(Arc::new(store)).await.expect("the store opens")
}

/// An order that was paused in an earlier process, and what is in the warehouse.
async fn paused(is_paid: bool, clock: &ManualClock) -> (Runtime, Warehouse) {
    let (warehouse, store) = (Warehouse::with(10), LossyStore::default());
    let runtime = open(&warehouse, clock, store.clone()).await;
    let run = runtime.start("order", ships_when_paid, "chair".to_owned()).timeout(10 * DAY).await.expect("it starts");
    warehouse.has_reserved(1).await;
    runtime.pause(run.id(), "the warehouse moves").await.expect("it is paused");
    if is_paid {
        runtime.signal(run.id(), "payment", "by card").await.expect("the payment is taken");
    }
    runtime.shutdown(Duration::ZERO).await;
    (open(&warehouse, clock, store.reopen()).await, warehouse)
}

#[tokio::test]
async fn a_paused_order_goes_on_when_it_is_resumed_with_what_came_in_time() {
    for (is_paid, expected) in [(true, Ok("by card".to_owned())), (false, Err(NotShipped::NotPaid))] {
        let clock = ManualClock::default();
        let (runtime, warehouse) = paused(is_paid, &clock).await;
        clock.advance(3 * DAY);
        let info = runtime.get("order").await.expect("the store is well").expect("it is there");
        assert_eq!((info.status, warehouse.in_stock()), (RunStatus::Halted, 9));
        runtime.resume("order").await.expect("it is resumed");
        assert_eq!(
            runtime.attach("order", ships_when_paid).await.expect("it is there").await.expect("it ends"),
            expected
        );
        assert_eq!((warehouse.shipped().len(), warehouse.in_stock()), if is_paid { (1, 9) } else { (0, 10) });
    }
}

#[tokio::test]
async fn a_paused_order_is_cancelled_when_it_is_resumed_after_its_ten_days() {
    let clock = ManualClock::default();
    let (runtime, warehouse) = paused(true, &clock).await;
    clock.advance(11 * DAY);
    runtime.resume("order").await.expect("it is resumed");
    let ended = runtime.attach("order", ships_when_paid).await.expect("it is there").await;
    assert!(matches!(&ended, Err(RunError::Cancelled { .. })), "{ended:?} at {}", clock.now());
    assert_eq!((warehouse.shipped().len(), warehouse.in_stock()), (0, 10));
}
