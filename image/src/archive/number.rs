//! Numbers in tar headers: octal text, base-256, and the decimal ones of PAX. PURE.
//!
//! Parsers that read a number differently see different files in one archive (CVE-2025-62518 and its kin), so
//! whatever is not exactly a number is refused instead of being guessed.

use super::entry::Time;

/// Why a field is no number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{:?} is no number", String::from_utf8_lossy(.0))]
pub struct NumberError(pub Vec<u8>);

/// A numeric header field: octal digits between optional spaces and NULs (POSIX pax, ustar), or base-256 when
/// the first byte is 0x80 or 0xff (GNU tar, star): two's complement, most significant byte first.
pub(super) fn header_number(field: &[u8]) -> Result<i64, NumberError> {
    let invalid = || NumberError(field.to_vec());
    match field.first() {
        Some(0x80 | 0xff) => {
            let negative = field[0] == 0xff;
            let mut value: i64 = if negative { -1 } else { 0 };
            for byte in &field[1..] {
                value = value.checked_mul(256).ok_or_else(invalid)? | i64::from(*byte);
            }
            Ok(value)
        }
        Some(first) if first & 0x80 != 0 => Err(invalid()),
        _ => octal(field).ok_or_else(invalid),
    }
}

/// Blank is zero, as every tar reads it.
fn octal(field: &[u8]) -> Option<i64> {
    let is_padding = |byte: &u8| matches!(byte, b' ' | 0);
    let begin = field.iter().position(|byte| !is_padding(byte)).unwrap_or(field.len());
    let text = &field[begin..];
    let digits = text.iter().position(is_padding).unwrap_or(text.len());
    if !text[digits..].iter().all(is_padding) {
        return None;
    }
    text[..digits].iter().try_fold(0_i64, |value, byte| match byte {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(byte - b'0')),
        _ => None,
    })
}

/// A decimal PAX number: digits alone, with an optional minus.
pub(super) fn decimal(text: &[u8]) -> Result<i64, NumberError> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let value = digits.iter().try_fold(0_i64, |value, byte| match byte {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(i64::from(byte - b'0')),
        _ => None,
    });
    match value {
        Some(value) if !digits.is_empty() => Ok(if negative { -value } else { value }),
        _ => Err(NumberError(text.to_vec())),
    }
}

/// A PAX time: seconds with an optional fraction, of which nanoseconds are kept (`1350244992.023960108`).
pub(super) fn pax_time(text: &[u8]) -> Result<Time, NumberError> {
    let invalid = || NumberError(text.to_vec());
    let (whole, fraction) = match text.iter().position(|byte| *byte == b'.') {
        Some(dot) => (&text[..dot], &text[dot + 1..]),
        None => (text, &[][..]),
    };
    let seconds = decimal(whole).map_err(|_| invalid())?;
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(invalid());
    }
    let nanos = (0..9).fold(0_u32, |nanos, place| {
        nanos * 10 + fraction.get(place).map_or(0, |digit| u32::from(digit - b'0'))
    });
    // A fraction leads away from zero, a timespec's nanoseconds always forward.
    match (whole.starts_with(b"-"), nanos) {
        (true, 1..) => {
            Ok(Time { seconds: seconds.checked_sub(1).ok_or_else(invalid)?, nanos: 1_000_000_000 - nanos })
        }
        _ => Ok(Time { seconds, nanos }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_fields_are_octal_or_base_256() {
        for (field, value) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"00000000000", Some(0)),
            (b"77777777777", Some(0o77_777_777_777)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"        ", Some(0)),
            (b"\x80\0\0\0\0\0\x01\0", Some(256)),
            (b"\x80\0\0\0\xff\xff\xff\xfe", Some(0xffff_fffe)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\xff\xff\xff\xff\xff\xff\xff\0", Some(-256)),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", Some(i64::MAX)),
            (b"\x80\0\0\x01\0\0\0\0\0\0\0\0", None),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", None),
            (b"\xc0\0\0\0\0\0\0\0", None),
            (b"0000648\0", None),
            (b"-000644\0", None),
            (b"0x00644\0", None),
            (b"64 4\0\0\0\0", None),
        ] {
            assert_eq!(header_number(field).ok(), value, "{field:?}");
        }
    }

    #[test]
    fn pax_numbers_are_decimal() {
        for (text, value) in [
            ("0", Some(0)),
            ("9007199254740993", Some(9_007_199_254_740_993)),
            ("-1", Some(-1)),
            ("", None),
            ("-", None),
            ("+1", None),
            (" 1", None),
            ("1e3", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(decimal(text.as_bytes()).ok(), value, "{text:?}");
        }
    }

    #[test]
    fn pax_times_keep_nanoseconds() {
        for (text, value) in [
            ("1350244992.023960108", Some((1_350_244_992, 23_960_108))),
            ("1350244992", Some((1_350_244_992, 0))),
            ("1.5", Some((1, 500_000_000))),
            ("1.0239601089999", Some((1, 23_960_108))),
            ("-1.25", Some((-2, 750_000_000))),
            ("-0.25", Some((-1, 750_000_000))),
            ("-3", Some((-3, 0))),
            ("1.", Some((1, 0))),
            ("1.x", None),
            (".5", None),
            ("1.5.5", None),
        ] {
            let expected = value.map(|(seconds, nanos)| Time { seconds, nanos });
            assert_eq!(pax_time(text.as_bytes()).ok(), expected, "{text:?}");
        }
    }
}
