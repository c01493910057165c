//! Child processes: this same executable, started again in another role.

use std::error::Error;
use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use crate::folder::Folder;

/// A child that does not outlive us: it is killed when this is dropped, and ends by itself if we are killed.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Open for as long as we live; see [`exit_with_parent`].
    _alive: Option<ChildStdin>,
}

impl Process {
    /// Starts a command that was made by [`role`].
    pub fn start(mut command: Command) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).spawn()?;
        // Taken out of the child, because `Child::wait` would close it.
        let alive = child.stdin.take();
        Ok(Self { child, _alive: alive })
    }

    /// The first line the child prints. Its stdout must be piped.
    pub fn first_line(&mut self) -> io::Result<String> {
        let stdout: ChildStdout = self.child.stdout.take().expect("stdout is piped and not taken yet");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    /// How the child ended, if it has.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits for the child to end by itself.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }

    /// Kills the child (SIGKILL: nothing in it gets to run) and returns how it ended, which may have been before.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }
}

/// A command to start this same executable in another role.
pub fn role(name: &str) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(name);
    Ok(command)
}

/// Starts a gateway and returns it with its address. Its ledger stays in the folder when it ends.
pub fn start_gateway(folder: &Folder, seed: u64) -> Result<(Process, String), Box<dyn Error>> {
    let mut gateway = role("gateway")?;
    gateway.arg("--ledger").arg(folder.ledger()).arg("--seed").arg(seed.to_string()).stdout(Stdio::piped());
    let mut process = Process::start(gateway)?;
    let address = process.first_line()?;
    if address.is_empty() {
        return Err(format!("the gateway did not start: {}", process.wait()?).into());
    }
    Ok((process, address))
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// To be called by a child: ends this process when its stdin is closed, which the system does when the parent dies.
pub fn exit_with_parent() {
    std::thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(1);
    });
}
