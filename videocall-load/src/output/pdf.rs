//! The report as PDF: the HTML report, printed by Chromium, so that both have the same content and
//! the text can be selected. Chromium is not part of the tester; without it there is no PDF.

use std::{path::PathBuf, process::Stdio, time::Duration};

use tokio::process::Command;

const PROGRAMS: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];
/// A browser that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A report that cannot be printed.
#[derive(Debug, thiserror::Error)]
pub enum PdfError {
    /// There is no browser.
    #[error("a PDF needs Chromium or Chrome on the PATH, or named by VIDEOCALL_LOAD_CHROMIUM")]
    NoBrowser,
    /// Files in between cannot be written or read.
    #[error("printing: {0}")]
    Io(#[from] std::io::Error),
    /// The browser did not print.
    #[error("{0} did not print the report")]
    Browser(String),
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
pub async fn print(browser: &PathBuf, html: &str) -> Result<Vec<u8>, PdfError> {
    let folder = Folder::new()?;
    let (page, pdf) = (folder.0.join("report.html"), folder.0.join("report.pdf"));
    tokio::fs::write(&page, html).await?;
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
            folder.0.join("profile").display()
        ))
        .arg(format!("--print-to-pdf={}", pdf.display()));
    if rustix::process::geteuid().is_root() {
        // Chromium's sandbox does not work for root; the page is our own and runs no script.
        command.arg("--no-sandbox");
    }
    command
        .arg(format!("file://{}", page.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let failed = || PdfError::Browser(browser.display().to_string());
    let ended = tokio::time::timeout(PATIENCE, command.status()).await;
    ended.map_err(|_| failed())??;
    let bytes = tokio::fs::read(&pdf).await.map_err(|_| failed())?;
    if bytes.starts_with(b"%PDF-") {
        Ok(bytes)
    } else {
        Err(failed())
    }
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
