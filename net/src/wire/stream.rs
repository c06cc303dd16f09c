//! A connection as a consumer sees it while bytes are delivered.

use super::Patience;

/// What the consumer asked for during a delivery.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) consumed: usize,
    pub(crate) wait_for: usize,
    pub(crate) body: bool,
    pub(crate) pause: bool,
    pub(crate) close: bool,
    pub(crate) patience: Option<Patience>,
}

/// Unconsumed input and the output buffer of one connection, during [`super::WireEvents::received`].
pub struct Stream<'a> {
    input: &'a [u8],
    output: &'a mut Vec<u8>,
    /// Queued before, outside of `output`.
    queued_bytes: usize,
    ended: bool,
    ended_cleanly: bool,
    wishes: Wishes,
}

impl<'a> Stream<'a> {
    pub(crate) fn new(input: &'a [u8], output: &'a mut Vec<u8>, ended: bool) -> Self {
        Self { input, output, queued_bytes: 0, ended, ended_cleanly: ended, wishes: Wishes::default() }
    }

    /// With what is queued outside of the output buffer.
    pub(crate) fn behind(self, queued_bytes: usize) -> Self {
        Self { queued_bytes, ..self }
    }

    /// An end that may be a cut: see [`Stream::ended_cleanly`].
    pub(crate) fn ended_in(self, cleanly: bool) -> Self {
        Self { ended_cleanly: self.ended && cleanly, ..self }
    }

    /// Bytes that wait to be sent, those written during this delivery included. A consumer that answers without end to
    /// one delivery looks here, and pauses.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes + self.output.len()
    }

    /// The peer itself said that nothing follows. With TLS, an end without its word may be somebody else's cut (RFC 9112
    /// §9.8): what has no length of its own is incomplete then.
    #[must_use]
    pub fn ended_cleanly(&self) -> bool {
        self.ended_cleanly
    }

    /// All unconsumed bytes. The slice outlives the borrow of the stream, so an answer can be written while a request
    /// parsed from it is still in use.
    #[must_use]
    pub fn input(&self) -> &'a [u8] {
        &self.input[self.wishes.consumed..]
    }

    /// Marks the first `count` bytes of [`Stream::input`] as used.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.input.len() - self.wishes.consumed, "only delivered bytes are consumed");
        self.wishes.consumed += count;
        self.wishes.wait_for = 0;
        self.wishes.body = false;
    }

    /// The peer will send no more after these bytes.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Delivers again only when at least `total_bytes` are unconsumed (or the peer ended): the length of a request
    /// whose head is known. Spares parsing it anew for each piece.
    pub fn wait_for(&mut self, total_bytes: usize) {
        self.wishes.wait_for = total_bytes;
        self.wishes.body = false;
    }

    /// As [`Stream::wait_for`], for a request of which only the body is missing: it may take as long as it comes at
    /// [`super::WireConfig::body_bytes_per_second_min`].
    pub fn wait_for_body(&mut self, total_bytes: usize) {
        self.wishes.wait_for = total_bytes;
        self.wishes.body = true;
    }

    /// The output buffer, to append to. What is in it already is queued: never shorten it.
    #[must_use]
    pub fn output(&mut self) -> &mut Vec<u8> {
        self.output
    }

    /// Delivers no more until [`super::Wire::resume`].
    pub fn pause(&mut self) {
        self.wishes.pause = true;
    }

    /// As [`super::Wire::set_patience`].
    pub fn set_patience(&mut self, patience: Patience) {
        self.wishes.patience = Some(patience);
    }

    /// Closes after what is queued was sent; input is no longer read.
    pub fn close(&mut self) {
        self.wishes.close = true;
    }

    pub(crate) fn into_wishes(self) -> Wishes {
        self.wishes
    }
}
