//! A message that does not arrive whole: in fragments, compressed, or cut by the network.
//!
//! **Owns**: the payload so far, unmasked and decompressed.
//! **Invariants**: text is valid UTF-8 so far, save an unfinished character at its end. The work is linear in the bytes,
//! however they are cut.
//! **Bounds**: [`Limits`]. Memory follows what arrived, not what was announced.

use super::deflate::MessageDeflate;
use super::frame::{self, FrameHeader, Opcode};
use super::utf8::{NotUtf8, Utf8Progress};
use super::{Fault, Limits};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Binary,
}

/// See the module's contract.
#[derive(Debug)]
pub(super) struct Assembly {
    kind: Kind,
    compressed: bool,
    /// The current frame is the last.
    is_final: bool,
    /// A frame is under way.
    in_frame: bool,
    /// Masks the next byte of the current frame first.
    mask: [u8; 4],
    /// Missing from the current frame.
    frame_bytes_left: u32,
    fragments: u32,
    /// Of all frames so far, as they are on the wire.
    wire_bytes: u32,
    utf8: Utf8Progress,
    buffer: Vec<u8>,
}

/// What came of a piece of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// Used bytes of the input.
    pub(super) bytes: usize,
    /// The message is complete.
    pub(super) is_complete: bool,
}

impl Assembly {
    pub(super) fn new(kind: Kind, compressed: bool, buffer: Vec<u8>) -> Self {
        Self {
            kind,
            compressed,
            is_final: false,
            in_frame: false,
            mask: [0; 4],
            frame_bytes_left: 0,
            fragments: 0,
            wire_bytes: 0,
            utf8: Utf8Progress::default(),
            buffer,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn in_frame(&self) -> bool {
        self.in_frame
    }

    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    /// Refuses a data frame out of its order, and one that makes its message too large, before its payload is awaited.
    pub(super) fn check_frame(now: Option<&Self>, header: &FrameHeader, limits: Limits) -> Result<(), Fault> {
        if (header.opcode == Opcode::Continuation) != now.is_some() {
            return Err(Fault::Fragment);
        }
        let (compressed, fragments, wire_bytes) =
            now.map_or((header.compressed, 0, 0), |now| (now.compressed, now.fragments, now.wire_bytes));
        let bytes_max = if compressed { limits.compressed_bytes_max() } else { limits.message_bytes_max };
        if header.payload_bytes > u64::from(bytes_max - wire_bytes) {
            return Err(Fault::MessageTooLarge);
        }
        if fragments == limits.fragments_max {
            return Err(Fault::TooManyFragments);
        }
        Ok(())
    }

    /// Begins a frame that was checked.
    pub(super) fn begin_frame(&mut self, header: &FrameHeader) {
        let payload_bytes = u32::try_from(header.payload_bytes).expect("below the limit, which has 32 bits");
        self.is_final = header.is_final;
        self.in_frame = true;
        self.mask = header.mask.unwrap_or_default();
        self.frame_bytes_left = payload_bytes;
        self.fragments += 1;
        self.wire_bytes += payload_bytes;
    }

    /// Takes what has arrived of the current frame's payload.
    pub(super) fn take(
        &mut self,
        input: &[u8],
        deflate: Option<&mut MessageDeflate>,
        limits: Limits,
    ) -> Result<Taken, Fault> {
        let left = usize::try_from(self.frame_bytes_left).expect("32 bits fit an address");
        let piece = &input[..input.len().min(left)];
        let ends_frame = piece.len() == left;
        let is_complete = ends_frame && self.is_final;
        let taken = match deflate.filter(|_| self.compressed) {
            Some(deflate) => self.decompress(piece, is_complete, deflate, limits),
            None => {
                frame::append_masked(&mut self.buffer, piece, self.mask);
                Ok(())
            }
        };
        // Before a fault of the compression is told: the first fault counts, however the bytes were cut.
        if self.kind == Kind::Text {
            self.utf8.advance(&self.buffer).map_err(|NotUtf8| Fault::Utf8)?;
        }
        taken?;
        self.mask.rotate_left(piece.len() % 4);
        self.frame_bytes_left = u32::try_from(left - piece.len()).expect("less than before");
        self.in_frame = !ends_frame;
        Ok(Taken { bytes: piece.len(), is_complete })
    }

    fn decompress(
        &mut self,
        piece: &[u8],
        ends_message: bool,
        deflate: &mut MessageDeflate,
        limits: Limits,
    ) -> Result<(), Fault> {
        let bytes_max = usize::try_from(limits.message_bytes_max).expect("32 bits fit an address");
        let mut plain = [0; UNMASK_BLOCK_BYTES];
        for block in piece.chunks(UNMASK_BLOCK_BYTES) {
            let plain = &mut plain[..block.len()];
            plain.copy_from_slice(block);
            frame::mask(plain, self.mask);
            deflate.decompress(plain, &mut self.buffer, bytes_max)?;
        }
        if ends_message { deflate.finish(&mut self.buffer, bytes_max) } else { Ok(()) }
    }
}

/// Compressed bytes that are unmasked at a time, on the stack.
const UNMASK_BLOCK_BYTES: usize = 2 << 10;

const _: () = assert!(UNMASK_BLOCK_BYTES.is_multiple_of(4), "each block meets the key's first byte");
