//! Processes that are measured: started, watched through `/proc`, ended.

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

/// Linux counts CPU time in hundredths of a second wherever it tells it to programs.
const TICK: Duration = Duration::from_millis(10);

/// A process that is killed when it is dropped.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Starts a command whose output nobody reads.
    ///
    /// # Errors
    /// If it does not start.
    pub fn silent(command: &mut Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().with_context(|| format!("{command:?} does not start"))?;
        Ok(Self(child))
    }

    /// Starts a command that prints one line of JSON when it is ready, and waits for it.
    ///
    /// # Errors
    /// If it does not start, or ends instead.
    pub fn ready(command: &mut Command) -> anyhow::Result<(Self, Value)> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("{command:?} does not start"))?;
        let stdout = child.stdout.take().context("standard output is a pipe")?;
        let process = Self(child);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let Ok(ready) = serde_json::from_str(&line) else {
            bail!("{command:?} is not ready, it said {line:?}");
        };
        Ok((process, ready))
    }

    /// Whether it has ended by itself.
    ///
    /// # Errors
    /// If the system cannot tell.
    pub fn ended(&mut self) -> std::io::Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }

    /// CPU time so far, of all its threads, in user and kernel mode.
    ///
    /// # Errors
    /// If it has ended.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        cpu(&self.0.id().to_string())
    }

    /// Resident memory in bytes.
    ///
    /// # Errors
    /// If it has ended.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        self.memory("VmRSS:")
    }

    /// The most resident memory that it had so far, in bytes.
    ///
    /// # Errors
    /// If it has ended.
    pub fn peak_bytes(&self) -> anyhow::Result<u64> {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kilobytes = line.and_then(|line| line.split_whitespace().next());
        Ok(kilobytes.with_context(|| format!("/proc has no {field}"))?.parse::<u64>()? * 1024)
    }

    /// Ctrl-C, and waits until it has ended by itself.
    ///
    /// # Errors
    /// If it fails at that.
    pub fn interrupt(mut self) -> anyhow::Result<()> {
        let pid = self.0.id().to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status().context("no `kill`")?;
        ensure!(sent.success(), "no signal could be sent to {pid}");
        let status = self.0.wait()?;
        ensure!(status.success(), "at Ctrl-C the process ended with {status}");
        Ok(())
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already ended is as good.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// CPU time of this process so far.
///
/// # Errors
/// If `/proc` cannot be read.
pub fn own_cpu() -> anyhow::Result<Duration> {
    cpu("self")
}

fn cpu(process: &str) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in parentheses, may itself hold spaces and parentheses.
    let (_, fields) = stat.rsplit_once(") ").context("/proc/PID/stat has no name")?;
    let mut fields = fields.split(' ').skip(11).map(str::parse::<u32>);
    match (fields.next(), fields.next()) {
        (Some(Ok(user)), Some(Ok(system))) => Ok(TICK * (user + system)),
        _ => bail!("/proc/PID/stat has no CPU times"),
    }
}

/// A port of this machine that was free a moment ago.
///
/// # Errors
/// If there is none.
pub fn free_port() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}
