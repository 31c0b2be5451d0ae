//! The key of a group, derived from its password.

use super::file;
use sha2::{Digest, Sha256};
use std::fmt;
use zeroize::Zeroizing;

/// Bytes of the key: AES-256.
pub const KEY_SIZE: usize = 32;
/// Bytes of the initialization vector, one block.
pub const IV_SIZE: usize = 16;
/// Bytes of the longest password or key file.
pub const MAX_SECRET_SIZE: usize = 4096;

/// The same for all groups, and public.
const SALT: [u8; 16] = *b"\xf4\x74\x52\x6a\x2e\x74\xac\xce\xe1\x89\xf1\xfb\xc1\xc3\x4c\xeb";
const ROUNDS: u32 = 100_000;
/// The initialization vector is a part of the key; its place is the key's first byte modulo this.
const PLACES: u8 = 10;
/// Keeps the fingerprint apart from any other use of the hash.
const FINGERPRINT: &[u8] = b"fingerprint of a QUADS group key\0";

/// The key that all members of a group share. Overwritten in memory when it is dropped.
///
/// The initialization vector is a part of the key, and the same for every message.
#[derive(Clone, PartialEq, Eq)]
pub struct GroupKey(Zeroizing<[u8; KEY_SIZE]>);

impl GroupKey {
    /// Derives the key from a password as the Python implementation does: PBKDF2 with HMAC-SHA-256, a fixed salt and
    /// 100 000 rounds, which take some tens of milliseconds.
    ///
    /// # Errors
    ///
    /// [`KeyError::EmptyPassword`]: there an empty password turns encryption off.
    pub fn from_password(password: &str) -> Result<Self, KeyError> {
        if password.is_empty() {
            return Err(KeyError::EmptyPassword);
        }
        let mut key = Zeroizing::new([0; KEY_SIZE]);
        pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), &SALT, ROUNDS, &mut *key);
        Ok(Self(key))
    }

    /// Takes a key as it is.
    #[must_use]
    pub fn from_bytes(key: [u8; KEY_SIZE]) -> Self {
        Self(Zeroizing::new(key))
    }

    /// Takes what an operator keeps: a password, which is one line, or the text of a [key file](GroupKey::from_key_file).
    ///
    /// One line end after a password does not belong to it.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and where; never any part of it.
    pub fn from_secret(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() > MAX_SECRET_SIZE {
            return Err(KeyError::TooLong);
        }
        let line = secret.strip_suffix(b"\n").map_or(secret, |line| line.strip_suffix(b"\r").unwrap_or(line));
        if line.contains(&b'\n') || file::is_assignment(line) {
            return Self::from_key_file(secret);
        }
        Self::from_password(std::str::from_utf8(line).map_err(|_| KeyError::NotUtf8)?)
    }

    /// Reads the key file of the Python implementation, a module that assigns two byte literals to `key` and `iv`.
    ///
    /// It is read as data: nothing but comments and these two assignments may stand in it.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and where; never any part of it.
    pub fn from_key_file(text: &[u8]) -> Result<Self, KeyError> {
        file::read(text)
    }

    /// Writes the key file of the Python implementation, byte for byte as `quadsmaker` does.
    #[must_use]
    pub fn to_key_file(&self) -> Zeroizing<String> {
        file::write(self)
    }

    /// What two operators compare to see whether they have the same key, as 32 hexadecimal digits.
    ///
    /// Whoever knows it can try passwords against it, as against any captured message.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::new().chain_update(FINGERPRINT).chain_update(*self.0).finalize();
        crate::hex::encode(&digest[..16])
    }

    /// The bytes of the key.
    #[must_use]
    pub fn bytes(&self) -> &[u8; KEY_SIZE] {
        &self.0
    }

    /// The initialization vector that follows from the key.
    #[must_use]
    pub fn iv(&self) -> Zeroizing<[u8; IV_SIZE]> {
        let at = usize::from(self.0[0] % PLACES);
        let mut iv = Zeroizing::new([0; IV_SIZE]);
        iv.copy_from_slice(&self.0[at..at + IV_SIZE]);
        iv
    }
}

/// Shows nothing of the key.
impl fmt::Debug for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupKey(..)")
    }
}

/// Why there is no key. None of these shows any part of what was read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The Python implementation takes that as: no encryption.
    #[error(
        "the password is empty; give the group a password, or choose the substrate insecure-lab if nothing is to be protected"
    )]
    EmptyPassword,
    /// Passwords are text.
    #[error("the password is not UTF-8 text; save it as UTF-8")]
    NotUtf8,
    /// Nothing like a password or a key file.
    #[error("longer than {MAX_SECRET_SIZE} bytes; expected a password of one line, or a key file with `key` and `iv`")]
    TooLong,
    /// A key file that says that nothing is to be protected.
    #[error(
        "the key file says 'No key', which turns encryption off; make a key with `asa keys quads make`, or choose the substrate insecure-lab if nothing is to be protected"
    )]
    NoKey,
    /// Something else stands there.
    #[error(
        "line {line}: {what}; a password is one line, and a key file holds nothing but key=b'...', iv=b'...' and comments"
    )]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// One of the two assignments is missing.
    #[error("the key file does not assign `{0}`; export it again")]
    Missing(&'static str),
    /// A literal of another length.
    #[error("`{name}` has {found} bytes, expected {expected}; export the key file again")]
    Length {
        /// `key` or `iv`.
        name: &'static str,
        /// How many it has.
        found: usize,
        /// How many it should have.
        expected: usize,
    },
    /// Members whose vectors differ do not understand each other.
    #[error(
        "`iv` is not the part of `key` that it has to be; the file is damaged or was made by hand, export it again"
    )]
    ForeignIv,
}
