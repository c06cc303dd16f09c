//! Frames: headers and masking (RFC 6455 §5.2, §5.3).
//!
//! **Invariants**: a header that is refused is refused with the first byte that shows it. Masking twice with one key
//! gives the bytes back.

use super::Fault;

/// The longest payload of a control frame (RFC 6455 §5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

/// The longest header: 2 bytes, a length of 8, a key of 4.
pub const HEADER_BYTES_MAX: usize = 14;

/// What a frame is (RFC 6455 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the standard's")]
pub enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    fn new(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    /// Close, ping or pong.
    #[must_use]
    pub const fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

/// What a receiver demands of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The sender is a client.
    pub masked: bool,
    /// permessage-deflate was negotiated: RSV1 may be set on the first frame of a message.
    pub deflate: bool,
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// The last frame of its message.
    pub is_final: bool,
    /// RSV1: the message is compressed.
    pub compressed: bool,
    /// The kind.
    pub opcode: Opcode,
    /// The masking key.
    pub mask: Option<[u8; 4]>,
    /// The payload's length in bytes, below 2^63.
    pub payload_bytes: u64,
}

impl FrameHeader {
    /// Reads the header at the beginning of `input` and says how many bytes it took; `None` when bytes are missing.
    ///
    /// # Errors
    /// [`Fault`], as soon as it can be seen.
    pub fn decode(input: &[u8], expected: Expected) -> Result<Option<(Self, usize)>, Fault> {
        let Some(&first) = input.first() else { return Ok(None) };
        let opcode = Opcode::new(first & 0x0F).ok_or(Fault::Opcode)?;
        let is_final = first & 0x80 != 0;
        let compressed = first & 0x40 != 0;
        if first & 0x30 != 0
            || compressed && !(expected.deflate && matches!(opcode, Opcode::Text | Opcode::Binary))
        {
            return Err(Fault::ReservedBit);
        }
        if opcode.is_control() && !is_final {
            return Err(Fault::Control);
        }
        let Some(&second) = input.get(1) else { return Ok(None) };
        if (second & 0x80 != 0) != expected.masked {
            return Err(Fault::Masking);
        }
        let short = second & 0x7F;
        if opcode.is_control() && usize::from(short) > CONTROL_BYTES_MAX {
            return Err(Fault::Control);
        }
        let (payload_bytes, length_end) = match short {
            126 => {
                let Some(length) = input[2..].first_chunk() else { return Ok(None) };
                (u64::from(u16::from_be_bytes(*length)), 4)
            }
            127 => {
                let Some(length) = input[2..].first_chunk() else { return Ok(None) };
                (u64::from_be_bytes(*length), 10)
            }
            _ => (u64::from(short), 2),
        };
        let shortest = match short {
            126 => 126..=u64::from(u16::MAX),
            127 => u64::from(u16::MAX) + 1..=u64::MAX >> 1,
            _ => 0..=125,
        };
        if !shortest.contains(&payload_bytes) {
            return Err(Fault::Length);
        }
        let header = Self { is_final, compressed, opcode, mask: None, payload_bytes };
        if !expected.masked {
            return Ok(Some((header, length_end)));
        }
        let Some(&key) = input[length_end..].first_chunk() else { return Ok(None) };
        Ok(Some((Self { mask: Some(key), ..header }, length_end + 4)))
    }

    /// Appends the header with the shortest length.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut bytes = [0; HEADER_BYTES_MAX];
        bytes[0] = u8::from(self.is_final) << 7 | u8::from(self.compressed) << 6 | self.opcode as u8;
        let masked = u8::from(self.mask.is_some()) << 7;
        let mut end = if let Some(short) = u8::try_from(self.payload_bytes).ok().filter(|&short| short <= 125)
        {
            bytes[1] = masked | short;
            2
        } else if let Ok(medium) = u16::try_from(self.payload_bytes) {
            bytes[1] = masked | 126;
            bytes[2..4].copy_from_slice(&medium.to_be_bytes());
            4
        } else {
            bytes[1] = masked | 127;
            bytes[2..10].copy_from_slice(&self.payload_bytes.to_be_bytes());
            10
        };
        if let Some(key) = self.mask {
            bytes[end..end + 4].copy_from_slice(&key);
            end += 4;
        }
        out.extend_from_slice(&bytes[..end]);
    }
}

/// Masks or unmasks `bytes` (the same operation), of which the first meets the key's first byte. Eight bytes at a time,
/// which the compiler widens further.
pub fn mask(bytes: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(wide.to_ne_bytes()) {
        *byte ^= key;
    }
}

/// Bytes that are copied before they are masked: they stay in the first-level cache in between.
const MASK_BLOCK_BYTES: usize = 8 << 10;

const _: () = assert!(MASK_BLOCK_BYTES.is_multiple_of(4), "each block meets the key's first byte");

/// Appends `payload`, masked or unmasked with `key`.
pub fn append_masked(out: &mut Vec<u8>, payload: &[u8], key: [u8; 4]) {
    out.reserve(payload.len());
    for block in payload.chunks(MASK_BLOCK_BYTES) {
        let start = out.len();
        out.extend_from_slice(block);
        mask(&mut out[start..], key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: Expected = Expected { masked: true, deflate: false };
    const SERVER: Expected = Expected { masked: false, deflate: true };

    #[test]
    fn headers_survive_a_round_trip_and_need_all_their_bytes() {
        for payload_bytes in [0, 1, 125, 126, 127, 65_535, 65_536, u64::MAX >> 1] {
            for (mask, expected) in [(None, SERVER), (Some([1, 2, 3, 4]), CLIENT)] {
                let header = FrameHeader {
                    is_final: true,
                    compressed: mask.is_none(),
                    opcode: Opcode::Binary,
                    mask,
                    payload_bytes,
                };
                let mut bytes = Vec::new();
                header.encode(&mut bytes);
                for end in 0..bytes.len() {
                    assert_eq!(FrameHeader::decode(&bytes[..end], expected), Ok(None));
                }
                assert_eq!(FrameHeader::decode(&bytes, expected), Ok(Some((header, bytes.len()))));
            }
        }
    }

    #[test]
    fn faults_are_seen_with_the_first_byte_that_shows_them() {
        for (bytes, fault) in [
            (&[0x83][..], Fault::Opcode),
            (&[0x8B], Fault::Opcode),
            (&[0xC1], Fault::ReservedBit),
            (&[0xA1], Fault::ReservedBit),
            (&[0x91], Fault::ReservedBit),
            (&[0x09], Fault::Control),
            (&[0x81, 0x01], Fault::Masking),
            (&[0x89, 0xFE], Fault::Control),
            (&[0x82, 0xFE, 0, 125], Fault::Length),
            (&[0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF], Fault::Length),
            (&[0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0], Fault::Length),
        ] {
            assert_eq!(FrameHeader::decode(bytes, CLIENT), Err(fault), "{bytes:x?}");
            assert_eq!(FrameHeader::decode(&bytes[..bytes.len() - 1], CLIENT), Ok(None), "{bytes:x?}");
        }
        assert_eq!(FrameHeader::decode(&[0x81, 0x81], SERVER), Err(Fault::Masking));
        // Only the first frame of a message says that it is compressed.
        assert_eq!(FrameHeader::decode(&[0xC0], SERVER), Err(Fault::ReservedBit));
        assert_eq!(FrameHeader::decode(&[0xC9], SERVER), Err(Fault::ReservedBit));
    }

    #[test]
    fn masking_takes_the_key_byte_by_byte() {
        let key = [0x11, 0x22, 0x44, 0x88];
        for length in (0..40).chain([MASK_BLOCK_BYTES - 1, MASK_BLOCK_BYTES + 5]) {
            let plain: Vec<u8> = (0..length).map(|at: usize| (at % 251).to_le_bytes()[0]).collect();
            let expected: Vec<u8> = plain.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]).collect();
            let mut appended = b"before".to_vec();
            append_masked(&mut appended, &plain, key);
            assert_eq!(&appended[6..], expected);
            let mut masked = expected;
            mask(&mut masked, key);
            assert_eq!(masked, plain);
        }
    }
}
