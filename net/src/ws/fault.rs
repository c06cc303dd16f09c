//! What a peer can do wrong.

use super::CloseCode;

/// Why a session ended itself. The close frame with [`Fault::close_code`] is in the output already: send it and close
/// the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    /// A client's frame without a mask, or a server's with one (RFC 6455 §5.1).
    #[error("clients mask their frames and servers do not")]
    Masking,
    /// A reserved bit that no extension gave a meaning (§5.2).
    #[error("a reserved bit is set")]
    ReservedBit,
    /// A reserved opcode (§5.2).
    #[error("a reserved opcode")]
    Opcode,
    /// A length that has a shorter encoding, or one of 64 bits (§5.2).
    #[error("the length is not encoded in the shortest way")]
    Length,
    /// A control frame that is fragmented or has more than 125 bytes (§5.5).
    #[error("a control frame is fragmented or longer than 125 bytes")]
    Control,
    /// A continuation without a message, or a new message within another (§5.4).
    #[error("fragments are out of their order")]
    Fragment,
    /// A close frame with one byte, or a code that must not be sent (§5.5.1, §7.4).
    #[error("the close frame is not well-formed")]
    Close,
    /// Text or a close reason that is not UTF-8 (§8.1).
    #[error("text is not UTF-8")]
    Utf8,
    /// Compressed data that cannot be decompressed (RFC 7692 §7.2.2).
    #[error("the compressed data is broken")]
    Compression,
    /// The message is larger than its limit, compressed or not.
    #[error("the message is too large")]
    MessageTooLarge,
    /// The message has more fragments than its limit.
    #[error("the message has too many fragments")]
    TooManyFragments,
}

impl Fault {
    /// The code of the close frame.
    #[must_use]
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::Masking
            | Self::ReservedBit
            | Self::Opcode
            | Self::Length
            | Self::Control
            | Self::Fragment
            | Self::Close => CloseCode::PROTOCOL,
            Self::Utf8 | Self::Compression => CloseCode::INVALID_PAYLOAD,
            Self::MessageTooLarge | Self::TooManyFragments => CloseCode::TOO_BIG,
        }
    }
}
