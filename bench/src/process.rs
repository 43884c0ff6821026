//! Processes that are measured, with the time and the memory they take.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, ensure};

pub(crate) struct Process {
    child: Child,
    stdin: ChildStdin,
    lines: BufReader<ChildStdout>,
}

impl Process {
    /// Starts a program of this build, waits for a line that begins with `ready`, and returns what
    /// stands behind it.
    pub(crate) fn start(program: &str, args: &[&str], ready: &str) -> Result<(Self, String)> {
        let path = beside(program)?;
        let mut child = Command::new(&path)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} cannot be started", path.display()))?;
        let mut process = Self {
            stdin: child.stdin.take().context("no stdin")?,
            lines: BufReader::new(child.stdout.take().context("no output")?),
            child,
        };
        let rest = process.line(ready)?;
        Ok((process, rest))
    }

    /// What stands behind `start` in the next line that begins so.
    fn line(&mut self, start: &str) -> Result<String> {
        let mut line = String::new();
        loop {
            line.clear();
            ensure!(self.lines.read_line(&mut line)? > 0, "the process ended");
            if let Some(rest) = line.trim().strip_prefix(start) {
                return Ok(rest.to_owned());
            }
        }
    }

    /// Sends an empty line and reads the number that comes back.
    pub(crate) fn ask(&mut self) -> Result<u64> {
        self.stdin.write_all(b"\n")?;
        Ok(self.line("")?.parse()?)
    }

    /// Time on a processor so far, of all its threads that live: exact, where the ticks of
    /// `/proc/PID/stat` are hundredths of a second.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        cpu_seconds(&self.child.id().to_string())
    }

    /// By which the system knows it.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in KiB.
    pub(crate) fn memory_kib(&self) -> Result<f64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .context("/proc/…/status holds no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Time on a processor so far of this process, or of the one with an id.
pub(crate) fn cpu_seconds(process: &str) -> Result<f64> {
    let mut nanoseconds = 0;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        // A thread may end while the folder is read.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else {
            continue;
        };
        let field = text
            .split_whitespace()
            .next()
            .context("schedstat is empty")?;
        nanoseconds += field.parse::<u64>()?;
    }
    ensure!(nanoseconds > 0, "/proc/…/schedstat holds no times");
    Ok(nanoseconds as f64 / 1e9)
}

/// A program of the same build.
pub(crate) fn beside(name: &str) -> Result<PathBuf> {
    Ok(std::env::current_exe()?
        .parent()
        .context("no folder")?
        .join(name))
}
