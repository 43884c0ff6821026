//! A process whose time is measured.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, ensure};

/// Clock ticks a second in `/proc`: fixed for programs on Linux.
const TICKS: f64 = 100.0;

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

    /// User and system time so far.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name of the program may hold spaces: fields count from behind its parenthesis.
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        ensure!(
            fields.len() > 12,
            "/proc/…/stat has fewer fields than it should"
        );
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        Ok(ticks as f64 / TICKS)
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
