//! Decimal numbers and JSON strings as bytes, by hand: they are on the way of every message.

const ONES: u64 = 0x0101_0101_0101_0101;
const TOPS: u64 = 0x8080_8080_8080_8080;

/// The first position from `at` on whose byte `is` accepts, or the end. Eight bytes a step: of the bytes below 0x80 that
/// are accepted, `borrows` sets the top bits of the lowest in its word.
#[inline(always)]
fn find(bytes: &[u8], mut at: usize, borrows: impl Fn(u64) -> u64, is: impl Fn(u8) -> bool) -> usize {
    while let Some(Ok(eight)) = bytes.get(at..at + 8).map(<[u8; 8]>::try_from) {
        let word = u64::from_le_bytes(eight);
        let found = borrows(word) & !word & TOPS;
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|byte| !is(*byte)) {
        at += 1;
    }
    at
}

/// Subtracting one borrows from the top bit where a byte is zero, that is, where `word` has `byte`; and, what does not
/// matter, perhaps in bytes above.
#[inline(always)]
fn equal(word: u64, byte: u8) -> u64 {
    (word ^ (ONES * u64::from(byte))).wrapping_sub(ONES)
}

/// The position of the next `"` or `\` from `at` on, or the end.
#[inline(always)]
pub(super) fn quote_or_escape(bytes: &[u8], at: usize) -> usize {
    find(bytes, at, |word| equal(word, b'"') | equal(word, b'\\'), |byte| matches!(byte, b'"' | b'\\'))
}

/// The position of the next byte from `at` on that a JSON string must escape, or the end.
fn to_be_escaped(bytes: &[u8], at: usize) -> usize {
    let control = |word: u64| word.wrapping_sub(ONES * u64::from(b' '));
    let borrows = |word| control(word) | equal(word, b'"') | equal(word, b'\\');
    find(bytes, at, borrows, |byte| byte < b' ' || matches!(byte, b'"' | b'\\'))
}

/// Appends a string without its quotes.
pub(super) fn push_escaped(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let mut from = 0;
    loop {
        let at = to_be_escaped(bytes, from);
        out.extend_from_slice(&bytes[from..at]);
        let Some(byte) = bytes.get(at) else { return };
        push_escape(out, *byte);
        from = at + 1;
    }
}

fn push_escape(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => {
            let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digits[0], digits[1]]);
        }
    }
}

/// Appends a string with its quotes.
pub(super) fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    push_escaped(out, text);
    out.push(b'"');
}

/// Appends a number in decimal.
pub(super) fn push_int(out: &mut Vec<u8>, value: i64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    while rest >= 10 {
        let two = (rest % 100) as usize * 2;
        rest /= 100;
        at -= 2;
        digits[at..at + 2].copy_from_slice(&TWO_DIGITS[two..two + 2]);
    }
    if rest > 0 || at == digits.len() {
        at -= 1;
        digits[at] = b'0' + rest as u8;
    }
    if value < 0 {
        at -= 1;
        digits[at] = b'-';
    }
    out.extend_from_slice(&digits[at..]);
}

/// 00, 01 to 99.
const TWO_DIGITS: [u8; 200] = {
    let mut digits = [0; 200];
    let mut at = 0;
    while at < 100 {
        digits[2 * at] = b'0' + (at / 10) as u8;
        digits[2 * at + 1] = b'0' + (at % 10) as u8;
        at += 1;
    }
    digits
};

/// Reads a decimal number as Java's parsers do.
pub(super) fn decimal(digits: &[u8]) -> Option<i64> {
    let (negative, digits) = match digits {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    // Downwards, as there is one more number below zero than above.
    let below_zero = digits.iter().try_fold(0i64, |number, digit| {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number.checked_mul(10)?.checked_sub(digit.into())
    })?;
    if negative {
        Some(below_zero)
    } else {
        below_zero.checked_neg()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn strings_are_written_as_json(text in "(.|[\\x00-\\x1f\"\\\\])*") {
            let mut out = Vec::new();
            push_string(&mut out, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }

        #[test]
        fn the_next_quote_or_escape_is_found(bytes: Vec<u8>, at in 0..40usize) {
            let at = at.min(bytes.len());
            let plain = bytes[at..].iter().position(|byte| matches!(byte, b'"' | b'\\'));
            prop_assert_eq!(quote_or_escape(&bytes, at), plain.map_or(bytes.len(), |found| at + found));
        }

        #[test]
        fn numbers_survive_their_text(number: i64) {
            let mut out = Vec::new();
            push_int(&mut out, number);
            prop_assert_eq!(decimal(&out), Some(number));
        }

        #[test]
        fn numbers_are_read_as_the_standard_library_reads_them(text in "[-+]?[0-9]{0,21}[x]?") {
            prop_assert_eq!(decimal(text.as_bytes()), text.parse().ok());
        }
    }
}
