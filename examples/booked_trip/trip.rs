//! The durable function, and those outside with whom it books.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use durable_runtime::{Context, Failure, StepContext, durable};
use parking_lot::Mutex;

/// Who sells flights, rooms and cars: each knows a booking by its idempotency key. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Sellers {
    /// How long each takes to answer.
    takes: Duration,
    bookings: Arc<Mutex<BTreeMap<String, String>>>,
    /// Every word that was said to them, in order.
    told: Arc<Mutex<Vec<String>>>,
}

impl Sellers {
    /// Those that take so long to answer.
    pub fn slow(takes: Duration) -> Self {
        Self { takes, ..Self::default() }
    }

    /// What is booked now.
    pub fn bookings(&self) -> Vec<String> {
        self.bookings.lock().values().cloned().collect()
    }

    /// Every word that was said to them.
    pub fn told(&self) -> Vec<String> {
        self.told.lock().clone()
    }

    async fn book(&self, key: &str, what: &str) -> Result<String, Failure> {
        tokio::time::sleep(self.takes).await;
        if what == "a car on the moon" {
            return Err(Failure::new(format!("nobody has {what}")).permanent());
        }
        self.told.lock().push(format!("book {what}"));
        self.bookings.lock().insert(key.to_owned(), what.to_owned());
        Ok(key.to_owned())
    }

    async fn cancel(&self, booking: &str) {
        tokio::time::sleep(self.takes).await;
        let was = self.bookings.lock().remove(booking);
        if let Some(was) = was {
            self.told.lock().push(format!("cancel {was}"));
        }
    }
}

async fn book(step: StepContext, what: &str) -> Result<String, Failure> {
    step.dependency::<Sellers>().book(step.idempotency_key(), what).await
}

async fn cancel_booking(step: StepContext, booking: &str) {
    step.dependency::<Sellers>().cancel(booking).await;
}

/// Books all of it, or nothing.
#[durable]
pub async fn books_a_trip(ctx: Context, parts: Vec<String>) -> Result<usize, Failure> {
    for part in &parts {
        let booking = ctx.run(book, part).await?;
        ctx.undo(cancel_booking, &booking);
    }
    Ok(parts.len())
}
