//! Y4M (YUV4MPEG2): uncompressed pictures, as `ffmpeg -f yuv4mpegpipe` gives and takes them.
//!
//! Read are 8 bits in 4:2:0, 4:2:2, 4:4:4 and grey; what comes out is I420 in limited range. A
//! last picture that is cut off is left out. Written is 4:2:0.

use std::io::{Read, Write};

use crate::{
    input::{self, ReadError},
    yuv::{I420, check_size, chroma_size, full_to_limited},
};

const FORMAT: &str = "a Y4M file";
/// Longest line, in bytes.
const MAX_LINE: usize = 1024;

/// How chroma lies in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sampling {
    Grey,
    /// 4:2:0.
    Quarter,
    /// 4:2:2.
    Half,
    /// 4:4:4.
    Full,
}

/// What the file says of its pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Pictures a second are `fps_num / fps_den`. Neither is 0.
    pub fps_num: u32,
    /// See `fps_num`.
    pub fps_den: u32,
}

impl Header {
    /// A header with a whole number of pictures a second.
    pub fn new(width: u32, height: u32, fps: u32) -> Self {
        Self {
            width,
            height,
            fps_num: fps,
            fps_den: 1,
        }
    }
}

/// Reads a file or pipe from its beginning.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    header: Header,
    sampling: Sampling,
    full_range: bool,
    chroma: Vec<u8>,
    truncated: bool,
}

fn malformed(why: &'static str) -> ReadError {
    ReadError::Malformed {
        format: FORMAT,
        why,
    }
}

/// A line without its end; `None` at the end of the source. One byte at a time: give a buffered
/// source.
fn line(source: &mut impl Read) -> Result<Option<Vec<u8>>, ReadError> {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        if !input::fill(source, &mut byte)? {
            return Ok(None);
        }
        match byte[0] {
            b'\n' => return Ok(Some(line)),
            _ if line.len() == MAX_LINE => return Err(malformed("a line has no end")),
            other => line.push(other),
        }
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, ReadError> {
    text.parse().map_err(|_| malformed("a number is none"))
}

impl<R: Read> Reader<R> {
    /// Reads the header. The source is read in small pieces: give a
    /// [`BufReader`](std::io::BufReader).
    pub fn new(mut source: R) -> Result<Self, ReadError> {
        let mut magic = [0; 9];
        if !input::fill(&mut source, &mut magic)? || &magic != b"YUV4MPEG2" {
            return Err(malformed("it does not begin with YUV4MPEG2"));
        }
        let line = line(&mut source)?.ok_or_else(|| malformed("its header is cut off"))?;
        let text = std::str::from_utf8(&line).map_err(|_| malformed("its header is no text"))?;
        let (mut width, mut height, mut rate) = (0, 0, (25, 1));
        let (mut sampling, mut full_range) = (Sampling::Quarter, false);
        for part in text.split_ascii_whitespace() {
            let (key, value) = part.split_at(part.chars().next().map_or(0, char::len_utf8));
            match key {
                "W" => width = number(value)?,
                "H" => height = number(value)?,
                "F" => {
                    let (num, den) = value
                        .split_once(':')
                        .ok_or_else(|| malformed("its rate is no fraction"))?;
                    rate = (number(num)?, number(den)?);
                }
                "I" if !matches!(value, "p" | "?") => {
                    return Err(ReadError::Unsupported {
                        format: "Y4M",
                        what: "interlaced pictures".to_owned(),
                    });
                }
                "C" => sampling = sampling_of(value)?,
                "X" => full_range |= value == "COLORRANGE=FULL",
                _ => {}
            }
        }
        check_size(width, height).map_err(|_| malformed("its size is out of bounds"))?;
        if rate.0 == 0 || rate.1 == 0 {
            // "Unknown", by the format's description.
            rate = (25, 1);
        }
        let header = Header {
            width,
            height,
            fps_num: rate.0,
            fps_den: rate.1,
        };
        Ok(Self {
            source,
            header,
            sampling,
            full_range,
            chroma: Vec::new(),
            truncated: false,
        })
    }

    /// What the header said.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// After the end: whether it came in the middle of a picture.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// Reads the next picture into `to`, which becomes as large as needed; `false` at the end.
    pub fn next_picture(&mut self, to: &mut I420) -> Result<bool, ReadError> {
        let Some(line) = line(&mut self.source)? else {
            return Ok(false);
        };
        if line != b"FRAME" && !line.starts_with(b"FRAME ") {
            return Err(malformed("a picture does not begin with FRAME"));
        }
        let (width, height) = (self.header.width, self.header.height);
        to.reshape(width, height)
            .map_err(|_| malformed("its size is out of bounds"))?;
        let whole = match self.sampling {
            Sampling::Quarter => input::fill(&mut self.source, to.as_bytes_mut())?,
            Sampling::Grey => {
                let [y, u, v] = to.planes_mut();
                u.fill(128);
                v.fill(128);
                input::fill(&mut self.source, y)?
            }
            Sampling::Half | Sampling::Full => self.subsample(to)?,
        };
        self.truncated = !whole;
        if whole && self.full_range {
            full_to_limited(to);
        }
        Ok(whole)
    }

    /// Averages chroma that is finer than ours.
    fn subsample(&mut self, to: &mut I420) -> Result<bool, ReadError> {
        let height = self.header.height as usize;
        let (chroma_width, _) = chroma_size(self.header.width, 0);
        let (columns, across) = match self.sampling {
            Sampling::Full => (self.header.width as usize, 2),
            _ => (chroma_width as usize, 1),
        };
        let [y, u, v] = to.planes_mut();
        if !input::fill(&mut self.source, y)? {
            return Ok(false);
        }
        self.chroma.resize(columns * height, 0);
        for plane in [u, v] {
            if !input::fill(&mut self.source, &mut self.chroma)? {
                return Ok(false);
            }
            let bands = self.chroma.chunks(2 * columns);
            for (to, band) in plane.chunks_exact_mut(chroma_width as usize).zip(bands) {
                let upper = &band[..columns];
                let lower = band.get(columns..).unwrap_or(upper);
                let groups = upper.chunks(across).zip(lower.chunks(across));
                for (to, (upper, lower)) in to.iter_mut().zip(groups) {
                    let sum: u16 = upper.iter().chain(lower).map(|c| u16::from(*c)).sum();
                    let count = (upper.len() + lower.len()) as u16;
                    *to = ((sum + count / 2) / count) as u8;
                }
            }
        }
        Ok(true)
    }
}

fn sampling_of(value: &str) -> Result<Sampling, ReadError> {
    match value {
        "mono" => Ok(Sampling::Grey),
        "420" | "420jpeg" | "420mpeg2" | "420paldv" => Ok(Sampling::Quarter),
        "422" => Ok(Sampling::Half),
        "444" => Ok(Sampling::Full),
        other => Err(ReadError::Unsupported {
            format: "Y4M",
            what: format!("pictures in {other}"),
        }),
    }
}

/// Writes a file or pipe.
#[derive(Debug)]
pub struct Writer<W> {
    sink: W,
    header: Header,
}

impl<W: Write> Writer<W> {
    /// Writes the header.
    pub fn new(mut sink: W, header: Header) -> std::io::Result<Self> {
        let Header {
            width,
            height,
            fps_num,
            fps_den,
        } = header;
        writeln!(
            sink,
            "YUV4MPEG2 W{width} H{height} F{fps_num}:{fps_den} Ip A1:1 C420mpeg2 XCOLORRANGE=LIMITED"
        )?;
        Ok(Self { sink, header })
    }

    /// Writes one picture, which must be of the header's size: pictures of a stream that changes
    /// its size must be scaled first.
    pub fn write(&mut self, picture: &I420) -> std::io::Result<()> {
        if (picture.width(), picture.height()) != (self.header.width, self.header.height) {
            return Err(std::io::Error::new(
                std::io::ErrorKind::InvalidInput,
                "a picture of another size than the header's",
            ));
        }
        self.sink.write_all(b"FRAME\n")?;
        self.sink.write_all(picture.as_bytes())
    }

    /// Flushes, and gives back what was written to.
    pub fn finish(mut self) -> std::io::Result<W> {
        self.sink.flush()?;
        Ok(self.sink)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_all(data: &[u8]) -> Result<Vec<I420>, ReadError> {
        let mut reader = Reader::new(data)?;
        let mut pictures = Vec::new();
        let mut picture = I420::black(1, 1).expect("a size in bounds");
        while reader.next_picture(&mut picture)? {
            pictures.push(picture.clone());
        }
        Ok(pictures)
    }

    #[test]
    fn cut_anywhere_gives_the_whole_pictures_before() {
        let mut picture = I420::black(5, 3).unwrap();
        let mut writer = Writer::new(Vec::new(), Header::new(5, 3, 30)).unwrap();
        let mut written = Vec::new();
        for value in 0..3 {
            picture.as_bytes_mut().fill(value + 100);
            writer.write(&picture).unwrap();
            written.push(picture.clone());
        }
        assert!(writer.write(&I420::black(3, 5).unwrap()).is_err());
        let file = writer.finish().unwrap();
        assert_eq!(read_all(&file).unwrap(), written);
        let header = file.iter().position(|byte| *byte == b'\n').unwrap();
        for cut in 0..file.len() {
            match read_all(&file[..cut]) {
                Ok(pictures) => assert_eq!(pictures[..], written[..pictures.len()]),
                Err(_) => assert!(cut <= header),
            }
        }
    }

    #[test]
    fn other_samplings_become_420() {
        let body: Vec<u8> = (0..100).collect();
        let read = |sampling: &str, bytes: usize| {
            let mut file =
                format!("YUV4MPEG2 W3 H2 F30000:1001 C{sampling}\nFRAME Ip\n").into_bytes();
            file.extend(&body[..bytes]);
            read_all(&file).unwrap().remove(0)
        };
        assert_eq!(read("mono", 6).u(), [128, 128]);
        assert_eq!(read("420jpeg", 10).v(), [8, 9]);
        // Rows of two: 6 7 over 8 9.
        assert_eq!(read("422", 14).u(), [7, 8]);
        // Rows of three: 6 7 8 over 9 10 11.
        assert_eq!(read("444", 18).u(), [8, 10]);
    }

    #[test]
    fn full_range_is_made_limited() {
        let mut file = b"YUV4MPEG2 W2 H1 F1:1 XCOLORRANGE=FULL\nFRAME\n".to_vec();
        file.extend([0, 255, 0, 255]);
        assert_eq!(read_all(&file).unwrap()[0].as_bytes(), [16, 235, 16, 240]);
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for (header, expected) in [
            (
                "YUV4MPEG W2 H2\n",
                "not a Y4M file: it does not begin with YUV4MPEG2",
            ),
            (
                "YUV4MPEG2 W2\n",
                "not a Y4M file: its size is out of bounds",
            ),
            (
                "YUV4MPEG2 W99999 H2\n",
                "not a Y4M file: its size is out of bounds",
            ),
            (
                "YUV4MPEG2 W2 H2 It\n",
                "Y4M with interlaced pictures is not supported",
            ),
            (
                "YUV4MPEG2 W2 H2 C420p10\n",
                "Y4M with pictures in 420p10 is not supported",
            ),
        ] {
            let found = read_all(header.as_bytes()).unwrap_err().to_string();
            assert_eq!(found, expected);
        }
        let endless = [b"YUV4MPEG2 ".to_vec(), vec![b'A'; 5000]].concat();
        assert!(read_all(&endless).is_err());
    }

    proptest! {
        #[test]
        fn garbage_never_panics(
            header in "( (W[0-9]{1,3}|H[0-9]{1,2}|F[0-9:]{0,4}|C4[24][024]|X.|é|.{0,3})){0,6}",
            data in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut file = format!("YUV4MPEG2{header}\n").into_bytes();
            file.extend(b"FRAME\n");
            file.extend(&data);
            let _ = read_all(&file);
            let _ = read_all(&data);
        }
    }
}
