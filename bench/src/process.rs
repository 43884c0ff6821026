//! A process whose time is measured.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, ensure};

pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts a program and waits for a line that begins with `ready`; returns the rest of it.
    pub(crate) fn start(program: PathBuf, args: &[&str], ready: &str) -> Result<(Self, String)> {
        let mut child = Command::new(&program)
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| program.display().to_string())?;
        let stdout = child.stdout.take().context("piped")?;
        let process = Self { child };
        for line in BufReader::new(stdout).lines() {
            if let Some(rest) = line?.strip_prefix(ready) {
                return Ok((process, rest.trim().to_owned()));
            }
        }
        anyhow::bail!("{} did not start", program.display())
    }

    /// Time on a processor so far, of all its threads that live: exact, where the ticks of
    /// `/proc/PID/stat` are hundredths of a second.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let mut nanoseconds = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
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
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that was built beside this one.
pub(crate) fn beside(name: &str) -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(name))
}
