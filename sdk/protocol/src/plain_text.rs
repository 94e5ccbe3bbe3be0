//! Finds the end of plain text: ASCII that needs no escape in a JSON string. The writer copies plain text, and the quick reader
//! borrows it. Both look at every byte of every string, so this code is written for speed.

/// Whether all of `text` is plain, so that it is its own JSON string but for the quotes.
pub(crate) fn is_plain(text: &str) -> bool {
    plain_prefix(text.as_bytes()) == text.len()
}

/// The number of bytes before the first one that is not plain, or the length of `text` if all of them are.
///
/// Not plain are `"`, `\`, the control characters below 0x20, and every byte that is not ASCII.
pub(crate) fn plain_prefix(text: &[u8]) -> usize {
    let (eights, last) = text.as_chunks::<8>();
    for (at, eight) in eights.iter().enumerate() {
        let special = special_bytes(u64::from_le_bytes(*eight));
        if special != 0 {
            return at * 8 + special.trailing_zeros() as usize / 8;
        }
        if at == LONG_FROM_EIGHTS {
            return at * 8 + plain_prefix_of_long(&text[at * 8..]);
        }
    }
    eights.len() * 8 + last.iter().take_while(|byte| is_plain_byte(**byte)).count()
}

/// How many chunks of eight bytes are searched one by one. The rest of the text is searched in larger pieces.
const LONG_FROM_EIGHTS: usize = 8;

/// Does the same as [`plain_prefix`], in pieces that the compiler turns into vector instructions: the text may be a megabyte of base64.
fn plain_prefix_of_long(text: &[u8]) -> usize {
    let (pieces, _) = text.as_chunks::<64>();
    let all_plain = |piece: &[u8; 64]| !piece.iter().fold(false, |found, byte| found | !is_plain_byte(*byte));
    let at = 64 * pieces.iter().take_while(|piece| all_plain(piece)).count();
    at + text[at..].iter().take_while(|byte| is_plain_byte(**byte)).count()
}

fn is_plain_byte(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7F) && byte != b'"' && byte != b'\\'
}

/// Sets the highest bit of each byte that is not plain, and clears all other bits. Only the lowest set bit is sure: bits above it may
/// be wrong, because the subtractions carry from one byte into the next.
fn special_bytes(eight: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = EACH * 0x80;
    // The highest bit of an ASCII byte is clear. If it is set after a subtraction, the byte was smaller than the number subtracted.
    let zero = |bytes: u64| bytes.wrapping_sub(EACH);
    let below_space = eight.wrapping_sub(EACH * 0x20);
    let quote = zero(eight ^ (EACH * u64::from(b'"')));
    let backslash = zero(eight ^ (EACH * u64::from(b'\\')));
    (eight | below_space | quote | backslash) & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_that_is_not_plain_is_found_at_every_position() {
        for byte in 0..=u8::MAX {
            for at in 0..80 {
                let mut text = [b'a'; 80];
                text[at] = byte;
                let special = byte.is_ascii_control() && byte != 0x7F || !byte.is_ascii() || b"\"\\".contains(&byte);
                assert_eq!(plain_prefix(&text), if special { at } else { 80 }, "{byte:#x} at {at}");
            }
        }
    }
}
