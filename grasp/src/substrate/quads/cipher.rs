//! One message as one ciphertext: AES-256 in CBC mode with PKCS#7 padding, from the group's fixed initialization vector.

use super::key::GroupKey;
use aes::Aes256;
use cbc::cipher::{Block, BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};

/// Bytes of a block.
pub(super) const BLOCK: usize = 16;

/// Bytes of the ciphertext of so many bytes; there is always padding.
pub(super) const fn sealed_size(message: usize) -> usize {
    (message / BLOCK + 1) * BLOCK
}

/// Bytes of the longest message whose ciphertext is not longer than this.
pub(super) const fn message_size(sealed: usize) -> usize {
    sealed / BLOCK * BLOCK - 1
}

/// Encrypts one message.
pub(super) fn seal(key: &GroupKey, mut message: Vec<u8>) -> Vec<u8> {
    let size = sealed_size(message.len());
    let padding = size - message.len();
    // 1 to 16, so nothing is cut off.
    message.resize(size, padding as u8);
    let mut encryptor = cbc::Encryptor::<Aes256>::new(key.bytes().into(), (&*key.iv()).into());
    encryptor.encrypt_blocks(Block::<Aes256>::slice_as_chunks_mut(&mut message).0);
    message
}

/// Decrypts one message and takes its padding off; `None` if it is no ciphertext under this key.
pub(super) fn open(key: &GroupKey, mut sealed: Vec<u8>) -> Option<Vec<u8>> {
    if sealed.is_empty() || !sealed.len().is_multiple_of(BLOCK) {
        return None;
    }
    let mut decryptor = decryptor(key);
    decryptor.decrypt_blocks(Block::<Aes256>::slice_as_chunks_mut(&mut sealed).0);
    let end = sealed.len().checked_sub(usize::from(*sealed.last()?))?;
    if !is_padding(&sealed[end..]) {
        return None;
    }
    sealed.truncate(end);
    Some(sealed)
}

/// Whether these bytes, and no others, are what PKCS#7 puts behind a message.
pub(super) fn is_padding(bytes: &[u8]) -> bool {
    (1..=BLOCK).contains(&bytes.len()) && bytes.iter().all(|byte| usize::from(*byte) == bytes.len())
}

/// Decrypts a message block by block, as its blocks arrive.
pub(super) struct Unsealing(cbc::Decryptor<Aes256>);

impl Unsealing {
    pub(super) fn new(key: &GroupKey) -> Self {
        Self(decryptor(key))
    }

    pub(super) fn block(&mut self, block: &mut [u8; BLOCK]) {
        self.0.decrypt_block(block.into());
    }
}

fn decryptor(key: &GroupKey) -> cbc::Decryptor<Aes256> {
    cbc::Decryptor::new(key.bytes().into(), (&*key.iv()).into())
}
