//! One step of rustls' state machine, for either side.
//!
//! **Invariants**: what a step has to send is appended to `out`; what it decrypted to `plain`. Nothing is encoded twice.

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic};
use rustls::{CommonState, Error};

use super::ledger::Ledger;

/// Plaintext of one record at most: RFC 8446 §5.1.
const RECORD_BYTES_MAX: usize = 16 << 10;
/// What a record adds to its plaintext: 5 of header, and with TLS 1.3 1 + 16, with TLS 1.2 up to 8 + 16. A little more
/// than that, so that a key update fits most often.
const RECORD_OVERHEAD_BYTES: usize = 64;

/// Which end of the handshake we are.
pub(super) enum Side {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
    /// rustls would not begin; every step fails.
    Unusable,
}

/// Where a step led.
pub(super) enum Step {
    /// There may be more to do with the same input.
    Again,
    /// Nothing more to do until something arrives, or all was encrypted.
    Done,
    /// The peer will send no more.
    PeerClosed,
    /// The connection is broken; a further step may yield the alert that says so.
    Failed(Error),
}

/// What a step works on.
pub(super) struct Work<'a> {
    /// Takes ciphertext.
    pub(super) out: &'a mut Vec<u8>,
    /// Takes what was decrypted.
    pub(super) plain: &'a mut Vec<u8>,
    /// To be encrypted once the handshake is complete.
    pub(super) pending: &'a [u8],
    /// Ends our direction after that.
    pub(super) notify: bool,
    pub(super) ledger: &'a mut Ledger,
}

impl Side {
    pub(super) fn common(&self) -> Option<&CommonState> {
        match self {
            Self::Server(connection) => Some(connection),
            Self::Client(connection) => Some(connection),
            Self::Unusable => None,
        }
    }

    pub(super) fn is_client(&self) -> bool {
        matches!(self, Self::Client(_))
    }

    /// One step with what has arrived. Returns how many bytes of `incoming` are done with.
    pub(super) fn step(&mut self, incoming: &mut [u8], work: &mut Work<'_>) -> (usize, Step) {
        match self {
            Self::Server(connection) => follow(connection.process_tls_records(incoming), work),
            Self::Client(connection) => follow(connection.process_tls_records(incoming), work),
            Self::Unusable => (0, Step::Failed(Error::HandshakeNotComplete)),
        }
    }
}

fn follow<D>(status: UnbufferedStatus<'_, '_, D>, work: &mut Work<'_>) -> (usize, Step) {
    let mut discard = status.discard;
    let step = match status.state {
        Err(error) => Step::Failed(error),
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            let bytes = append(work.out, 0, |room| {
                data.encode(room).map_err(|error| match error {
                    EncodeError::InsufficientSize(size) => Some(size.required_size),
                    EncodeError::AlreadyEncoded => None,
                })
            });
            work.ledger.overhead(bytes.unwrap_or(0));
            Step::Again
        }
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Step::Again
        }
        Ok(ConnectionState::ReadTraffic(mut traffic)) => {
            let mut step = Step::Again;
            while let Some(record) = traffic.next_record() {
                match record {
                    Ok(record) => {
                        discard += record.discard;
                        work.plain.extend_from_slice(record.payload);
                    }
                    Err(error) => step = Step::Failed(error),
                }
            }
            step
        }
        Ok(ConnectionState::WriteTraffic(mut traffic)) => match seal(&mut traffic, work) {
            Ok(()) => Step::Done,
            Err(error) => Step::Failed(error),
        },
        Ok(ConnectionState::PeerClosed) => Step::PeerClosed,
        Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => Step::Done,
        // Early data is not offered by any of our configurations, and the states may grow.
        Ok(_) => Step::Failed(Error::General("a state that was not asked for".to_owned())),
    };
    (discard, step)
}

/// Encrypts what is pending, record by record so that the ledger can tell them apart.
fn seal<D>(traffic: &mut WriteTraffic<'_, D>, work: &mut Work<'_>) -> Result<(), Error> {
    let room_needed = |error| match error {
        EncryptError::InsufficientSize(size) => Some(size.required_size),
        EncryptError::EncryptExhausted => None,
    };
    let exhausted = || Error::EncryptError;
    let records = work.pending.len().div_ceil(RECORD_BYTES_MAX);
    work.out.reserve(work.pending.len() + records * RECORD_OVERHEAD_BYTES);
    for plain in work.pending.chunks(RECORD_BYTES_MAX) {
        let room = plain.len() + RECORD_OVERHEAD_BYTES;
        let bytes = append(work.out, room, |room| traffic.encrypt(plain, room).map_err(room_needed));
        work.ledger.record(plain.len(), bytes.ok_or_else(exhausted)?);
    }
    work.pending = &[];
    if std::mem::take(&mut work.notify) {
        let bytes = append(work.out, RECORD_OVERHEAD_BYTES, |room| {
            traffic.queue_close_notify(room).map_err(room_needed)
        });
        work.ledger.overhead(bytes.ok_or_else(exhausted)?);
    }
    Ok(())
}

/// Appends what `write` writes, with `room` bytes of space or as many as it then asks for. `None` when it fails.
fn append(
    out: &mut Vec<u8>,
    mut room: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) -> Option<usize> {
    let start = out.len();
    loop {
        out.resize(start + room, 0);
        match write(&mut out[start..]) {
            Ok(bytes) => {
                out.truncate(start + bytes);
                return Some(bytes);
            }
            Err(Some(needed)) if needed > room => room = needed,
            Err(_) => {
                out.truncate(start);
                return None;
            }
        }
    }
}
