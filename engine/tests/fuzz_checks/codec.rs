//! Records and users as bytes.

use std::fmt::Debug;

use engine::core::codec::{CodecError, Encoder, HEADER_BYTES, SCHEMA, decode_record, decode_user};
use rkyv::util::AlignedVec;

/// What an error says is for people, however long the bytes are.
const ERROR_CHARS_MAX: usize = 2_000;

/// Bytes are at most one of record and user, or a named error, the same twice. What was read can be shown, and written
/// anew it is read as the same.
pub(crate) fn check(bytes: &[u8]) {
    let aligned = aligned(bytes);
    let record = twice(|| decode_record(&aligned), bytes);
    let user = twice(|| decode_user(&aligned), bytes);
    assert!(record.is_err() || user.is_err(), "both a record and a user");
    let mut encoder = Encoder::default();
    if let Ok(record) = record {
        let anew = encoder.record(&record).to_vec();
        let again = decode_record(&self::aligned(&anew)).expect("what was written is read");
        assert!(again == record, "another record: {again:?} for {record:?}");
        assert_eq!(encoder.record(&again), anew);
    }
    if let Ok((user, as_of)) = user {
        let anew = encoder.user(&user, as_of).to_vec();
        let again = decode_user(&self::aligned(&anew)).expect("what was written is read");
        assert!(again == (user, as_of), "another user");
        assert_eq!(encoder.user(&again.0, as_of), anew);
    }
}

fn aligned(bytes: &[u8]) -> AlignedVec<16> {
    let mut aligned = AlignedVec::new();
    aligned.extend_from_slice(bytes);
    aligned
}

/// Two readings of the same bytes, which must be equal.
fn twice<T: Debug + PartialEq>(
    read: impl Fn() -> Result<T, CodecError>,
    bytes: &[u8],
) -> Result<T, CodecError> {
    let one = read();
    match &one {
        Ok(value) => {
            assert!(!format!("{value:?}").is_empty());
            assert!(bytes.len() > HEADER_BYTES && u16::from_le_bytes([bytes[0], bytes[1]]) <= SCHEMA);
            assert!(read().is_ok_and(|other| other == *value), "another value from the same bytes");
        }
        Err(error) => {
            let text = error.to_string();
            assert!(text.len() <= ERROR_CHARS_MAX, "{text}");
            // The text of a damaged archive names addresses, which differ; that it is damaged does not.
            let other = read().expect_err("an error at first and a value then");
            assert_eq!(std::mem::discriminant(error), std::mem::discriminant(&other));
        }
    }
    one
}
