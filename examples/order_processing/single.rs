//! One order, step by step: crash where you like, run it again and see what is not done again.

use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::folder::Folder;
use crate::processes::{Process, role, start_gateway};

/// What to do.
#[derive(Debug)]
pub struct Plan {
    pub folder: PathBuf,
    pub input: PathBuf,
    pub order_id: String,
    /// The worker's own arguments about crashes.
    pub crash: Vec<OsString>,
    pub seed: u64,
    pub starts_fresh: bool,
}

/// Starts a gateway, and a worker for one order. The state stays, so that the next call goes on from there.
pub fn process(plan: &Plan) -> Result<bool, Box<dyn Error>> {
    let path = plan.folder.join(Path::new(&plan.order_id).file_name().ok_or("an order id is needed")?);
    let folder = if plan.starts_fresh { Folder::create_empty(&path)? } else { Folder::create(&path)? };
    let (_process, gateway) = start_gateway(&folder, plan.seed)?;
    println!("{}", plan.order_id);
    let mut worker = role("worker")?;
    worker.arg("--folder").arg(folder.path()).arg("--gateway").arg(gateway);
    worker.arg("--input").arg(&plan.input).arg("--order").arg(&plan.order_id).args(&plan.crash);
    let status = Process::start(worker)?.wait()?;
    println!("the worker's process ended: {status}");
    if !status.success() && !plan.crash.is_empty() {
        println!("run it again without the crash: it goes on from there");
        return Ok(true);
    }
    Ok(status.success())
}
