//! Processes all orders with a worker that is killed again and again, and then looks at what came of it.

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use crate::folder::Folder;
use crate::gateway::Gateway;
use crate::kills::{self, Kill};
use crate::orders::{CARD_DECLINED, Order};
use crate::processes::{Process, role, start_gateway};
use crate::progress::Progress;
use crate::records::Records;
use crate::report::Report;

/// How often the outside records are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(3);

/// What to do.
#[derive(Debug)]
pub struct Plan {
    pub folder: PathBuf,
    pub input: PathBuf,
    pub orders: Vec<Order>,
    pub kills: u64,
    pub seed: u64,
}

#[derive(Debug)]
struct Supervisor<'a> {
    plan: &'a Plan,
    folder: &'a Folder,
    gateway: &'a str,
    records: Records,
    progress: Progress,
    killed: usize,
}

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Finished,
    Killed,
}

/// Processes all orders of the plan, prints a report, and returns whether everything in it is as it must be.
pub async fn process_all(plan: &Plan) -> Result<bool, Box<dyn Error>> {
    println!("{} orders, the worker is killed {} times, seed {}", plan.orders.len(), plan.kills, plan.seed);
    let folder = Folder::create_empty(&plan.folder.join("all"))?;
    let (_process, gateway) = start_gateway(&folder, plan.seed)?;
    let (records, progress) = (Records::open(&folder)?, Progress::new(plan.orders.len() as u64));
    let mut supervisor = Supervisor { plan, folder: &folder, gateway: &gateway, records, progress, killed: 0 };
    supervisor.work().await?;
    let report = Report {
        orders: &plan.orders,
        records: &supervisor.records,
        statistics: Gateway::new(&gateway)?.statistics().await?,
        kills_wanted: plan.kills,
        kills: supervisor.killed as u64,
    };
    report.print(&folder).await
}

impl Supervisor<'_> {
    /// Starts a worker again and again, until one has finished.
    async fn work(&mut self) -> Result<(), Box<dyn Error>> {
        let kills = kills::plan(self.plan.seed, self.plan.kills, records_total(&self.plan.orders));
        while self.run_worker(kills.get(self.killed)).await? == Ended::Killed {
            self.killed += 1;
        }
        let counts = self.records.refresh()?;
        self.progress.show(counts, self.killed);
        self.progress.finish();
        Ok(())
    }

    /// Starts a worker and kills it when it is time for that.
    async fn run_worker(&mut self, kill: Option<&Kill>) -> Result<Ended, Box<dyn Error>> {
        let mut worker = self.start_worker()?;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let counts = self.records.refresh()?;
            self.progress.show(counts, self.killed);
            let due = kill.filter(|kill| counts.records() >= kill.at_records);
            let ended = if let Some(kill) = due {
                tokio::time::sleep(kill.pause).await;
                Some(worker.kill()?)
            } else {
                worker.try_wait()?
            };
            match ended {
                None => {}
                Some(status) if status.success() => return Ok(Ended::Finished),
                Some(_) if due.is_some() => return Ok(Ended::Killed),
                Some(status) => {
                    let log = fs::read_to_string(self.folder.worker_log())?;
                    return Err(format!("the worker ended with {status}, its log says:\n{log}").into());
                }
            }
        }
    }

    fn start_worker(&self) -> Result<Process, Box<dyn Error>> {
        let log = OpenOptions::new().create(true).append(true).open(self.folder.worker_log())?;
        let mut worker = role("worker")?;
        worker.arg("--folder").arg(self.folder.path()).arg("--gateway").arg(self.gateway);
        worker.arg("--input").arg(&self.plan.input).arg("--orders").arg(self.plan.orders.len().to_string());
        worker.stdout(Stdio::null()).stderr(log);
        Ok(Process::start(worker)?)
    }
}

/// How many records there are when all is done: the charge, the row and the confirmation, or only the refusal.
fn records_total(orders: &[Order]) -> u64 {
    orders.iter().map(|order| if order.card == CARD_DECLINED { 1 } else { 3 }).sum()
}
