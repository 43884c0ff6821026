//! A small emulated machine with a camera and a sound card of the kernel's own: `scripts/guest`.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::Duration,
};

/// For one command: the guest is emulated, and the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);
/// A guest that needs longer to start, instead of ten seconds, would not be through in time.
const HOPELESS: Duration = Duration::from_secs(45);

pub(crate) struct Guest {
    process: Child,
    commands: ChildStdin,
    lines: Receiver<String>,
    console: PathBuf,
    _folder: tempfile::TempDir,
}

impl Guest {
    /// Boots it with files in `/opt`, or says why that cannot be.
    pub(crate) fn boot(files: &[&Path]) -> Result<Self, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let script = root.join("scripts/guest");
        let prepared = Command::new(&script).arg("prepare").output().unwrap();
        if !prepared.status.success() {
            let why = String::from_utf8_lossy(&prepared.stderr);
            return Err(why
                .lines()
                .last()
                .unwrap_or("scripts/guest fails")
                .to_owned());
        }
        let folder = tempfile::tempdir().unwrap();
        let console = folder.path().join("console");
        let mut process = Command::new(&script)
            .arg("boot")
            .args(files)
            .env("GUEST_CONSOLE", &console)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let commands = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.split(b'\n').map_while(Result::ok) {
                let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
            }
        });
        let guest = Self {
            process,
            commands,
            lines,
            console,
            _folder: folder,
        };
        match guest.lines.recv_timeout(HOPELESS) {
            Ok(line) => assert_eq!(line, "@@@ ready", "{}", guest.kernel()),
            Err(RecvTimeoutError::Timeout) => {
                return Err(format!(
                    "this machine is too busy to emulate another, which did not start within {} s",
                    HOPELESS.as_secs()
                ));
            }
            Err(RecvTimeoutError::Disconnected) => panic!("QEMU ends{}", guest.kernel()),
        }
        Ok(guest)
    }

    /// Runs a shell command; what it printed, and its exit code.
    pub(crate) fn run(&mut self, command: &str) -> (i32, String) {
        assert!(!command.contains('\n'));
        writeln!(self.commands, "{command}").expect("the guest lives");
        let (code, output) = self.answer(command);
        (code.parse().unwrap(), output)
    }

    /// Runs a shell command that must succeed.
    pub(crate) fn must(&mut self, command: &str) -> String {
        let (code, output) = self.run(command);
        assert_eq!(code, 0, "{command}: {output}");
        output
    }

    /// Waits until a file of the guest has so many lines with a text, and gives the file.
    pub(crate) fn wait_for(&mut self, file: &str, text: &str, count: u32) -> String {
        let found = format!("[ $(grep -c '{text}' {file}) -ge {count} ]");
        let (code, _) = self.run(&format!(
            "i=0; until {found}; do i=$((i+1)); [ $i -lt 300 ] || break; usleep 100000; done; {found}"
        ));
        let all = self.must(&format!("cat {file}"));
        assert_eq!(code, 0, "{text} does not come: {all}{}", self.kernel());
        all
    }

    fn answer(&self, command: &str) -> (String, String) {
        let mut output = String::new();
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("no answer to {command}: {output}{}", self.kernel());
            };
            if let Some(code) = line.strip_prefix("@@@ ") {
                return (code.to_owned(), output.trim_end().to_owned());
            }
            output.push_str(&line);
            output.push('\n');
        }
    }

    /// What its kernel said at last.
    fn kernel(&self) -> String {
        let console = std::fs::read(&self.console).unwrap_or_default();
        let text = String::from_utf8_lossy(&console).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        format!(
            "\nkernel:\n{}",
            lines[lines.len().saturating_sub(15)..].join("\n")
        )
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Without a disk there is nothing to be kept. The script ends with its QEMU.
        let _ = writeln!(self.commands, "poweroff -f");
        let _ = self.process.wait();
    }
}
