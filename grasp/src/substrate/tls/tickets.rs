//! The server's memory of sessions that may be resumed.

use super::bounded::Bounded;
use rustls::server::StoresServerSessions;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Bytes of the longest session that is remembered; it holds the client's certificates.
const MAX_SESSION: usize = 8 * 1_024;

/// A bounded number of sessions, each of which can be resumed once. The tickets that clients hold are only keys to it, so that
/// dropping it voids them all.
pub(super) struct Tickets(Mutex<Bounded<Vec<u8>, Vec<u8>>>);

impl Tickets {
    pub(super) fn new(most: usize) -> Self {
        Self(Mutex::new(Bounded::new(most)))
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}

impl StoresServerSessions for Tickets {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let fits = value.len() <= MAX_SESSION;
        if fits {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).put(key, value);
        }
        fits
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take(key)
    }

    fn can_cache(&self) -> bool {
        true
    }
}
