//! The key file of the Python implementation, read and written as data: a module with `key = b'...'` and `iv = b'...'`.
//!
//! Of the language it knows comments, these two assignments and byte literals on one line; nothing is ever evaluated.

use super::key::{GroupKey, IV_SIZE, KEY_SIZE, KeyError, MAX_SECRET_SIZE};
use zeroize::Zeroizing;

/// What stands in place of the key where encryption is turned off.
const NO_KEY: &[u8] = b"No key";

/// A literal, and whether it is one of bytes.
type Literal = (Zeroizing<Vec<u8>>, bool);

pub(super) fn read(text: &[u8]) -> Result<GroupKey, KeyError> {
    if text.len() > MAX_SECRET_SIZE {
        return Err(KeyError::TooLong);
    }
    let (mut key, mut iv) = (None, None);
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let wrong = |what| KeyError::Syntax { line: number + 1, what };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if is_blank(line) {
            continue;
        }
        let (name, value) = assignment(line).ok_or_else(|| wrong("neither `key=` nor `iv=`"))?;
        let place = if name == "key" { &mut key } else { &mut iv };
        if place.is_some() {
            return Err(wrong("assigned twice"));
        }
        *place = Some(literal(value).map_err(wrong)?);
    }
    let key: Literal = key.ok_or(KeyError::Missing("key"))?;
    let iv: Literal = iv.ok_or(KeyError::Missing("iv"))?;
    if *key.0 == NO_KEY && *iv.0 == NO_KEY {
        return Err(KeyError::NoKey);
    }
    let bytes = Zeroizing::new(exactly::<KEY_SIZE>("key", &key)?);
    let given = Zeroizing::new(exactly::<IV_SIZE>("iv", &iv)?);
    let key = GroupKey::from_bytes(*bytes);
    if *key.iv() == *given { Ok(key) } else { Err(KeyError::ForeignIv) }
}

pub(super) fn write(key: &GroupKey) -> Zeroizing<String> {
    // Long enough for nothing but escapes, so that no copy is left behind by growing.
    let mut text = Zeroizing::new(String::with_capacity(4 * (KEY_SIZE + IV_SIZE) + 32));
    for (name, bytes) in [("key", &key.bytes()[..]), ("iv", &key.iv()[..])] {
        text.push_str(name);
        text.push('=');
        push_literal(&mut text, bytes);
        text.push('\n');
    }
    text
}

/// Whether the line assigns a literal to one of the two names.
pub(super) fn is_assignment(line: &[u8]) -> bool {
    let Some((_, value)) = assignment(line) else { return false };
    let quoted = value.strip_prefix(b"b").or_else(|| value.strip_prefix(b"B")).unwrap_or(value);
    matches!(quoted.first(), Some(b'\'' | b'"'))
}

fn is_blank(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    line.is_empty() || line.starts_with(b"#")
}

/// The name, and what stands behind the equals sign.
fn assignment(line: &[u8]) -> Option<(&'static str, &[u8])> {
    let (name, rest) =
        if let Some(rest) = line.strip_prefix(b"key") { ("key", rest) } else { ("iv", line.strip_prefix(b"iv")?) };
    let value = rest.trim_ascii_start().strip_prefix(b"=")?;
    Some((name, value.trim_ascii_start()))
}

fn exactly<const N: usize>(name: &'static str, literal: &Literal) -> Result<[u8; N], KeyError> {
    let (bytes, of_bytes) = literal;
    let found = if *of_bytes { bytes.len() } else { 0 };
    <[u8; N]>::try_from(&bytes[..found]).map_err(|_| KeyError::Length { name, found, expected: N })
}

/// Reads one literal, with nothing but blanks and a comment behind it.
fn literal(text: &[u8]) -> Result<Literal, &'static str> {
    let unprefixed = text.strip_prefix(b"b").or_else(|| text.strip_prefix(b"B"));
    let of_bytes = unprefixed.is_some();
    let text = unprefixed.unwrap_or(text);
    let quote = match text.first() {
        Some(quote @ (b'\'' | b'"')) => *quote,
        Some(_) | None => return Err("expected a byte literal, b'...'"),
    };
    // No longer than its text, so that no copy is left behind by growing.
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = &text[1..];
    loop {
        match rest {
            [] => return Err("the literal does not end on this line"),
            [b'\\', behind @ ..] => rest = escape(behind, &mut bytes)?,
            [byte, behind @ ..] if *byte == quote => {
                return if is_blank(behind) { Ok((bytes, of_bytes)) } else { Err("something follows the literal") };
            }
            [byte, behind @ ..] if byte.is_ascii() && *byte != 0 => {
                bytes.push(*byte);
                rest = behind;
            }
            [..] => return Err("a byte literal holds ASCII characters and escapes"),
        }
    }
}

/// Reads what follows a backslash, and gives back what follows that.
fn escape<'a>(text: &'a [u8], bytes: &mut Vec<u8>) -> Result<&'a [u8], &'static str> {
    let Some((first, rest)) = text.split_first() else { return Err("the literal does not end on this line") };
    let simple = match first {
        b'\\' | b'\'' | b'"' => Some(*first),
        b'a' => Some(0x07),
        b'b' => Some(0x08),
        b'f' => Some(0x0c),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b't' => Some(b'\t'),
        b'v' => Some(0x0b),
        _ => None,
    };
    if let Some(byte) = simple {
        bytes.push(byte);
        return Ok(rest);
    }
    let (digits, radix) = match first {
        b'x' => (rest.get(..2).ok_or("\\x needs two hexadecimal digits")?, 16),
        b'0'..=b'7' => {
            let length = text.iter().take(3).take_while(|digit| (b'0'..=b'7').contains(digit)).count();
            (&text[..length], 8)
        }
        _ => return Err("an escape that byte literals do not have"),
    };
    let digit = |digit: &u8| char::from(*digit).to_digit(radix);
    let value = digits.iter().try_fold(0, |value, next| Some(value * radix + digit(next)?));
    let value = value.ok_or("\\x needs two hexadecimal digits")?;
    bytes.push(u8::try_from(value).map_err(|_| "an octal escape beyond \\377")?);
    Ok(if radix == 16 { &rest[2..] } else { &text[digits.len()..] })
}

/// Writes bytes as Python shows them.
fn push_literal(text: &mut String, bytes: &[u8]) {
    use std::fmt::Write;
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { '"' } else { '\'' };
    text.push('b');
    text.push(quote);
    for byte in bytes {
        match char::from(*byte) {
            '\t' => text.push_str("\\t"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\\' => text.push_str("\\\\"),
            shown if shown == quote => text.extend(['\\', quote]),
            shown @ ' '..='~' => text.push(shown),
            _ => {
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
    }
    text.push(quote);
}
