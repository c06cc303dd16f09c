//! permessage-deflate (RFC 7692): the agreement of two ends, and (de)compression of messages.
//!
//! **Runs on**: one thread; its sessions share one [`Codecs`].
//! **Owns**: (de)compressors. Without context takeover they go back after each message, so that an idle connection has
//! none; with it each connection keeps its own.
//! **Bounds**: [`SPARES_MAX`] of each kind are kept. A compressor takes about 300 KiB, a decompressor about 50 KiB; ten
//! thousand connections with context takeover would hold 3 GB. Output stops at the message limit.

use std::cell::RefCell;
use std::rc::Rc;

use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};

use super::Fault;

/// Messages that are being decompressed at once, on one thread, seldom exceed this.
const SPARES_MAX: usize = 4;

/// The marker that ends a flush and is left out on the wire (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// The smallest window zlib can use. One of 8 bits (256 bytes) can be read with a larger one but not written.
const WINDOW_BITS_MIN: u8 = 9;

/// The largest window (RFC 7692 §7.1.2): 32 KiB.
pub(super) const WINDOW_BITS_MAX: u8 = 15;

/// One direction of an agreement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Direction {
    /// The window's size as a power of two, 8 to 15.
    pub window_bits: u8,
    /// Whether a message may refer to former ones.
    pub takeover: bool,
}

/// What both ends agreed on in the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeflateAgreement {
    /// From server to client.
    pub server: Direction,
    /// From client to server.
    pub client: Direction,
}

/// How this side compresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    /// 1 (fast) to 9 (small). 1: on 300 bytes to 4 KiB of JSON it took a quarter to a half of the time of 2, for results that
    /// were 13 to 40 % larger; above 2 there is little to gain.
    pub level: u8,
    /// Messages below this many bytes are sent as they are: they gain little and would cost a reset of 128 KiB.
    pub payload_bytes_min: usize,
}

impl Default for Compression {
    fn default() -> Self {
        Self { level: 1, payload_bytes_min: 256 }
    }
}

/// (De)compressors of one thread.
#[derive(Debug)]
pub struct Codecs {
    compression: Compression,
    pool: RefCell<Pool>,
}

#[derive(Debug, Default)]
struct Pool {
    /// With the bits of their windows.
    compressors: Vec<(u8, Compress)>,
    /// All with the largest window, which reads every other.
    decompressors: Vec<Decompress>,
    /// The compressed message before its frame.
    scratch: Vec<u8>,
}

impl Codecs {
    /// An empty pool.
    ///
    /// # Panics
    /// When the level is not 1 to 9.
    #[must_use]
    pub fn new(compression: Compression) -> Rc<Self> {
        assert!((1..=9).contains(&compression.level), "a compression level is 1 to 9");
        Rc::new(Self { compression, pool: RefCell::default() })
    }
}

/// What a session with permessage-deflate needs.
#[derive(Clone, Debug)]
pub struct Deflate {
    /// From the handshake.
    pub agreement: DeflateAgreement,
    /// The thread's.
    pub codecs: Rc<Codecs>,
}

/// The compression of one connection.
#[derive(Debug)]
pub(super) struct MessageDeflate {
    codecs: Rc<Codecs>,
    outgoing: Direction,
    incoming: Direction,
    compressor: Option<Compress>,
    decompressor: Option<Decompress>,
}

impl MessageDeflate {
    pub(super) fn new(codecs: Rc<Codecs>, outgoing: Direction, incoming: Direction) -> Self {
        Self { codecs, outgoing, incoming, compressor: None, decompressor: None }
    }

    /// Compresses `payload` and hands the result to `send`. False, and nothing is sent, when the message had better be
    /// sent as it is.
    pub(super) fn compress(&mut self, payload: &[u8], send: impl FnOnce(&[u8])) -> bool {
        let Compression { level, payload_bytes_min } = self.codecs.compression;
        let window_bits = self.outgoing.window_bits;
        // An empty message would have no flush marker to take off.
        if payload.len() < payload_bytes_min.max(1) || window_bits < WINDOW_BITS_MIN {
            return false;
        }
        let mut pool = self.codecs.pool.borrow_mut();
        let pool = &mut *pool;
        let mut compressor = self.compressor.take().unwrap_or_else(|| {
            match pool.compressors.iter().position(|(bits, _)| *bits == window_bits) {
                Some(at) => pool.compressors.swap_remove(at).1,
                None => Compress::new_with_window_bits(
                    flate2::Compression::new(u32::from(level)),
                    false,
                    window_bits,
                ),
            }
        });
        deflate(&mut compressor, payload, &mut pool.scratch);
        // With takeover the message makes later ones smaller even when it is not smaller itself, and once it is part of
        // the context the peer has to see it.
        let gains = self.outgoing.takeover || pool.scratch.len() < payload.len();
        if gains {
            send(&pool.scratch);
        }
        if self.outgoing.takeover {
            self.compressor = Some(compressor);
        } else if pool.compressors.len() < SPARES_MAX {
            compressor.reset();
            pool.compressors.push((window_bits, compressor));
        }
        gains
    }

    /// Decompresses the next piece of a message to the end of `buffer`, at most to `bytes_max`.
    pub(super) fn decompress(
        &mut self,
        piece: &[u8],
        buffer: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Result<(), Fault> {
        let decompressor = self.decompressor.get_or_insert_with(|| {
            let window_bits = if self.incoming.takeover {
                self.incoming.window_bits.max(WINDOW_BITS_MIN)
            } else if let Some(spare) = self.codecs.pool.borrow_mut().decompressors.pop() {
                return spare;
            } else {
                WINDOW_BITS_MAX
            };
            Decompress::new_with_window_bits(false, window_bits)
        });
        inflate(decompressor, piece, buffer, bytes_max)
    }

    /// Ends a message. One that breaks off within a block is refused when the marker was taken for content; where the
    /// marker adds nothing, such a message cannot be told from a whole one and is delivered as far as it goes.
    pub(super) fn finish(&mut self, buffer: &mut Vec<u8>, bytes_max: usize) -> Result<(), Fault> {
        let content_bytes = buffer.len();
        self.decompress(&TAIL, buffer, bytes_max)?;
        if buffer.len() != content_bytes {
            return Err(Fault::Compression);
        }
        if !self.incoming.takeover
            && let Some(mut decompressor) = self.decompressor.take()
        {
            let spares = &mut self.codecs.pool.borrow_mut().decompressors;
            if spares.len() < SPARES_MAX {
                decompressor.reset(false);
                spares.push(decompressor);
            }
        }
        Ok(())
    }
}

/// Compresses `payload` into `out`, without the flush marker.
fn deflate(compressor: &mut Compress, payload: &[u8], out: &mut Vec<u8>) {
    out.clear();
    // Seldom exceeded: data that does not compress grows by 5 bytes per block.
    out.reserve(payload.len() + payload.len() / 256 + 64);
    let mut rest = payload;
    loop {
        let read_before = compressor.total_in();
        compressor
            .compress_vec(rest, out, FlushCompress::Sync)
            .expect("compression fails only when its state is used out of order");
        rest = &rest[count(compressor.total_in() - read_before)..];
        // Room left over means that the flush is complete.
        if out.len() < out.capacity() {
            break;
        }
        out.reserve(out.len());
    }
    assert!(rest.is_empty() && out.ends_with(&TAIL), "a sync flush takes all input and ends in its marker");
    out.truncate(out.len() - TAIL.len());
}

fn inflate(
    decompressor: &mut Decompress,
    piece: &[u8],
    buffer: &mut Vec<u8>,
    bytes_max: usize,
) -> Result<(), Fault> {
    let mut rest = piece;
    loop {
        if buffer.len() == buffer.capacity() {
            buffer.reserve(rest.len().clamp(64, 4096));
        }
        let read_before = decompressor.total_in();
        let written_before = buffer.len();
        let status = decompressor.decompress_vec(rest, buffer, FlushDecompress::Sync);
        if buffer.len() > bytes_max {
            // No further: whether more was decompressed depends on how the bytes were cut.
            buffer.truncate(bytes_max);
            return Err(Fault::MessageTooLarge);
        }
        let status = status.map_err(|_| Fault::Compression)?;
        let read = count(decompressor.total_in() - read_before);
        rest = &rest[read..];
        let has_room = buffer.len() < buffer.capacity();
        match status {
            // A final block may end before its message does (RFC 7692 §7.2.3.4); what follows begins anew.
            Status::StreamEnd => decompressor.reset(false),
            Status::Ok | Status::BufError if has_room && read == 0 && buffer.len() == written_before => {
                return if rest.is_empty() { Ok(()) } else { Err(Fault::Compression) };
            }
            Status::Ok | Status::BufError => {}
        }
        if rest.is_empty() && has_room {
            return Ok(());
        }
    }
}

fn count(bytes: u64) -> usize {
    usize::try_from(bytes).expect("counts bytes of one slice")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Direction = Direction { window_bits: 15, takeover: false };

    fn connection(direction: Direction) -> MessageDeflate {
        let codecs = Codecs::new(Compression { payload_bytes_min: 0, ..Compression::default() });
        MessageDeflate::new(codecs, direction, direction)
    }

    /// The examples of RFC 7692 §7.2.3: one block, two blocks, a stored block, a final block.
    #[test]
    fn the_examples_of_the_standard() {
        for bytes in [
            &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
            &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
            &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
        ] {
            let mut connection = connection(PLAIN);
            for piece_bytes in [1, bytes.len()] {
                let mut buffer = Vec::new();
                for piece in bytes.chunks(piece_bytes) {
                    connection.decompress(piece, &mut buffer, 100).unwrap();
                }
                connection.finish(&mut buffer, 100).unwrap();
                assert_eq!(buffer, b"Hello", "{bytes:x?}");
            }
        }
    }

    #[test]
    fn output_stops_at_its_limit() {
        let mut connection = connection(PLAIN);
        let mut bomb = Vec::new();
        assert!(connection.compress(&vec![0; 1 << 24], |bytes| bomb.extend_from_slice(bytes)));
        let mut buffer = Vec::new();
        assert_eq!(connection.decompress(&bomb, &mut buffer, 10_000), Err(Fault::MessageTooLarge));
        assert!(buffer.capacity() < 40_000, "{}", buffer.capacity());
    }

    #[test]
    fn noise_is_sent_as_it_is_unless_it_belongs_to_a_context() {
        let noise: Vec<u8> = (0..400_u32).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect();
        let sizes = |takeover| {
            let mut connection = connection(Direction { window_bits: 15, takeover });
            [(); 2].map(|()| {
                let mut bytes = 0;
                connection.compress(&noise, |sent| bytes = sent.len());
                bytes
            })
        };
        assert_eq!(sizes(false), [0, 0]);
        let [first, second] = sizes(true);
        assert!((400..440).contains(&first) && second < 40, "{first} {second}");
    }

    #[test]
    fn without_takeover_nothing_stays_with_the_connection() {
        let mut connection = connection(PLAIN);
        let mut sent = Vec::new();
        assert!(connection.compress(&[7; 500], |bytes| sent.extend_from_slice(bytes)));
        let mut buffer = Vec::new();
        connection.decompress(&sent, &mut buffer, 1000).unwrap();
        connection.finish(&mut buffer, 1000).unwrap();
        assert_eq!(buffer, [7; 500]);
        assert!(connection.compressor.is_none() && connection.decompressor.is_none());
    }
}
