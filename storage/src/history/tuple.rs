//! Rows as Postgres' binary COPY has them: a count of fields, then each with its length and its bytes, big-endian.
//!
//! The layouts are those of the types' `recv` functions (PostgreSQL 15, `src/backend/utils/adt`): `numeric` in base 10 000,
//! `timestamptz` in microseconds since 2000-01-01, `jsonb` with a version byte before its text.
//!
//! **Invariants**: a tuple holds as many fields as it was begun with; a text holds no NUL, which the database has no place for.

use std::fmt::Display;
use std::io::Write as _;

use engine::core::ids::Timestamp;

/// What a COPY begins with: the signature, no flags, no extension.
pub const COPY_HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with.
pub const COPY_TRAILER: [u8; 2] = [0xff, 0xff];
/// 2000-01-01 in microseconds of 1970.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// The last instant the database has a name for; later ones are `infinity`.
const LAST_MICROS: i64 = 9_223_371_331_200_000_000 - EPOCH_MICROS;
/// Most rows are shorter, so that few grow while they are written.
const USUAL_BYTES: usize = 320;
/// Decimal places of our numbers.
const SCALE: u16 = 8;

/// A row that is being written.
#[derive(Debug, Default)]
pub struct Tuple {
    bytes: Vec<u8>,
    fields: u16,
}

impl Tuple {
    /// An empty row.
    #[must_use]
    pub fn new() -> Self {
        let mut bytes = Vec::with_capacity(USUAL_BYTES);
        bytes.extend_from_slice(&[0, 0]);
        Self { bytes, fields: 0 }
    }

    fn field(&mut self, bytes: &[u8]) {
        let length = i32::try_from(bytes.len()).expect("a field is shorter than a record");
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(bytes);
        self.fields += 1;
    }

    /// Nothing is known.
    pub fn null(&mut self) -> &mut Self {
        self.bytes.extend_from_slice(&(-1_i32).to_be_bytes());
        self.fields += 1;
        self
    }

    /// `smallint`.
    pub fn small(&mut self, value: impl Into<i16>) -> &mut Self {
        self.field(&value.into().to_be_bytes());
        self
    }

    /// `integer`.
    pub fn integer(&mut self, value: i32) -> &mut Self {
        self.field(&value.to_be_bytes());
        self
    }

    /// `bigint`; an id above its range keeps its bits.
    pub fn big(&mut self, value: u64) -> &mut Self {
        self.field(&value.to_be_bytes());
        self
    }

    /// `boolean`.
    pub fn boolean(&mut self, value: bool) -> &mut Self {
        self.field(&[u8::from(value)]);
        self
    }

    /// `text`.
    pub fn text(&mut self, value: &str) -> &mut Self {
        if value.contains('\0') {
            self.field(value.replace('\0', "\u{fffd}").as_bytes());
        } else {
            self.field(value.as_bytes());
        }
        self
    }

    /// `text` of what has no NUL in it: an id, a name of ours.
    pub fn id(&mut self, value: impl Display) -> &mut Self {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        write!(self.bytes, "{value}").expect("writing to memory does not fail");
        let length = i32::try_from(self.bytes.len() - at - 4).expect("a field is shorter than a record");
        self.bytes[at..at + 4].copy_from_slice(&length.to_be_bytes());
        self.fields += 1;
        self
    }

    /// `text`, or nothing.
    pub fn text_or_null(&mut self, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.text(value),
            None => self.null(),
        }
    }

    /// `jsonb`. The text must be JSON.
    pub fn json(&mut self, value: &str) -> &mut Self {
        let length = i32::try_from(value.len() + 1).expect("a field is shorter than a record");
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.push(1);
        self.bytes.extend_from_slice(value.as_bytes());
        self.fields += 1;
        self
    }

    /// `timestamptz`.
    pub fn time(&mut self, value: Timestamp) -> &mut Self {
        let micros = i64::try_from(value.0).unwrap_or(i64::MAX).saturating_sub(EPOCH_MICROS);
        let micros = if micros > LAST_MICROS { i64::MAX } else { micros };
        self.field(&micros.to_be_bytes());
        self
    }

    /// `timestamptz`, nothing for zero.
    pub fn time_or_null(&mut self, value: Timestamp) -> &mut Self {
        if value == Timestamp(0) { self.null() } else { self.time(value) }
    }

    /// `numeric` from units of 1e-8.
    pub fn numeric(&mut self, units: i64) -> &mut Self {
        let magnitude = units.unsigned_abs();
        // Five digits of base 10 000: three of the whole part, two of the fraction.
        let mut digits = [0_u16; 5];
        let mut rest = magnitude;
        for digit in digits.iter_mut().rev() {
            *digit = u16::try_from(rest % 10_000).expect("below 10 000");
            rest /= 10_000;
        }
        let first = digits.iter().position(|digit| *digit != 0).unwrap_or(digits.len());
        let last = digits.iter().rposition(|digit| *digit != 0).map_or(first, |last| last + 1);
        let used = &digits[first..last];
        let weight = if used.is_empty() { 0 } else { 2 - i16::try_from(first).expect("at most five") };
        let count = u16::try_from(used.len()).expect("at most five");
        let sign: u16 = if units < 0 { 0x4000 } else { 0 };
        let mut bytes = [0_u8; 18];
        bytes[..2].copy_from_slice(&count.to_be_bytes());
        bytes[2..4].copy_from_slice(&weight.to_be_bytes());
        bytes[4..6].copy_from_slice(&sign.to_be_bytes());
        bytes[6..8].copy_from_slice(&SCALE.to_be_bytes());
        for (place, digit) in used.iter().enumerate() {
            bytes[8 + 2 * place..10 + 2 * place].copy_from_slice(&digit.to_be_bytes());
        }
        self.field(&bytes[..8 + 2 * used.len()]);
        self
    }

    /// `numeric`, or nothing.
    pub fn numeric_or_null(&mut self, units: Option<i64>) -> &mut Self {
        match units {
            Some(units) => self.numeric(units),
            None => self.null(),
        }
    }

    /// The row's bytes.
    ///
    /// # Panics
    /// When it does not have `columns` fields.
    #[must_use]
    pub fn finish(mut self, columns: usize) -> Vec<u8> {
        assert_eq!(usize::from(self.fields), columns, "a row has all its columns");
        self.bytes[..2].copy_from_slice(&self.fields.to_be_bytes());
        self.bytes
    }
}

/// The fields of a tuple; `None` for one of which nothing is known.
pub type Fields<'a> = Vec<Option<&'a [u8]>>;

/// The fields of the tuple that `bytes` begins with, and what follows it. `None` when it is not whole.
#[must_use]
pub fn split(bytes: &[u8]) -> Option<(Fields<'_>, &[u8])> {
    let (count, mut rest) = bytes.split_first_chunk::<2>()?;
    let mut fields = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (length, after) = rest.split_first_chunk::<4>()?;
        match usize::try_from(i32::from_be_bytes(*length)) {
            Err(_) => {
                fields.push(None);
                rest = after;
            }
            Ok(length) => {
                fields.push(Some(after.get(..length)?));
                rest = &after[length..];
            }
        }
    }
    Some((fields, rest))
}

/// How long the first `fields` fields of a tuple are, with its count: its key.
pub(crate) fn prefix_bytes(tuple: &[u8], fields: usize) -> usize {
    let mut at = 2;
    for _ in 0..fields {
        let length: [u8; 4] = tuple[at..at + 4].try_into().expect("four bytes");
        at += 4 + usize::try_from(i32::from_be_bytes(length)).unwrap_or(0);
    }
    at
}

/// `tuple` with its field number `column` as `other`, of the same table, has it.
pub(crate) fn with_field_of(tuple: &[u8], other: &[u8], column: usize) -> Vec<u8> {
    let field = |of: &[u8]| prefix_bytes(of, column)..prefix_bytes(of, column + 1);
    let place = field(tuple);
    [&tuple[..place.start], &other[field(other)], &tuple[place.end..]].concat()
}

/// Units of 1e-8 of a `numeric` field of ours. `None` when it is not one.
#[must_use]
pub fn numeric_units(field: &[u8]) -> Option<i64> {
    let word = |at: usize| field.get(at..at + 2).map(|two| u16::from_be_bytes([two[0], two[1]]));
    let count = usize::from(word(0)?);
    let weight = i32::from(i16::from_be_bytes([*field.get(2)?, *field.get(3)?]));
    let mut units: i128 = 0;
    for place in 0..count {
        let digit = i128::from(word(8 + 2 * place)?);
        let exponent = weight - i32::try_from(place).ok()? + 2;
        units += digit * 10_000_i128.checked_pow(u32::try_from(exponent).ok()?)?;
    }
    i64::try_from(if word(4)? == 0x4000 { -units } else { units }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(units: i64) {
            let mut tuple = Tuple::new();
            tuple.numeric(units).null().text("a\0b");
            let bytes = tuple.finish(3);
            let (fields, rest) = split(&bytes).unwrap();
            prop_assert!(rest.is_empty());
            prop_assert_eq!(numeric_units(fields[0].unwrap()), Some(units));
            prop_assert_eq!(fields[1], None);
            prop_assert_eq!(fields[2], Some("a\u{fffd}b".as_bytes()));
        }
    }

    #[test]
    fn known_layouts() {
        let field = |tuple: Tuple| tuple.finish(1)[6..].to_vec();
        let mut tuple = Tuple::new();
        tuple.numeric(-1_234_500_000_000);
        // -12345: two digits (1, 2345), weight 1, negative, scale 8.
        assert_eq!(field(tuple), [0, 2, 0, 1, 0x40, 0, 0, 8, 0, 1, 0x09, 0x29]);
        let mut tuple = Tuple::new();
        tuple.time(Timestamp(946_684_800_000_001));
        assert_eq!(field(tuple), [0, 0, 0, 0, 0, 0, 0, 1]);
        let mut tuple = Tuple::new();
        tuple.time(Timestamp(u64::MAX));
        assert_eq!(field(tuple), i64::MAX.to_be_bytes());
    }

    #[test]
    fn a_field_is_taken_from_another_row() {
        let row = |text: Option<&str>, number: i32| {
            let mut tuple = Tuple::new();
            tuple.integer(number).text_or_null(text).integer(-number);
            tuple.finish(3)
        };
        assert_eq!(
            with_field_of(&row(Some("short"), 1), &row(Some("much longer"), 2), 1),
            row(Some("much longer"), 1)
        );
        assert_eq!(with_field_of(&row(Some("short"), 1), &row(None, 2), 1), row(None, 1));
        assert_eq!(with_field_of(&row(None, 1), &row(Some(""), 2), 1), row(Some(""), 1));
    }

    #[test]
    #[should_panic(expected = "all its columns")]
    fn a_row_without_a_column_is_not_written() {
        let mut tuple = Tuple::new();
        tuple.null();
        let _ = tuple.finish(2);
    }
}
