//! The encoding of an entry in its table, with a checksum that shows damage: redb verifies its own checksums only when it
//! opens a file after a crash.

use ::redb::Error;

/// The encoded entry: its revision, its expiry in Unix milliseconds, the number of its parts in the table of parts
/// together with [`CHECKED`], and the value followed by the checksum. A value that is stored in parts is left out here.
pub(super) type EntryValue = (u64, Option<u64>, u32, &'static [u8]);

/// The bit of an entry with a checksum. Entries of format 1 have no checksum.
const CHECKED: u32 = 1 << 31;
/// The length of the checksum behind the inline value.
const CHECKSUM_BYTES: usize = 8;

/// A decoded entry, without the parts of its value. It was not checked against its checksum yet.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    /// The revision of the key's last write.
    pub(super) revision: u64,
    /// When the key expires, in Unix milliseconds; `None`: never.
    pub(super) expiry: Option<u64>,
    /// The number of parts of the value in the table of parts; 0 if the value is `inline`. In a damaged file it may be
    /// any number.
    pub(super) parts: u32,
    /// The value; empty if it is stored in parts.
    pub(super) inline: &'a [u8],
    /// `None` for an entry of format 1.
    checksum: Option<u64>,
}

impl<'a> Row<'a> {
    /// Decodes an entry.
    pub(super) fn of((revision, expiry, parts, inline): (u64, Option<u64>, u32, &'a [u8])) -> Self {
        if parts & CHECKED == 0 {
            return Self { revision, expiry, parts, inline, checksum: None };
        }
        let parts = parts & !CHECKED;
        match inline.split_last_chunk::<CHECKSUM_BYTES>() {
            Some((inline, checksum)) => {
                Self { revision, expiry, parts, inline, checksum: Some(u64::from_le_bytes(*checksum)) }
            }
            // The checksum is missing. The entry is damaged, and 0 will not match.
            None => Self { revision, expiry, parts, inline, checksum: Some(0) },
        }
    }

    /// Checks an entry and its whole value against its checksum. An entry of format 1 always passes. The error is
    /// [`Error::Corrupted`].
    pub(super) fn check(&self, namespace: &str, key: &str, value: &[u8]) -> Result<(), Error> {
        match self.checksum {
            Some(sum) if sum != checksum(namespace, key, self.revision, self.expiry, value) => {
                Err(Error::Corrupted(format!("the value of `{key}` is not what was written")))
            }
            _ => Ok(()),
        }
    }
}

/// Returns the checksum, to append to the inline value, and the number of parts together with [`CHECKED`].
pub(super) fn seal(
    namespace: &str,
    key: &str,
    (revision, expiry, parts): (u64, Option<u64>, u32),
    value: &[u8],
) -> ([u8; CHECKSUM_BYTES], u32) {
    (checksum(namespace, key, revision, expiry, value).to_le_bytes(), parts | CHECKED)
}

/// A sum that changes with any single byte. It detects damage by accident; it is not cryptographic.
fn checksum(namespace: &str, key: &str, revision: u64, expiry: Option<u64>, value: &[u8]) -> u64 {
    let mut sum = Sum(0);
    sum.bytes(namespace.as_bytes());
    sum.bytes(key.as_bytes());
    sum.word(revision);
    sum.word(expiry.map_or(0, |expiry| expiry.wrapping_add(1)));
    sum.bytes(value);
    sum.0
}

/// The state of a checksum.
struct Sum(u64);

impl Sum {
    fn word(&mut self, word: u64) {
        // As in FNV, but with eight bytes at a time, and rotated, so that the upper bits influence the lower ones too.
        self.0 = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.word(u64::from_le_bytes(last));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_difference_changes_the_sum() {
        let value: Vec<u8> = (0..=255).cycle().take(1003).collect();
        let sum = checksum("space", "key", 7, None, &value);
        for at in 0..value.len() {
            for bit in 0..8 {
                let mut damaged = value.clone();
                damaged[at] ^= 1 << bit;
                assert_ne!(checksum("space", "key", 7, None, &damaged), sum, "bit {bit} of byte {at}");
            }
        }
        // The sum is a part of the format of files, and must not change.
        assert_eq!(checksum("space", "key", 7, Some(9), b"more than eight bytes"), 8_025_789_410_907_510_503);
        for other in [
            checksum("spacek", "ey", 7, None, &value),
            checksum("space", "key", 8, None, &value),
            checksum("space", "key", 7, Some(0), &value),
            checksum("space", "key", 7, None, &value[1..]),
            checksum("space", "key", 7, None, &[&value[..], &[0]].concat()),
        ] {
            assert_ne!(other, sum);
        }
    }

    #[test]
    fn a_row_is_decoded_as_it_was_encoded() {
        let (sum, parts) = seal("space", "key", (7, Some(9), 0), b"value");
        let inline = [&b"value"[..], &sum].concat();
        let row = Row::of((7, Some(9), parts, &inline));
        assert_eq!((row.revision, row.expiry, row.parts, row.inline), (7, Some(9), 0, &b"value"[..]));
        row.check("space", "key", b"value").unwrap();
        row.check("space", "key", b"valuE").unwrap_err();
        Row::of((7, Some(9), parts, b"short")).check("space", "key", b"short").unwrap_err();
        // An entry of format 1.
        let row = Row::of((7, None, 3, b""));
        assert_eq!(row.parts, 3);
        row.check("space", "key", b"anything").unwrap();
    }
}
