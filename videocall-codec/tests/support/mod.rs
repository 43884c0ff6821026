//! Runs the real ffmpeg and ffprobe.

use std::{
    path::Path,
    process::{Command, Stdio},
};

/// What a program wrote to its output; panics with its complaints when it fails or complains.
pub(crate) fn run(program: &str, arguments: &[&str], quiet: bool) -> Vec<u8> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; scripts/setup test installs it"));
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {complaints}"
    );
    assert!(
        !quiet || complaints.is_empty(),
        "{program} {arguments:?}: {complaints}"
    );
    output.stdout
}

/// Runs ffmpeg with only errors told.
pub(crate) fn ffmpeg(arguments: &[&str]) -> Vec<u8> {
    run(
        "ffmpeg",
        &[&["-v", "error", "-y"], arguments].concat(),
        false,
    )
}

/// Asks ffprobe for entries of a file, one `key=value` per line.
pub(crate) fn ffprobe(path: &Path, entries: &str, more: &[&str]) -> String {
    let path = path.to_str().expect("a path of text");
    let arguments = [
        &[
            "-v",
            "error",
            "-of",
            "default=nw=1",
            "-show_entries",
            entries,
        ],
        more,
        &[path],
    ]
    .concat();
    String::from_utf8_lossy(&run("ffprobe", &arguments, false)).into_owned()
}
