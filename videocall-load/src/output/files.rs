//! Files of reports. Whether they can be written is found out before the run, as far as possible.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

/// Room that must be there before the run.
const RESERVE: usize = 256 * 1024;

/// A report that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {error}")]
pub struct WriteError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub error: std::io::Error,
}

/// A file that is to be written at the end.
#[derive(Debug)]
pub struct Pending {
    path: PathBuf,
    /// Beside the file, with room reserved; nothing for devices and pipes.
    partial: Option<PathBuf>,
}

impl Pending {
    /// Tries whether there can be such a file.
    ///
    /// # Errors
    /// When its folder, its rights or the room do not allow it.
    pub fn new(path: &Path) -> Result<Self, WriteError> {
        let failed = |error| WriteError {
            path: path.to_owned(),
            error,
        };
        let is_device = fs::metadata(path).is_ok_and(|found| !found.is_file());
        if is_device {
            fs::OpenOptions::new()
                .write(true)
                .open(path)
                .map_err(failed)?;
            return Ok(Self {
                path: path.to_owned(),
                partial: None,
            });
        }
        if path.exists() {
            // One that may not be changed must not be replaced either.
            let opened = fs::OpenOptions::new().append(true).open(path);
            opened.map_err(failed)?;
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.partial", std::process::id()));
        let partial = path.with_file_name(name);
        let reserve = fs::File::create(&partial).and_then(|mut file| {
            file.write_all(&[0; RESERVE])?;
            file.sync_all()
        });
        let pending = Self {
            path: path.to_owned(),
            partial: Some(partial),
        };
        reserve.map_err(failed)?;
        Ok(pending)
    }

    /// Writes it. An earlier file of that name stays whole until this one is.
    ///
    /// # Errors
    /// When it cannot be written after all.
    pub fn write(mut self, content: &[u8]) -> Result<(), WriteError> {
        let written = match self.partial.take() {
            None => fs::write(&self.path, content),
            Some(partial) => {
                let written =
                    fs::write(&partial, content).and_then(|()| fs::rename(&partial, &self.path));
                if written.is_err() {
                    let _ = fs::remove_file(&partial);
                }
                written
            }
        };
        written.map_err(|error| WriteError {
            path: self.path.clone(),
            error,
        })
    }

    /// Which file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(partial) = self.partial.take() {
            let _ = fs::remove_file(partial);
        }
    }
}
