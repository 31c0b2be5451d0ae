//! The group encryption of the Python implementation: its key, its ciphertexts, its key file.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use grasp::hex::{decode as unhex, encode as hex};
use grasp::net::ByteStream;
use grasp::substrate::quads::{GroupKey, KeyError, MAX_SECRET_SIZE};
use grasp::substrate::{Carrier, Quads, Substrate};
use grasp::wire::Limits;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

/// Password, key, initialization vector, clear text and ciphertext.
const VECTORS: [[&str; 5]; 4] = [
    [
        "test",
        "989aaaf11949a2cd68bff1c0164fdb82459fc2f18daece834613c92ae55ffdc8",
        "aaf11949a2cd68bff1c0164fdb82459f",
        "8100",
        "5b9155c0bfcd003737743c5772ab9ec5",
    ],
    [
        "test",
        "989aaaf11949a2cd68bff1c0164fdb82459fc2f18daece834613c92ae55ffdc8",
        "aaf11949a2cd68bff1c0164fdb82459f",
        "83061a19bc60c2811865",
        "ed373aa69cbc1e7db790703c56fe2415",
    ],
    [
        "autonomic",
        "2411207800c5282eecdcd19c455b5aeb005b5941f598e9555b2bab793d879050",
        "282eecdcd19c455b5aeb005b5941f598",
        "8100",
        "9b1d85ff378034cc8c1f3de4f5ee5584",
    ],
    [
        "пароль",
        "6a6b4754935ae41219f51343327102dbcb8dc00347e9df9a80c465176348acab",
        "e41219f51343327102dbcb8dc00347e9",
        "8100",
        "6ddb331e198d389f508b477d9bcd90b7",
    ],
];

/// What `quadsmaker` writes for the password "test".
const TEST_FILE: &str = r"key=b'\x98\x9a\xaa\xf1\x19I\xa2\xcdh\xbf\xf1\xc0\x16O\xdb\x82E\x9f\xc2\xf1\x8d\xae\xce\x83F\x13\xc9*\xe5_\xfd\xc8'
iv=b'\xaa\xf1\x19I\xa2\xcdh\xbf\xf1\xc0\x16O\xdb\x82E\x9f'
";
/// And for "quote'" and for a key with both kinds of quotes, tabs and line ends in it.
const QUOTES_FILE: &str = r#"key=b'\x18!\xfb]J\x8a\xc5\x15\x93\xf3eEX\xc5\x88\xe0t\xa3\xa6\xa8\xc3r,\xd6\x8b9\x9eP\x11\xbdJ\xde'
iv=b'J\x8a\xc5\x15\x93\xf3eEX\xc5\x88\xe0t\xa3\xa6\xa8'
"#;

fn quads(key: &GroupKey) -> Quads {
    Quads::new(key.clone(), Limits::default())
}

fn test_key() -> GroupKey {
    key(VECTORS[0][1])
}

fn key(digits: &str) -> GroupKey {
    GroupKey::from_bytes(unhex(digits).unwrap().try_into().unwrap())
}

/// What comes out of a protected connection on the other side, and what goes through it in the other direction.
async fn both_ways(quads: &Quads, clear: &[u8], sealed: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (near, mut far) = duplex(65_536);
    let mut near = quads.accept(Box::new(near) as ByteStream).await.unwrap().stream;
    near.write_all(clear).await.unwrap();
    let mut out = vec![0; sealed.len()];
    far.read_exact(&mut out).await.unwrap();
    far.write_all(sealed).await.unwrap();
    far.shutdown().await.unwrap();
    let mut read = Vec::new();
    near.read_to_end(&mut read).await.unwrap();
    (out, read)
}

/// EX-Q-01, EX-Q-02
#[test]
fn keys_and_ciphertexts_are_those_of_the_vectors() {
    for [password, digits, iv, clear, sealed] in VECTORS {
        let derived = GroupKey::from_password(password).unwrap();
        assert_eq!((hex(derived.bytes()), hex(&*derived.iv())), (digits.to_owned(), iv.to_owned()), "{password}");
        let quads = quads(&derived);
        assert_eq!(hex(&quads.seal(1, unhex(clear).unwrap())), sealed);
        assert_eq!(quads.open(1, unhex(sealed).unwrap()), unhex(clear));
    }
}

/// EX-Q-01: multicasts and connections, in both directions.
#[tokio::test]
async fn captured_messages_are_opened_and_written_the_same() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/graspy-quads-wire.jsonl");
    let (mut multicasts, mut streams) = (0, 0);
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let bytes = |name: &str| unhex(line[name].as_str().unwrap()).unwrap();
        let key = GroupKey::from_bytes(bytes("key").try_into().unwrap());
        assert_eq!(key.iv()[..], bytes("iv"));
        let (quads, clear, sealed) = (quads(&key), bytes("hex"), bytes("encrypted"));
        if line["transport"] == "TCP" {
            streams += 1;
            assert_eq!(both_ways(&quads, &clear, &sealed).await, (sealed, clear));
        } else {
            multicasts += 1;
            assert_eq!(quads.seal(1, clear.clone()), sealed);
            assert_eq!(quads.open(1, sealed), Some(clear));
        }
    }
    assert!(multicasts >= 3 && streams >= 5, "{multicasts} {streams}");
    let grasp = GroupKey::from_password("grasp").unwrap();
    assert_eq!(hex(grasp.bytes()), "acf9db472b6a2971185024fd566bc5ce190bc2309e3b36315835c696f6ece89d");
}

/// EX-Q-03: another group's multicasts, and whatever else comes, are dropped and counted.
#[test]
fn a_multicast_that_is_not_one_item_under_this_key_is_none() {
    let (quads, other) = (quads(&test_key()), Quads::new(key(VECTORS[2][1]), Limits::default()));
    let noop = other.seal(1, vec![0x81, 0x00]);
    let raw = |clear: &[u8]| {
        let mut sealed = quads.seal(1, clear.to_vec());
        sealed.truncate(clear.len());
        sealed
    };
    let item = |tail: &[u8]| [&unhex("83061a19bc60c2811865").unwrap()[..], tail].concat();
    let wrong: [(&str, Vec<u8>); 12] = [
        ("another key", noop),
        ("clear", vec![0x81, 0x00]),
        ("clear, one block", item(&[6; 6])),
        ("nothing", Vec::new()),
        ("part of a block", vec![7; 17]),
        ("padding 0", raw(&item(&[6, 6, 6, 6, 6, 0]))),
        ("padding 17", raw(&item(&[17; 6]))),
        ("padding not all the same", raw(&item(&[6, 6, 6, 5, 6, 6]))),
        ("only padding", raw(&[16; 16])),
        ("two items", quads.seal(1, item(&[0]))),
        ("a cut item", quads.seal(1, item(&[])[..9].to_vec())),
        ("too deep", quads.seal(1, vec![0x81; 1000])),
    ];
    for (number, (what, datagram)) in (1..).zip(wrong) {
        assert_eq!(quads.open(1, datagram), None, "{what}");
        assert_eq!(quads.counters()["undecryptable_multicasts"], number);
    }
    assert_eq!(quads.open(1, raw(&item(&[6; 6]))), Some(item(&[])));
    assert_eq!(
        quads.open(1, quads.seal(1, vec![0x43, 1, 2, 3])),
        Some(vec![0x43, 1, 2, 3]),
        "one item that is no message"
    );
    assert_eq!(quads.counters()["undecryptable_multicasts"], 12);
    assert_eq!(quads.counters()["undecryptable_streams"], 0);
}

/// EX-Q-01, COM-03: what is sealed still fits into a datagram.
#[test]
fn the_longest_multicast_fits_when_it_is_sealed() {
    let quads = quads(&test_key());
    assert_eq!(quads.multicast_size(), 1231);
    assert_eq!(quads.seal(1, vec![0; 1231]).len(), 1232);
    assert_eq!(quads.seal(1, vec![0; 1232]).len(), 1248);
    assert_eq!(quads.carrier(), Carrier::Multicast);
}

/// EX-Q-05, EX-Q-06
#[test]
fn it_never_calls_itself_secure() {
    let quads = quads(&test_key());
    assert_eq!((quads.name(), quads.is_secure(), quads.is_ready()), ("quads", false, true));
    let standing = quads.standing();
    assert_eq!(standing.caveat, Some("compatibility mode, no integrity, no protection against replay"));
    assert_eq!(standing.facts["key"], test_key().fingerprint());
}

#[test]
fn nothing_shows_the_key() {
    let key = test_key();
    let shown = format!("{key:?} {}", key.fingerprint());
    assert!(!shown.contains("989a") && !shown.contains("152"), "{shown}");
    assert_eq!(key.fingerprint().len(), 32);
    assert_ne!(key.fingerprint(), self::key(VECTORS[2][1]).fingerprint());
}

#[test]
fn a_password_is_one_line() {
    let test = test_key();
    for secret in ["test", "test\n", "test\r\n"] {
        assert!(GroupKey::from_secret(secret.as_bytes()).unwrap() == test, "{secret:?}");
    }
    for other in ["test ", " test", "test\n\n", "Test"] {
        assert!(GroupKey::from_secret(other.as_bytes()).as_ref() != Ok(&test), "{other:?}");
    }
    for empty in ["", "\n", "\r\n"] {
        assert_eq!(GroupKey::from_secret(empty.as_bytes()), Err(KeyError::EmptyPassword), "{empty:?}");
    }
    assert_eq!(GroupKey::from_password(""), Err(KeyError::EmptyPassword));
    assert_eq!(GroupKey::from_secret(b"\xff\xfe"), Err(KeyError::NotUtf8));
    assert_eq!(GroupKey::from_secret(&[b'x'; MAX_SECRET_SIZE + 1]), Err(KeyError::TooLong));
    assert!(matches!(GroupKey::from_secret(b"two\nlines\n"), Err(KeyError::Syntax { line: 1, .. })));
    // Half of a key file is no password.
    assert_eq!(GroupKey::from_secret(b"key=b'abc'\n"), Err(KeyError::Missing("iv")));
}

/// EX-Q-07
#[test]
fn key_files_are_those_of_quadsmaker() {
    let key = GroupKey::from_key_file(TEST_FILE.as_bytes()).unwrap();
    assert!(key == test_key() && GroupKey::from_secret(TEST_FILE.as_bytes()).unwrap() == key);
    assert_eq!(*key.to_key_file(), TEST_FILE);
    let quotes = GroupKey::from_password("quote'").unwrap();
    assert_eq!(*quotes.to_key_file(), QUOTES_FILE);
    // As Python 3.11 shows these bytes.
    for (bytes, literal) in [
        (*b"'abcdefghijklmnopqrstuvwxyz01234", r#"key=b"'abcdefghijklmnopqrstuvwxyz01234""#),
        (*b"\"abcdefghijklmnopqrstuvwxyz01234", r#"key=b'"abcdefghijklmnopqrstuvwxyz01234'"#),
        (*b"'\"\t\n\r\\\x00\x7fijklmnopqrstuvwxyz012345", r#"key=b'\'"\t\n\r\\\x00\x7fijklmnopqrstuvwxyz012345'"#),
    ] {
        let text = GroupKey::from_bytes(bytes).to_key_file();
        assert_eq!(text.lines().next(), Some(literal));
        assert!(GroupKey::from_key_file(text.as_bytes()).unwrap() == GroupKey::from_bytes(bytes));
    }
    for first in 0..=255_u8 {
        let mut bytes = [0; 32];
        (0..).zip(&mut bytes).for_each(|(at, byte): (u8, _)| *byte = first.wrapping_add(at.wrapping_mul(7)));
        let key = GroupKey::from_bytes(bytes);
        assert!(GroupKey::from_key_file(key.to_key_file().as_bytes()).unwrap() == key);
    }
}

/// EX-Q-07: other ways to write the same.
#[test]
fn byte_literals_are_read_with_all_their_escapes() {
    let bytes = *b"\x07\x08\x0c\n\r\t\x0b\\'\"\x00\x01\x08\xffabcdefghijklmnopqr";
    let iv = &bytes[7..23];
    assert_eq!(iv, b"\\'\"\x00\x01\x08\xffabcdefghi");
    let text = [
        "# made by hand\r\n",
        "\r\n",
        "iv = b'\\\\\\'\\\"\\0\\1\\10\\377abcdefghi'  # the vector\r\n",
        r#"key  =  B"\a\b\f\n\r\t\v\\\'\"\x00\001\010\xFFabcdefghijklmnopqr""#,
    ];
    let key = GroupKey::from_key_file(text.concat().as_bytes()).unwrap();
    assert!(key == GroupKey::from_bytes(bytes));
}

/// EX-Q-07: whatever stands in it is read or refused, never done.
#[test]
fn hostile_key_files_are_refused_with_the_place() {
    let iv = "iv=b'J\\x8a'\n";
    for (text, line) in [
        ("import os\n".to_owned(), 1),
        (format!("{TEST_FILE}__import__('os').system('touch /tmp/owned')\n"), 3),
        ("key=__import__('os').urandom(32)\n".to_owned(), 1),
        ("key=open('/etc/passwd','rb').read()\n".to_owned(), 1),
        (format!("{iv}key=b'a'*32\n"), 2),
        (format!("{iv}key=b'a' b'b'\n"), 2),
        (format!("{iv}key=b'a';print(1)\n"), 2),
        (format!("{iv}key=rb'a'\n"), 2),
        (format!("{iv}key=b'a\n'\n"), 2),
        (format!("{iv}key=b'a\\\n'\n"), 2),
        (format!("{iv}key=b'''a'''\n"), 2),
        (format!("{iv}key=b'\\x4'\n"), 2),
        (format!("{iv}key=b'\\xzz'\n"), 2),
        (format!("{iv}key=b'\\400'\n"), 2),
        (format!("{iv}key=b'\\N'\n"), 2),
        (format!("{iv}key=b'ж'\n"), 2),
        (format!("{iv}key=b'\0'\n"), 2),
        (format!("{iv}key=\n"), 2),
        (format!("{iv}keys=b'a'\n"), 2),
        (format!("{iv} key=b'a'\n"), 2),
        (format!("{iv}{iv}"), 2),
        ("\u{feff}key=b'a'\n".to_owned(), 1),
    ] {
        let refused = GroupKey::from_key_file(text.as_bytes()).unwrap_err();
        assert!(matches!(refused, KeyError::Syntax { line: at, .. } if at == line), "{text:?}: {refused:?}");
        assert!(!refused.to_string().contains("passwd"), "{refused}");
    }
    assert_eq!(GroupKey::from_key_file(&[b'\n'; MAX_SECRET_SIZE + 1]), Err(KeyError::TooLong));
    assert_eq!(GroupKey::from_key_file(b""), Err(KeyError::Missing("key")));
    assert_eq!(GroupKey::from_key_file(b"key=b'a'\n"), Err(KeyError::Missing("iv")));
}

/// EX-Q-07
#[test]
fn the_file_that_turns_encryption_off_is_no_key() {
    let off = "#How to avoid the QUADS password prompt\nkey='No key'\niv='No key'\n";
    assert_eq!(GroupKey::from_key_file(off.as_bytes()), Err(KeyError::NoKey));
    assert_eq!(GroupKey::from_secret(off.as_bytes()), Err(KeyError::NoKey));
    let half = TEST_FILE.replace("iv=b'", "iv='No key' # b'");
    assert_eq!(GroupKey::from_key_file(half.as_bytes()), Err(KeyError::Length { name: "iv", found: 0, expected: 16 }));
}

/// EX-Q-07
#[test]
fn a_key_file_whose_parts_do_not_belong_together_is_refused() {
    let other = TEST_FILE.replace("\\x82E\\x9f'\n", "\\x82E\\x9e'\n");
    assert_ne!(other, TEST_FILE);
    assert_eq!(GroupKey::from_key_file(other.as_bytes()), Err(KeyError::ForeignIv));
    let short = TEST_FILE.replacen("\\x98", "", 1);
    let length = KeyError::Length { name: "key", found: 31, expected: 32 };
    assert_eq!(GroupKey::from_key_file(short.as_bytes()), Err(length));
    let text = TEST_FILE.replacen("key=b", "key=", 1);
    assert!(matches!(GroupKey::from_key_file(text.as_bytes()), Err(KeyError::Length { name: "key", .. })));
}
