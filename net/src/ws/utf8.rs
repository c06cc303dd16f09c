//! UTF-8 that arrives in pieces.
//!
//! **Invariants**: a fault is seen with the first byte after which no continuation would be valid. Each byte is looked at
//! a bounded number of times, however small the pieces are.

/// How much of a growing buffer is known to be valid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Utf8Progress {
    /// 32 bits: a message is at most 1 GiB.
    valid_bytes: u32,
}

/// The bytes cannot become valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotUtf8;

impl Utf8Progress {
    /// Looks at what was appended to `buffer` since the last call. At most the three bytes of an unfinished character are
    /// looked at again.
    pub(super) fn advance(&mut self, buffer: &[u8]) -> Result<(), NotUtf8> {
        let known = usize::try_from(self.valid_bytes).expect("32 bits fit an address");
        let valid_bytes = match std::str::from_utf8(&buffer[known..]) {
            Ok(_) => buffer.len(),
            Err(error) if error.error_len().is_none() => known + error.valid_up_to(),
            Err(_) => return Err(NotUtf8),
        };
        self.valid_bytes = u32::try_from(valid_bytes).expect("a message is at most 1 GiB");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a byte-by-byte reader sees the fault.
    fn fault_at(bytes: &[u8]) -> Option<usize> {
        let mut progress = Utf8Progress::default();
        (1..=bytes.len()).find(|&end| progress.advance(&bytes[..end]).is_err()).map(|end| end - 1)
    }

    #[test]
    fn faults_are_seen_with_the_first_impossible_byte() {
        for (bytes, expected) in [
            (&b"plain"[..], None),
            ("κόσμε 🦀".as_bytes(), None),
            (b"a\x80", Some(1)),
            (b"\xC0\x80", Some(0)),
            (b"\xE0\x80\x80", Some(1)),
            (b"\xED\xA0\x80", Some(1)),
            (b"\xF0\x80\x80\x80", Some(1)),
            (b"\xF4\x90\x80\x80", Some(1)),
            (b"\xF5", Some(0)),
            (b"\xE2\x82a", Some(2)),
            (b"\xF0\x9F\xA6", None),
        ] {
            assert_eq!(fault_at(bytes), expected, "{bytes:x?}");
        }
    }

    #[test]
    fn all_characters_pass_byte_by_byte() {
        let all: String = ('\0'..=char::MAX).collect();
        assert_eq!(fault_at(all.as_bytes()), None);
    }
}
