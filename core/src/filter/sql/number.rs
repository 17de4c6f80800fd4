//! Numbers as Java reads them from text: what `Integer.valueOf`, `Long.valueOf` and `Double.valueOf` accept. Of digits
//! only those of ASCII.

/// A 32-bit integer: digits with an optional sign, nothing around them.
pub(super) fn int(text: &str) -> Option<i32> {
    text.parse().ok()
}

/// A 64-bit integer in the same form.
pub(super) fn long(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// A double: decimal or hexadecimal with optional suffix `f`, `d`; `NaN`, `Infinity`; white space around it.
pub(super) fn double(text: &str) -> Option<f64> {
    // All characters up to the space count as white space there.
    let text = text.trim_matches(|c: char| c <= ' ');
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let value = match unsigned {
        "NaN" => f64::NAN,
        "Infinity" => f64::INFINITY,
        _ => {
            let number = unsigned.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(unsigned);
            match unsigned.strip_prefix("0x").or_else(|| unsigned.strip_prefix("0X")) {
                // Here `f` and `d` may be digits: the suffix can only stand behind the exponent.
                Some(hex) => hexadecimal(hex)?,
                None if is_plain(number) => number.parse().ok()?,
                None => return None,
            }
        }
    };
    Some(if text.starts_with('-') { -value } else { value })
}

/// Without sign, and without words such as `inf`, which our own syntax has.
fn is_plain(number: &str) -> bool {
    number.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && number.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte))
}

/// What follows `0x`: hex digits with or without a point, `p` and a decimal exponent of two. Rounded once, to even.
fn hexadecimal(text: &str) -> Option<f64> {
    let (digits, exponent) = text.split_once(['p', 'P'])?;
    let exponent = exponent.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(exponent);
    let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if unsigned.is_empty() || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.len() + fraction.len() == 0 {
        return None;
    }
    // As many digits as fit; of the others only whether one is not 0.
    let (mut mantissa, mut shift, mut more) = (0u64, -4 * fraction.len() as i64, false);
    for digit in whole.chars().chain(fraction.chars()) {
        let digit = digit.to_digit(16)?;
        if mantissa >> 59 == 0 {
            mantissa = mantissa << 4 | u64::from(digit);
        } else {
            shift += 4;
            more |= digit != 0;
        }
    }
    // Beyond this everything is 0 or infinite, however long the digits are.
    let exponent =
        exponent.parse::<i64>().unwrap_or(if exponent.starts_with('-') { i64::MIN } else { i64::MAX });
    Some(scaled(mantissa, more, exponent.clamp(-1 << 40, 1 << 40) + shift))
}

/// `mantissa` times two to the `exponent`; `more`: and a little bit.
fn scaled(mantissa: u64, more: bool, exponent: i64) -> f64 {
    if mantissa == 0 {
        return 0.0;
    }
    let zeros = mantissa.leading_zeros();
    // The value is 1.xxx times two to this; a double has 53 bits, fewer below its smallest normal exponent.
    let power = exponent + 63 - i64::from(zeros);
    if power > 1023 {
        return f64::INFINITY;
    }
    let kept = if power >= -1022 { 53 } else { 53 - (-1022 - power) };
    if kept < 0 {
        return 0.0;
    }
    // 128 bits: one more than the mantissa may have to go.
    let wide = u128::from(mantissa << zeros) << 64;
    let drop = 128 - kept as u32;
    let bits = if drop == 128 { 0 } else { (wide >> drop) as u64 };
    let rest = if drop == 128 { wide } else { wide << (128 - drop) };
    let half = 1u128 << 127;
    let up = rest > half || (rest == half && (more || bits & 1 == 1));
    let bits = bits + u64::from(up);
    // A carry out of the mantissa lands in the exponent, which is right.
    f64::from_bits(if power >= -1022 { ((power + 1022) as u64) << 52 } else { 0 } + bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn doubles_have_the_syntax_of_java() {
        for (text, value) in [
            ("5", 5.0),
            (" 5.5\t", 5.5),
            ("+.5", 0.5),
            ("-5.", -5.0),
            ("1e0", 1.0),
            ("2f", 2.0),
            ("2.5D", 2.5),
            ("1E+3d", 1000.0),
            ("Infinity", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
            ("1e999", f64::INFINITY),
            ("0x1p4", 16.0),
            ("0X.8p1", 1.0),
            ("-0x1.8P-1", -0.75),
            ("0x1.fp0f", 1.9375),
            ("0x1p99999999999999999999", f64::INFINITY),
            ("0x1p-99999999999999999999", 0.0),
            ("0x1p-1074", f64::from_bits(1)),
            ("0x1p-1075", 0.0),
            ("0x1.8p-1075", f64::from_bits(1)),
            ("0x1.fffffffffffffp1023", f64::MAX),
            ("0x1.fffffffffffff8p1023", f64::INFINITY),
            ("0x1.00000000000008p0", 1.0),
            ("0x1.000000000000080000000000001p0", 1.0 + f64::EPSILON),
            ("0x0.00000000000000000000000000000001p128", 1.0),
        ] {
            assert_eq!(double(text), Some(value), "{text}");
        }
        assert!(double("NaN").unwrap().is_nan() && double("-NaN").unwrap().is_nan());
        for text in [
            "", " ", "abc", "inf", "infinity", "nan", "1_0", "0x10", "0xp1", "0x.p1", "0x1p", "1e", "1e5.0",
            "+-1", "f", ".", "5 5", "1ff", "0x1p1 f", "--1", "1e+", "0x1pf",
        ] {
            assert_eq!(double(text), None, "{text:?}");
        }
    }

    proptest! {
        /// Every double has one exact hexadecimal form.
        #[test]
        fn hexadecimals_are_exact(bits: u64) {
            let value = f64::from_bits(bits & !(1 << 63));
            prop_assume!(value.is_finite());
            let (exponent, mantissa) = (bits >> 52 & 0x7ff, bits & ((1 << 52) - 1));
            let (lead, power) = if exponent == 0 { (0, -1022) } else { (1, exponent as i64 - 1023) };
            prop_assert_eq!(double(&format!("0x{lead}.{mantissa:013x}p{power}")), Some(value));
        }

        #[test]
        fn any_text_is_a_number_or_not(text in ".{0,40}", digits in "[0-9a-fxXpP.+-]{0,40}") {
            double(&text);
            double(&digits);
        }
    }
}
