//! The report as PDF: the HTML report, printed by Chromium, so that both have the same content and
//! the text can be selected. Chromium is not part of the tester; without it there is no PDF.

use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::process::Command;

const PROGRAMS: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];
/// A browser that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is told of a browser's complaints, at most.
const LINES: usize = 5;
const CHARACTERS: usize = 600;

/// A report that cannot be printed.
#[derive(Debug, thiserror::Error)]
pub enum PdfError {
    /// There is no browser.
    #[error("a PDF needs Chromium or Chrome on the PATH, or named by VIDEOCALL_LOAD_CHROMIUM")]
    NoBrowser,
    /// Files in between cannot be written or read.
    #[error("printing: {0}")]
    Io(#[from] std::io::Error),
    /// The browser did not print, and this is what it said.
    #[error("{program} did not print the report: {reason}")]
    Browser {
        /// The browser.
        program: String,
        /// In its own words, shortened.
        reason: String,
    },
}

/// The browser that prints.
///
/// # Errors
/// When there is none.
pub fn browser() -> Result<PathBuf, PdfError> {
    if let Some(named) = std::env::var_os("VIDEOCALL_LOAD_CHROMIUM") {
        let path = PathBuf::from(named);
        return if path.is_file() {
            Ok(path)
        } else {
            Err(PdfError::NoBrowser)
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    PROGRAMS
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|file| file.is_file())
        .ok_or(PdfError::NoBrowser)
}

/// Prints a page.
///
/// # Errors
/// When the browser does not.
pub async fn print(browser: &Path, html: &str) -> Result<Vec<u8>, PdfError> {
    let folder = Folder::new()?;
    let page = folder.0.join("report.html");
    tokio::fs::write(&page, html).await?;
    // Chromium's sandbox does not work for root.
    let sandbox = !rustix::process::geteuid().is_root();
    let failed = |reason| PdfError::Browser {
        program: browser.display().to_string(),
        reason,
    };
    match attempt(browser, &folder.0, &page, sandbox).await? {
        Ok(pdf) => Ok(pdf),
        // Nor in a container that allows no namespaces. To print without it is safe: the page is
        // our own, and neither runs a script nor loads anything.
        Err(reason) if sandbox && reason.contains("sandbox") => {
            attempt(browser, &folder.0, &page, false)
                .await?
                .map_err(failed)
        }
        Err(reason) => Err(failed(reason)),
    }
}

/// Prints `page` in `folder`; what the browser said if it did not.
async fn attempt(
    browser: &Path,
    folder: &Path,
    page: &Path,
    sandbox: bool,
) -> std::io::Result<Result<Vec<u8>, String>> {
    let pdf = folder.join("report.pdf");
    let mut command = Command::new(browser);
    command
        .args([
            "--headless",
            "--disable-gpu",
            "--no-pdf-header-footer",
            "--no-first-run",
        ])
        .arg(format!(
            "--user-data-dir={}",
            folder.join("profile").display()
        ))
        .arg(format!("--print-to-pdf={}", pdf.display()));
    if !sandbox {
        command.arg("--no-sandbox");
    }
    command
        .arg(format!("file://{}", page.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let Ok(ended) = tokio::time::timeout(PATIENCE, command.output()).await else {
        return Ok(Err(format!("it took more than {} s", PATIENCE.as_secs())));
    };
    let ended = ended?;
    match tokio::fs::read(&pdf).await {
        Ok(bytes) if bytes.starts_with(b"%PDF-") => Ok(Ok(bytes)),
        _ => Ok(Err(last_words(&ended.stderr, ended.status))),
    }
}

/// The end of what the browser said, which has the reason; without it, how it ended.
fn last_words(said: &[u8], status: ExitStatus) -> String {
    let said = String::from_utf8_lossy(said);
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let end = lines[lines.len().saturating_sub(LINES)..].join("; ");
    if end.is_empty() {
        return status.to_string();
    }
    end.chars().take(CHARACTERS).collect()
}

/// A folder of this process's own, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let name = format!(
            "videocall-load-{}-{:x}",
            std::process::id(),
            rand::random::<u64>()
        );
        let path = std::env::temp_dir().join(name);
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
