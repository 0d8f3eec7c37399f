//! What is read of a certificate beside what the verifier does: from when until when it is valid.

/// Tags of X.690.
const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;

/// From when until when a certificate is valid, in seconds since 1970; `None` if that cannot be understood.
pub(super) fn validity(certificate: &[u8]) -> Option<(u64, u64)> {
    let (mut certificate, _) = expect(certificate, SEQUENCE)?;
    let (mut fields, _) = expect(take(&mut certificate)?, SEQUENCE)?;
    if fields.first() == Some(&VERSION) {
        take(&mut fields)?;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        take(&mut fields)?;
    }
    let (mut times, _) = expect(take(&mut fields)?, SEQUENCE)?;
    Some((time(take(&mut times)?)?, time(take(&mut times)?)?))
}

/// The first value, with its tag and length.
fn take<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (_, _, whole) = split(bytes)?;
    let (value, rest) = bytes.split_at(whole);
    *bytes = rest;
    Some(value)
}

/// What is in the first value, which must have this tag, and what follows it.
fn expect(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, start, end) = split(bytes)?;
    (found == tag).then(|| (&bytes[start..end], &bytes[end..]))
}

/// The first value's tag, and where its content begins and ends.
fn split(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (&tag, &first) = (bytes.first()?, bytes.get(1)?);
    let (start, length) = if first < 0x80 {
        (2, usize::from(first))
    } else {
        let digits = bytes.get(2..2 + usize::from(first & 0x7f))?;
        let length = (digits.len() <= 4)
            .then(|| digits.iter().fold(0, |sum, &digit| sum << 8 | usize::from(digit)))?;
        (2 + digits.len(), length)
    };
    let end = start.checked_add(length).filter(|end| *end <= bytes.len())?;
    Some((tag, start, end))
}

/// Seconds since 1970 of `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`.
fn time(value: &[u8]) -> Option<u64> {
    let (tag, start, end) = split(value)?;
    let text = std::str::from_utf8(&value[start..end]).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let year: u64 = text.get(..2)?.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, text.get(2..)?)
        }
        GENERALIZED_TIME => (text.get(..4)?.parse().ok()?, text.get(4..)?),
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<u64>().ok();
    let (month, day) = (part(0)?, part(2)?);
    let seconds = part(4)? * 3600 + part(6)? * 60 + part(8)?;
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return (year < 1970).then_some(0);
    }
    // Days by the calendar whose years begin in March.
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let leaps = year / 4 - year / 100 + year / 400;
    let days = year * 365 + leaps + (month * 153 + 2) / 5 + day - 1;
    Some((days - 719_468) * 86_400 + seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> Option<u64> {
        let (tag, len) = (if text.len() == 13 { UTC_TIME } else { GENERALIZED_TIME }, text.len());
        time(&[&[tag, u8::try_from(len).expect("short")], text.as_bytes()].concat())
    }

    #[test]
    fn times_are_seconds_since_1970() {
        assert_eq!(utc("700101000000Z"), Some(0));
        assert_eq!(utc("000301000000Z"), Some(951_868_800));
        assert_eq!(utc("240229235959Z"), Some(1_709_251_199));
        assert_eq!(utc("20991231000000Z"), Some(4_102_358_400));
        assert_eq!(utc("500101000000Z"), Some(0), "before 1970 is as long ago as it can be");
        assert_eq!([utc("20991331000000Z"), utc("2099123100000"), utc("20991231")], [None; 3]);
    }

    #[test]
    fn what_is_no_certificate_has_no_validity() {
        for bytes in [&b""[..], b"0", b"\x30\x84\xff\xff\xff\xff", b"\x30\x03\x30\x01\x00", &[0x30; 300]] {
            assert_eq!(validity(bytes), None);
        }
    }
}
