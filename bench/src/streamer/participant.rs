//! `videocall-cli` in a meeting, as people start it.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    thread,
};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::{
    sync::mpsc::{Receiver, channel},
    time,
};

use crate::{
    peer::{PATIENCE, Server},
    process,
};

/// Where all of them are.
pub(super) const MEETING: &str = "bench";

/// Ended with the figure.
pub(super) struct Participant {
    child: Child,
    told: Receiver<Value>,
}

/// Events of a program that are kept for who asks.
const EVENTS: usize = 1024;

impl Participant {
    /// Starts a command, and waits until it has joined.
    pub(super) async fn join(
        server: &Server,
        command: &str,
        name: &str,
        more: &[&str],
    ) -> Result<Self> {
        let mut child = Command::new(process::beside("videocall-cli")?)
            .args([command, "--server", &server.address.page()])
            .args(["--meeting-id", MEETING, "--user-id", name])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("videocall-cli")?;
        let lines = BufReader::new(child.stderr.take().context("no errors")?).lines();
        let (tell, told) = channel(EVENTS);
        // Read on in any case, or the program would wait for room in the pipe.
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                match serde_json::from_str(&line) {
                    // Nobody may wait for it: then it is lost, and not the program held up.
                    Ok(event) => drop(tell.try_send(event)),
                    Err(_) => eprintln!("{line}"),
                }
            }
        });
        let mut participant = Self { child, told };
        let joined = participant.told(|event| event["event"] == "joined");
        joined.await.context("it does not join")?;
        Ok(participant)
    }

    /// Waits until it has told something.
    pub(super) async fn told(&mut self, what: impl Fn(&Value) -> bool) -> Result<()> {
        let wait = async {
            while !what(&self.told.recv().await.context("videocall-cli ended")?) {}
            Ok(())
        };
        time::timeout(PATIENCE, wait).await.context("no word")?
    }

    pub(super) fn cpu_seconds(&self) -> Result<f64> {
        process::cpu_seconds(&self.child.id().to_string())
    }
}

impl Drop for Participant {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
