//! The durable function, and its schedule.

use durable_runtime::{CatchUp, Context, Cron, InvalidCron, Overlap, Schedule, StepContext, Timestamp, durable};

use crate::account::{Account, Statement};

/// What the ids of its runs begin with.
pub const NAME: &str = "nightly";

async fn look_up(step: StepContext, at: Timestamp) -> Statement {
    step.dependency::<Account>().statement(at)
}

async fn send(step: StepContext, statement: Statement) {
    step.dependency::<Account>().send(step.idempotency_key(), statement);
}

/// Sends a statement of what was in the account then, whenever that is done.
#[durable]
pub async fn states(ctx: Context, at: Timestamp) -> Statement {
    let statement = ctx.run(look_up, at).await;
    ctx.run(send, statement).await;
    statement
}

/// Half past two, when the day's payments are booked. Once a year there is no such time, and once a year it comes twice.
pub fn nights() -> Result<Cron, InvalidCron> {
    Cron::new("30 2 * * *")?.time_zone("Europe/Berlin")
}

/// Every night, also those in which no process was there.
pub fn schedule() -> Result<Schedule, InvalidCron> {
    let schedule = Schedule::new(NAME, nights()?, states, |due| due);
    // The law asks for each statement, but not for one that is a month late. None needs the one before: those that are made up for
    // are made at once, and none is left out because another one isn't done.
    Ok(schedule.catch_up(CatchUp::All { at_most: 31 }).overlap(Overlap::Allow))
}
