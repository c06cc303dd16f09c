//! WebSocket (RFC 6455) with permessage-deflate (RFC 7692), without I/O, for both sides.
//!
//! * [`handshake`]: the server's answer to an upgrade, the client's request and the check of its answer.
//! * [`Session`]: one connection after its handshake. Bytes go in, [`Event`]s and bytes to send come out.
//! * [`encode_shared`]: one encoding of a message for all receivers of a broadcast.
//! * [`frame`]: headers and masking.
//!
//! **Runs on**: the thread that owns the connection (a session is not `Send`).
//! **Owns**: nothing while a connection is idle and without a compression context: buffers are lent by the [`Inbox`],
//! (de)compressors by the [`Codecs`], of which one each serves all sessions of a thread.
//! **Invariants**: the events depend on the bytes alone, not on how they were split. No message is delivered before it
//! is known to be well-formed; nothing is delivered after a fault.
//! **Bounds**: [`Limits`].
//! **Never**: reads a clock or makes randomness (masking keys are handed in).

mod assembly;
mod close;
mod deflate;
mod event;
mod fault;
pub mod frame;
pub mod handshake;
mod inbox;
mod limits;
mod session;
mod utf8;

pub use close::CloseCode;
pub use deflate::{Codecs, Compression, Deflate, DeflateAgreement, Direction};
pub use event::{Event, Message, Step};
pub use fault::Fault;
pub use inbox::Inbox;
pub use limits::Limits;
pub use session::{MaskSource, NotOpen, Session, encode_shared};
