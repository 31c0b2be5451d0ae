//! Finds the end of a CBOR item (RFC 8949) without any codec, so that the laboratory can judge one.

/// Nesting beyond which an item counts as malformed.
const MAX_DEPTH: usize = 128;

/// Why no item was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The bytes so far are the beginning of an item.
    Incomplete,
    /// No continuation makes the bytes well-formed.
    Malformed,
}

/// The length of the first item of `bytes`, which must be well-formed.
pub(crate) fn item_len(bytes: &[u8]) -> Result<usize, Fault> {
    let mut at = 0;
    item(bytes, &mut at, 0)?;
    Ok(at)
}

/// The well-formed items of `bytes`, one after the other, and the bytes after the last.
pub(crate) fn items(bytes: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let (mut found, mut rest) = (Vec::new(), bytes);
    while let Ok(len) = item_len(rest) {
        let (one, more) = rest.split_at(len);
        found.push(one);
        rest = more;
    }
    (found, rest)
}

fn item(bytes: &[u8], at: &mut usize, depth: usize) -> Result<(), Fault> {
    if depth > MAX_DEPTH {
        return Err(Fault::Malformed);
    }
    let initial = take(bytes, at, 1)?[0];
    let (major, info) = (initial >> 5, initial & 0x1f);
    if info == 31 {
        return indefinite(bytes, at, major, depth);
    }
    let argument = argument(bytes, at, info)?;
    match major {
        0 | 1 => Ok(()),
        2 | 3 => take(bytes, at, usize::try_from(argument).map_err(|_| Fault::Incomplete)?).map(drop),
        4 => (0..argument).try_for_each(|_| item(bytes, at, depth + 1)),
        5 => (0..argument).try_for_each(|_| {
            item(bytes, at, depth + 1)?;
            item(bytes, at, depth + 1)
        }),
        6 => item(bytes, at, depth + 1),
        // A simple value below 32 in two bytes is not well-formed.
        _ if info == 24 && argument < 32 => Err(Fault::Malformed),
        _ => Ok(()),
    }
}

fn argument(bytes: &[u8], at: &mut usize, info: u8) -> Result<u64, Fault> {
    let width = match info {
        0..=23 => return Ok(u64::from(info)),
        24..=27 => 1 << (info - 24),
        _ => return Err(Fault::Malformed),
    };
    Ok(take(bytes, at, width)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

fn indefinite(bytes: &[u8], at: &mut usize, major: u8, depth: usize) -> Result<(), Fault> {
    if !(2..=5).contains(&major) {
        return Err(Fault::Malformed);
    }
    loop {
        let next = *bytes.get(*at).ok_or(Fault::Incomplete)?;
        if next == 0xff {
            *at += 1;
            return Ok(());
        }
        // The chunks of a string are definite strings of the same kind.
        if major <= 3 && (next >> 5 != major || next & 0x1f == 31) {
            return Err(Fault::Malformed);
        }
        item(bytes, at, depth + 1)?;
        if major == 5 {
            item(bytes, at, depth + 1)?;
        }
    }
}

fn take<'a>(bytes: &'a [u8], at: &mut usize, len: usize) -> Result<&'a [u8], Fault> {
    let end = at.checked_add(len).ok_or(Fault::Incomplete)?;
    let taken = bytes.get(*at..end).ok_or(Fault::Incomplete)?;
    *at = end;
    Ok(taken)
}
