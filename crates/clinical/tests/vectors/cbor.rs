//! A CBOR writer just large enough for frames, that can also be told to write badly.

/// The shortest head of a major type with an argument (RFC 8949 section 3).
pub(crate) fn head(major: u8, argument: u64) -> Vec<u8> {
    let top = major << 5;
    let bytes = argument.to_be_bytes();
    match argument {
        0..=23 => vec![top | bytes[7]],
        24..=0xff => vec![top | 24, bytes[7]],
        0x100..=0xffff => [&[top | 25], &bytes[6..]].concat(),
        0x1_0000..=0xffff_ffff => [&[top | 26], &bytes[4..]].concat(),
        _ => [&[top | 27], &bytes[..]].concat(),
    }
}

/// A head of the same meaning that is one size too long.
pub(crate) fn long_head(major: u8, argument: u8) -> Vec<u8> {
    vec![major << 5 | 25, 0, argument]
}

pub(crate) fn int(value: i64) -> Vec<u8> {
    match u64::try_from(value) {
        Ok(value) => head(0, value),
        Err(_) => head(1, value.unsigned_abs() - 1),
    }
}

pub(crate) fn bytes(bytes: &[u8]) -> Vec<u8> {
    [head(2, u64::try_from(bytes.len()).expect("short")), bytes.to_vec()].concat()
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    [head(3, u64::try_from(text.len()).expect("short")), text.as_bytes().to_vec()].concat()
}

pub(crate) fn array(items: &[Vec<u8>]) -> Vec<u8> {
    [head(4, u64::try_from(items.len()).expect("short")), items.concat()].concat()
}

/// A map of keys and values in the order given.
pub(crate) fn map(fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let body: Vec<u8> =
        fields.iter().flat_map(|(key, value)| [key.clone(), value.clone()].concat()).collect();
    [head(5, u64::try_from(fields.len()).expect("short")), body].concat()
}

pub(crate) fn tag(number: u64, item: &[u8]) -> Vec<u8> {
    [head(6, number), item.to_vec()].concat()
}

/// A decimal fraction (RFC 8949 section 3.4.4).
pub(crate) fn decimal(exponent: i64, mantissa: i64) -> Vec<u8> {
    tag(4, &array(&[int(exponent), int(mantissa)]))
}

pub(crate) fn double(value: f64) -> Vec<u8> {
    [&[0xfb], &value.to_be_bytes()[..]].concat()
}
