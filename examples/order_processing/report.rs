//! What is printed at the end.

use std::error::Error;
use std::time::Duration;

use durable_runtime::{Runtime, StepInfo, StepStatus};

use crate::append_log::Tail;
use crate::folder::Folder;
use crate::gateway::{Outcome, Statistics};
use crate::orders::Order;
use crate::proof::{Claim, Evidence};
use crate::records::Records;
use crate::replays;
use crate::witness::Execution;

/// All there is to say about a finished demonstration.
#[derive(Debug)]
pub struct Report<'a> {
    pub orders: &'a [Order],
    pub records: &'a Records,
    pub statistics: Statistics,
    pub kills_wanted: u64,
    pub kills: u64,
}

impl Report<'_> {
    /// Prints the report and returns whether all claims hold.
    pub async fn print(&self, folder: &Folder) -> Result<bool, Box<dyn Error>> {
        let rows = self.records.table.rows()?;
        let Records { ledger, confirmations, table, .. } = self.records;
        let evidence = Evidence { orders: self.orders, ledger, rows: &rows, confirmations };
        let executions = Tail::<Execution>::new(&folder.executions()).read_new()?;
        let declined = ledger.iter().filter(|entry| entry.outcome == Outcome::Declined).count();
        let Statistics { requests, repeated, failed_before, lost_answers } = self.statistics;
        let revenue = evidence.revenue();

        println!();
        println!("orders    {} processed: {} paid, {declined} declined", ledger.len(), ledger.len() - declined);
        println!("revenue   {} cents ({revenue})", revenue.0);
        println!("worker    killed {0} times, restarted {0} times", self.kills);
        println!(
            "gateway   {requests} requests, {} answered with 503 ({failed_before} before charging, {lost_answers} after), \
             {repeated} answered from the ledger",
            failed_before + lost_answers
        );
        println!("table     {} rows, {} of them written again", rows.len(), table.repeated_writes()?);
        println!("queue     {} messages", confirmations.len());
        println!(
            "steps     {} recorded, {} executions with all retries, {} replays instead of executions",
            self.recorded_steps(folder).await?,
            executions.len(),
            replays::count(&executions)
        );
        println!();
        let mut claims = evidence.claims();
        claims.push(replays::claim(&executions));
        claims.push(self.killed_as_often_as_wanted());
        claims.iter().for_each(print_claim);
        Ok(claims.iter().all(|claim| claim.violations.is_empty()))
    }

    fn killed_as_often_as_wanted(&self) -> Claim {
        let violations =
            (self.kills < self.kills_wanted).then(|| format!("the work was done after {} kills", self.kills));
        Claim { text: "every kill hit a worker that was at work", violations: violations.into_iter().collect() }
    }

    /// How many steps have an outcome in the journal.
    async fn recorded_steps(&self, folder: &Folder) -> Result<usize, Box<dyn Error>> {
        let runtime = Runtime::open(folder.journal()).await?;
        let mut recorded = 0;
        for order in self.orders {
            let run = runtime.get(&order.order_id).await?;
            recorded += run.map_or(0, |run| run.steps.iter().filter(|step| has_outcome(step)).count());
        }
        runtime.shutdown(Duration::ZERO).await;
        Ok(recorded)
    }
}

fn has_outcome(step: &StepInfo) -> bool {
    matches!(step.status, StepStatus::Completed | StepStatus::Failed)
}

fn print_claim(claim: &Claim) {
    const PRINTED_MAX: usize = 10;
    println!("{} {}", if claim.violations.is_empty() { "proved:" } else { "FAILED:" }, claim.text);
    for violation in claim.violations.iter().take(PRINTED_MAX) {
        println!("        {violation}");
    }
    if claim.violations.len() > PRINTED_MAX {
        println!("        and {} more", claim.violations.len() - PRINTED_MAX);
    }
}
