//! Records and users as bytes: a header that names the layout, then a validated rkyv archive.
//!
//! **Invariants**: nothing is read from bytes before they are validated; decoding what was encoded gives the same value.
//! **Schema**: [`SCHEMA`] is in every header. A change of the layout or meaning of an event or of the state needs a new
//! number and a reader of the old one; a golden log of each version is kept as a test. Version 2: accounts on exchanges and
//! their keys. Version 3: entries that were filled after their end. Version 4: what was told of such an entry before, in bytes that
//! were zero, which say that nothing is told. Version 5: keys that were sealed anew. Records of older versions are read as they are, for the events are the first of
//! today's and none has become larger ([`EVENT_BYTES`]); users of version 1 are read by `layout_v1`, those of version 2 are today's.

use std::num::NonZeroUsize;

use rkyv::api::access_with_context;
use rkyv::api::high::{HighDeserializer, HighValidator};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::Error;
use rkyv::util::AlignedVec;
use rkyv::validation::Validator;
use rkyv::validation::archive::ArchiveValidator;
use rkyv::validation::shared::SharedValidator;
use rkyv::{Archive, Deserialize};

use super::event::{ArchivedEvent, Record};
use super::layout_v1::UserV1;
use super::user::User;

/// Version of the layout this binary writes.
pub const SCHEMA: u16 = 5;
/// Bytes of the header: as many as keep the archive behind it aligned.
pub const HEADER_BYTES: usize = 16;

/// Deepest nesting of an archive: a few lists in lists, and a source's tree of seen keys, which has 6 levels at its bound.
/// Reading takes a few calls per level, so this bounds the stack.
const DEPTH_MAX: NonZeroUsize = NonZeroUsize::new(64).expect("above zero");

/// Bytes of an event in a record's list: those of the largest, `EntryIntended`. A larger one would move the others, and records
/// of older versions could not be read: put what is large into a box.
const EVENT_BYTES: usize = 192;
const _: () = assert!(size_of::<ArchivedEvent>() == EVENT_BYTES, "older records are read as they are");

/// What the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Record = 1,
    User = 2,
}

/// Why bytes could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Too short, or not what was looked for.
    #[error("not a {wanted} ({bytes} bytes)")]
    NotOne {
        /// What was looked for.
        wanted: &'static str,
        /// How many bytes there are.
        bytes: usize,
    },
    /// Written by a newer version.
    #[error("layout {found}, and this binary reads up to {SCHEMA}: start the newer version that wrote it")]
    Newer {
        /// The layout's number.
        found: u16,
    },
    /// The archive does not validate.
    #[error("damaged: {0}")]
    Damaged(String),
}

/// A buffer that encoding reuses.
#[derive(Debug, Default)]
pub struct Encoder {
    buffer: AlignedVec<16>,
}

impl Encoder {
    /// The bytes of a record; valid until the next call.
    ///
    /// # Panics
    /// Never: serialising into memory does not fail.
    pub fn record(&mut self, record: &Record) -> &[u8] {
        self.begin(Kind::Record, 0);
        let buffer = std::mem::take(&mut self.buffer);
        self.buffer = rkyv::api::high::to_bytes_in::<_, Error>(record, buffer)
            .expect("serialising into memory does not fail");
        &self.buffer
    }

    /// The bytes of a user as of the record with number `as_of`; valid until the next call.
    ///
    /// # Panics
    /// Never: serialising into memory does not fail.
    pub fn user(&mut self, user: &User, as_of: u64) -> &[u8] {
        self.begin(Kind::User, as_of);
        let buffer = std::mem::take(&mut self.buffer);
        self.buffer = rkyv::api::high::to_bytes_in::<_, Error>(user, buffer)
            .expect("serialising into memory does not fail");
        &self.buffer
    }

    fn begin(&mut self, kind: Kind, number: u64) {
        let mut header = [0_u8; HEADER_BYTES];
        header[..2].copy_from_slice(&SCHEMA.to_le_bytes());
        header[2] = kind as u8;
        header[8..].copy_from_slice(&number.to_le_bytes());
        self.buffer.clear();
        self.buffer.extend_from_slice(&header);
    }
}

/// A header that was read.
struct Opened<'a> {
    version: u16,
    number: u64,
    archive: &'a [u8],
}

fn open<'a>(bytes: &'a [u8], kind: Kind, wanted: &'static str) -> Result<Opened<'a>, CodecError> {
    if bytes.len() <= HEADER_BYTES || bytes[2] != kind as u8 {
        return Err(CodecError::NotOne { wanted, bytes: bytes.len() });
    }
    let found = u16::from_le_bytes([bytes[0], bytes[1]]);
    if found > SCHEMA {
        return Err(CodecError::Newer { found });
    }
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[8..HEADER_BYTES]);
    Ok(Opened { version: found, number: u64::from_le_bytes(number), archive: &bytes[HEADER_BYTES..] })
}

/// Validates an archive, then reads it.
fn read<T>(archive: &[u8]) -> Result<T, CodecError>
where
    T: Archive,
    T::Archived: for<'a> CheckBytes<HighValidator<'a, Error>> + Deserialize<T, HighDeserializer<Error>>,
{
    let bounds = ArchiveValidator::with_max_depth(archive, Some(DEPTH_MAX));
    let mut validator = Validator::new(bounds, SharedValidator::new());
    access_with_context::<T::Archived, _, Error>(archive, &mut validator)
        .and_then(|archived| rkyv::deserialize(archived))
        .map_err(|error| CodecError::Damaged(error.to_string()))
}

/// Reads a record. `bytes` is 16-byte aligned.
///
/// # Errors
/// [`CodecError`]; never panics, whatever the bytes.
pub fn decode_record(bytes: &[u8]) -> Result<Record, CodecError> {
    read::<Record>(open(bytes, Kind::Record, "record")?.archive)
}

/// Reads a user and the number of the last record it holds. `bytes` is 16-byte aligned.
///
/// # Errors
/// [`CodecError`]; never panics, whatever the bytes.
pub fn decode_user(bytes: &[u8]) -> Result<(User, u64), CodecError> {
    let Opened { version, number: as_of, archive } = open(bytes, Kind::User, "user")?;
    let user = if version < 2 { read::<UserV1>(archive)?.into() } else { read::<User>(archive)? };
    Ok((user, as_of))
}
