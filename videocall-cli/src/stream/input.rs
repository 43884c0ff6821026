//! Files and pipes, and what they hold.

use std::{
    fs::File,
    io::{BufReader, Cursor, Read},
    path::Path,
};

use videocall_codec::Container;

use crate::exit::Failure;

/// What is read, from its first byte on.
pub(super) type Input = BufReader<Box<dyn Read + Send>>;

/// A name for messages.
pub(super) fn name(path: &Path) -> String {
    if is_pipe(path) {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    }
}

/// Whether it is standard input, which can be read once only.
pub(super) fn is_pipe(path: &Path) -> bool {
    path == Path::new("-")
}

/// Opens a file or pipe, and recognises by its first bytes what it holds.
pub(super) fn open(path: &Path) -> Result<(Container, Input), Failure> {
    let failure = |error| Failure::input(&name(path), error);
    let mut source: Box<dyn Read + Send> = if is_pipe(path) {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(path).map_err(failure)?)
    };
    let mut head = Vec::with_capacity(Container::HEAD_BYTES);
    let wanted = Container::HEAD_BYTES as u64;
    (&mut source)
        .take(wanted)
        .read_to_end(&mut head)
        .map_err(failure)?;
    if head.is_empty() {
        return Err(Failure::input(&name(path), "it is empty"));
    }
    let Some(container) = Container::recognise(&head) else {
        let text = "neither Y4M, IVF, WebM nor WAV; ffmpeg can bring it into one of these: \
                    ffmpeg -i … -f yuv4mpegpipe - | videocall-cli stream --input -";
        return Err(Failure::input(&name(path), text));
    };
    let whole = Cursor::new(head).chain(source);
    Ok((container, BufReader::new(Box::new(whole))))
}

/// The end of an input that ended in the middle of something.
pub(super) fn cut_off(path: &Path) -> Failure {
    Failure::input(&name(path), "it is cut off: its end is missing")
}
