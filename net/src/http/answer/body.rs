//! The body of an answer, decoded as it comes: each byte is looked at once.
//!
//! **Bounds**: decoded bytes, length of a size line, length of all trailers; memory grows with what arrived, never with
//! what was announced.

use super::{AnswerError, AnswerLimits, Framing};

/// The longest size line, its line end included: 16 digits are more than any size, the rest is for chunk extensions,
/// which are ignored (RFC 9112 §7.1.1).
const SIZE_LINE_MAX: usize = 128;
/// Bytes of chunk framing that a body may need beyond its own: a chunk carries at least this much on average after the
/// first [`CHUNK_OVERHEAD_FREE`], so that a body of single bytes cannot go on for ever.
const CHUNK_OVERHEAD_FREE: usize = 64 << 10;

/// Where the reading of a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// So many bytes of data are missing.
    Data(usize),
    UntilClose,
    /// In a size line.
    Size,
    /// After the CR of a size line.
    SizeEnd,
    /// So many bytes of a chunk's data are missing.
    Chunk(usize),
    /// The CR after a chunk's data.
    ChunkReturn,
    /// The LF after it.
    ChunkEnd,
    /// In the trailers; the line so far.
    Trailer {
        line_bytes: usize,
    },
    /// After the CR of a trailer line.
    TrailerEnd {
        line_bytes: usize,
    },
    Done,
}

/// Decodes one body.
#[derive(Debug)]
pub(super) struct BodyReader {
    stage: Stage,
    /// Of the size line: digits, value, whether an extension began.
    digits: u32,
    size: usize,
    extension: bool,
    line_bytes: usize,
    framing_bytes: usize,
    trailer_bytes: usize,
    body: Vec<u8>,
}

impl BodyReader {
    pub(super) fn new(framing: Framing, limits: &AnswerLimits) -> Result<Self, AnswerError> {
        let stage = match framing {
            Framing::Length(length) if length > limits.body_bytes_max => {
                return Err(AnswerError::BodyTooLarge);
            }
            Framing::Length(0) => Stage::Done,
            Framing::Length(length) => Stage::Data(length),
            Framing::Chunked => Stage::Size,
            Framing::UntilClose => Stage::UntilClose,
        };
        Ok(Self {
            stage,
            digits: 0,
            size: 0,
            extension: false,
            line_bytes: 0,
            framing_bytes: 0,
            trailer_bytes: 0,
            body: Vec::new(),
        })
    }

    pub(super) fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    pub(super) fn is_until_close(&self) -> bool {
        self.stage == Stage::UntilClose
    }

    pub(super) fn into_body(self) -> Vec<u8> {
        self.body
    }

    /// Takes what belongs to the body; the number of bytes taken.
    pub(super) fn feed(&mut self, bytes: &[u8], limits: &AnswerLimits) -> Result<usize, AnswerError> {
        let mut taken = 0;
        while taken < bytes.len() && self.stage != Stage::Done {
            let rest = &bytes[taken..];
            taken += match self.stage {
                Stage::Data(missing) | Stage::Chunk(missing) => {
                    let count = missing.min(rest.len());
                    self.body.extend_from_slice(&rest[..count]);
                    let missing = missing - count;
                    self.stage = match self.stage {
                        Stage::Data(_) if missing == 0 => Stage::Done,
                        Stage::Data(_) => Stage::Data(missing),
                        _ if missing == 0 => Stage::ChunkReturn,
                        _ => Stage::Chunk(missing),
                    };
                    count
                }
                Stage::UntilClose => {
                    if self.body.len() + rest.len() > limits.body_bytes_max {
                        return Err(AnswerError::BodyTooLarge);
                    }
                    self.body.extend_from_slice(rest);
                    rest.len()
                }
                _ => {
                    self.framing_byte(rest[0], limits)?;
                    1
                }
            };
        }
        Ok(taken)
    }

    /// Takes a byte of the chunked coding that is not data.
    fn framing_byte(&mut self, byte: u8, limits: &AnswerLimits) -> Result<(), AnswerError> {
        self.framing_bytes += 1;
        if self.framing_bytes > CHUNK_OVERHEAD_FREE + self.body.len() {
            return Err(AnswerError::BodyTooLarge);
        }
        self.stage = match (self.stage, byte) {
            (Stage::Size, _) => self.size_byte(byte)?,
            (Stage::SizeEnd, b'\n') => {
                let size = self.size;
                if size > limits.body_bytes_max.saturating_sub(self.body.len()) {
                    return Err(AnswerError::BodyTooLarge);
                }
                (self.digits, self.size, self.extension, self.line_bytes) = (0, 0, false, 0);
                if size == 0 { Stage::Trailer { line_bytes: 0 } } else { Stage::Chunk(size) }
            }
            (Stage::ChunkReturn, b'\r') => Stage::ChunkEnd,
            (Stage::ChunkEnd, b'\n') => Stage::Size,
            (Stage::Trailer { .. } | Stage::TrailerEnd { .. }, _) => self.trailer_byte(byte, limits)?,
            (Stage::SizeEnd, _) => return Err(AnswerError::BareLineEnd),
            _ => return Err(AnswerError::Chunk),
        };
        Ok(())
    }

    fn size_byte(&mut self, byte: u8) -> Result<Stage, AnswerError> {
        self.line_bytes += 1;
        if self.line_bytes > SIZE_LINE_MAX - 2 && byte != b'\r' {
            return Err(AnswerError::Chunk);
        }
        match byte {
            b'\r' if self.digits > 0 => return Ok(Stage::SizeEnd),
            b'\n' => return Err(AnswerError::BareLineEnd),
            b';' if self.digits > 0 => self.extension = true,
            b'\t' | b' '..=b'~' | 0x80.. if self.extension => {}
            _ => {
                let digit = (byte as char).to_digit(16).ok_or(AnswerError::Chunk)?;
                self.digits += 1;
                if self.digits > 16 {
                    return Err(AnswerError::Chunk);
                }
                // 15 digits fit; the sixteenth may not, and a size that large is too large in any case.
                let scaled = self.size.checked_mul(16).ok_or(AnswerError::BodyTooLarge)?;
                self.size = scaled + digit as usize;
            }
        }
        Ok(Stage::Size)
    }

    /// Trailers are dropped: nothing may be overruled by them. Their lines must end as all lines do.
    fn trailer_byte(&mut self, byte: u8, limits: &AnswerLimits) -> Result<Stage, AnswerError> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > limits.trailer_bytes_max {
            return Err(AnswerError::HeadTooLarge);
        }
        match (self.stage, byte) {
            (Stage::TrailerEnd { line_bytes: 0 }, b'\n') => Ok(Stage::Done),
            (Stage::TrailerEnd { .. }, b'\n') => Ok(Stage::Trailer { line_bytes: 0 }),
            (Stage::TrailerEnd { .. }, _) | (_, b'\n') => Err(AnswerError::BareLineEnd),
            (Stage::Trailer { line_bytes }, b'\r') => Ok(Stage::TrailerEnd { line_bytes }),
            (Stage::Trailer { line_bytes }, b'\t' | b' '..=b'~' | 0x80..) => {
                Ok(Stage::Trailer { line_bytes: line_bytes + 1 })
            }
            _ => Err(AnswerError::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(coded: &[u8]) -> Result<Option<(Vec<u8>, usize)>, AnswerError> {
        let limits = AnswerLimits { body_bytes_max: 64, trailer_bytes_max: 32, ..AnswerLimits::default() };
        let read = |pieces: usize| {
            let mut reader = BodyReader::new(Framing::Chunked, &limits)?;
            let mut taken = 0;
            for piece in coded.chunks(pieces) {
                taken += reader.feed(piece, &limits)?;
            }
            Ok(reader.is_done().then(|| (reader.into_body(), taken)))
        };
        let whole = read(coded.len());
        assert_eq!(read(1), whole, "{:?}", String::from_utf8_lossy(coded));
        whole
    }

    #[test]
    fn decodes() {
        assert_eq!(check(b"0\r\n\r\n"), Ok(Some((b"".to_vec(), 5))));
        assert_eq!(check(b"5\r\nhello\r\n0\r\n\r\nHTTP"), Ok(Some((b"hello".to_vec(), 15))));
        let extended = b"3;name=\"x\"\r\nhel\r\n02\r\nlo\r\n0\r\nX-T: 1\r\n\r\n";
        assert_eq!(check(extended), Ok(Some((b"hello".to_vec(), 38))));
        assert_eq!(check(b"5\r\nhello\r\n0\r\n"), Ok(None));
    }

    #[test]
    fn refuses_what_two_readers_could_read_differently() {
        for (coded, error) in [
            (&b"5\nhello\r\n0\r\n\r\n"[..], AnswerError::BareLineEnd),
            (b"5\rXhello\r\n0\r\n\r\n", AnswerError::BareLineEnd),
            (b"5\r\nhello0\r\n\r\n", AnswerError::Chunk),
            (b"5\r\nhello\n0\r\n\r\n", AnswerError::Chunk),
            (b"5\r\nhello\rX0\r\n\r\n", AnswerError::Chunk),
            (b"0x5\r\nhello\r\n0\r\n\r\n", AnswerError::Chunk),
            (b"+5\r\nhello\r\n0\r\n\r\n", AnswerError::Chunk),
            (b" 5\r\nhello\r\n0\r\n\r\n", AnswerError::Chunk),
            (b"5 \r\nhello\r\n0\r\n\r\n", AnswerError::Chunk),
            (b"\r\n", AnswerError::Chunk),
            (b";x\r\n", AnswerError::Chunk),
            (b"00000000000000005\r\nhello\r\n0\r\n\r\n", AnswerError::Chunk),
            (b"0\r\nX: 1\n\r\n", AnswerError::BareLineEnd),
            (b"0\r\nX: \x01\r\n\r\n", AnswerError::Malformed),
            (b"5;\x00\r\nhello\r\n0\r\n\r\n", AnswerError::Chunk),
        ] {
            assert_eq!(check(coded), Err(error), "{:?}", String::from_utf8_lossy(coded));
        }
    }

    #[test]
    fn is_bounded() {
        assert_eq!(check(b"41\r\n"), Err(AnswerError::BodyTooLarge));
        assert_eq!(check(b"FFFFFFFFFFFFFFFF\r\n"), Err(AnswerError::BodyTooLarge));
        assert_eq!(check(&b"1\r\na\r\n".repeat(65)), Err(AnswerError::BodyTooLarge));
        assert_eq!(check(&[b"0\r\n", &b"A: b\r\n".repeat(9)[..]].concat()), Err(AnswerError::HeadTooLarge));
        assert_eq!(check(&[b'1'; SIZE_LINE_MAX]), Err(AnswerError::Chunk));
        let long_extension = [b"1;", &[b'x'; SIZE_LINE_MAX][..]].concat();
        assert_eq!(check(&long_extension), Err(AnswerError::Chunk));
    }
}
