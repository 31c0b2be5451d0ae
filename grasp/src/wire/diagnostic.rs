//! CBOR diagnostic notation (RFC 8949 §8), for logs and people.

use super::scan::{Element, header};
use crate::constants::MAX_DEPTH;
use ciborium_ll::Header;
use std::fmt::Write;

/// Writes one encoded item in diagnostic notation; bytes that are not one well-formed item come out as `h'…'`.
#[must_use]
pub fn diagnostic(bytes: &[u8]) -> String {
    let mut text = String::new();
    match Element::parse(bytes, 0, MAX_DEPTH) {
        Ok(element) if element.end == bytes.len() => item(&mut text, bytes, 0),
        _ => {
            hex(&mut text, bytes);
            0
        }
    };
    text
}

fn hex(text: &mut String, bytes: &[u8]) {
    let _ = write!(text, "h'{}'", crate::hex::encode(bytes));
}

/// Writes the item at `at`, which is known to be well-formed, and returns the offset behind it.
fn item(text: &mut String, bytes: &[u8], at: usize) -> usize {
    let Ok((head, next)) = header(bytes, at) else { return bytes.len() };
    match head {
        Header::Positive(n) => put(text, next, &n),
        Header::Negative(n) => put(text, next, &(-1 - i128::from(n))),
        Header::Float(x) if x.is_nan() => put(text, next, &"NaN"),
        Header::Float(x) if x.is_infinite() => put(text, next, if x > 0.0 { &"Infinity" } else { &"-Infinity" }),
        Header::Float(x) => {
            let _ = write!(text, "{x:?}");
            next
        }
        Header::Simple(20) => put(text, next, &"false"),
        Header::Simple(21) => put(text, next, &"true"),
        Header::Simple(22) => put(text, next, &"null"),
        Header::Simple(23) => put(text, next, &"undefined"),
        Header::Simple(n) => put(text, next, &format_args!("simple({n})")),
        Header::Break => next,
        Header::Tag(tag) => {
            let _ = write!(text, "{tag}(");
            let end = item(text, bytes, next);
            text.push(')');
            end
        }
        Header::Bytes(Some(len)) => {
            hex(text, &bytes[next..next + len]);
            next + len
        }
        Header::Text(Some(len)) => {
            let content = String::from_utf8_lossy(&bytes[next..next + len]);
            let _ = write!(text, "{}", serde_json::Value::from(content.as_ref()));
            next + len
        }
        Header::Bytes(None) | Header::Text(None) => sequence(text, bytes, next, None, ("(_ ", ")"), false),
        Header::Array(len) => sequence(text, bytes, next, len, ("[", "]"), false),
        Header::Map(len) => sequence(text, bytes, next, len.map(|pairs| pairs * 2), ("{", "}"), true),
    }
}

fn put(text: &mut String, next: usize, value: &dyn std::fmt::Display) -> usize {
    let _ = write!(text, "{value}");
    next
}

fn sequence(
    text: &mut String,
    bytes: &[u8],
    mut at: usize,
    len: Option<usize>,
    (open, close): (&str, &str),
    pairs: bool,
) -> usize {
    text.push_str(open);
    if len.is_none() && open.len() == 1 {
        text.push_str("_ ");
    }
    for i in 0.. {
        if len == Some(i) {
            break;
        }
        if len.is_none() && bytes.get(at).is_none_or(|byte| *byte == 0xff) {
            at += 1;
            break;
        }
        if i > 0 {
            text.push_str(if pairs && i % 2 == 1 { ": " } else { ", " });
        }
        at = item(text, bytes, at);
    }
    text.push_str(close);
    at
}
