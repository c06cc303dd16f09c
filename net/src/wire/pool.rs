//! Output buffers, lent to connections only while they have something to send.
//!
//! **Bounds**: keeps at most [`KEPT`] buffers of at most [`KEPT_BYTES`] each (16 MiB in all); others are freed.

/// As many as the connections that typically have an answer under way at once.
const KEPT: usize = 256;
/// An answer or a pipelined batch of them fits; a page of history is freed afterwards.
const KEPT_BYTES: usize = 64 << 10;

/// Spare output buffers, all empty.
#[derive(Debug, Default)]
pub(crate) struct BufferPool {
    spare: Vec<Vec<u8>>,
}

impl BufferPool {
    /// Gives `buffer` memory if it has none.
    #[inline]
    pub(crate) fn equip(&mut self, buffer: &mut Vec<u8>) {
        if buffer.capacity() == 0
            && let Some(spare) = self.spare.pop()
        {
            *buffer = spare;
        }
    }

    /// Takes the memory of `buffer`; its content is lost.
    #[inline]
    pub(crate) fn retire(&mut self, buffer: &mut Vec<u8>) {
        let mut buffer = std::mem::take(buffer);
        if buffer.capacity() > 0 && buffer.capacity() <= KEPT_BYTES && self.spare.len() < KEPT {
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}
