//! Unconsumed input of one connection, contiguous.

/// A byte queue whose content is always one slice. Empty, it holds no memory.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    start: usize,
}

impl Inbox {
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) {
        // Moving the rest only when the consumed part is at least as long keeps the cost per byte constant.
        if self.start > 0 && self.start >= self.len() {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn consume(&mut self, count: usize) {
        assert!(count <= self.len(), "only delivered bytes are consumed");
        self.start += count;
        if self.start == self.bytes.len() {
            self.clear();
        }
    }

    /// Empties the queue and frees its memory.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::Inbox;

    #[test]
    fn keeps_order_over_appends_and_consumes() {
        let mut inbox = Inbox::default();
        let mut expected = Vec::new();
        for round in 0..200_usize {
            let piece: Vec<u8> = (0..round % 13).map(|n| u8::try_from((round + n) % 251).unwrap()).collect();
            inbox.append(&piece);
            expected.extend_from_slice(&piece);
            let eaten = (round * 7 % 11).min(expected.len());
            inbox.consume(eaten);
            expected.drain(..eaten);
            assert_eq!(inbox.as_slice(), expected);
        }
    }

    #[test]
    fn holds_no_memory_when_empty() {
        let mut inbox = Inbox::default();
        inbox.append(&[1; 5000]);
        inbox.consume(5000);
        assert_eq!(inbox.bytes.capacity(), 0);
    }
}
