//! A small certification authority for the domains of autonomic nodes: good enough for labs and first deployments.
//!
//! It makes what RFC 8994, section 6.2, asks of certificates and nothing else: one self-signed authority for each domain,
//! certificates of nodes that carry an acp-node-name, and lists of those that are revoked. PEM and parameters go in, PEM comes
//! out: time and serial numbers are arguments, and files are somebody else's business. Keys and signatures alone take the
//! randomness of the system, for the library draws it itself.
//!
//! | Module | What is there |
//! |---|---|
//! | [`names`] | domains, names of nodes, the acp-node-name and its grammar |
//! | [`authority`] | the authority: certificates and revocation lists |
//! | [`inspect`] | what a certificate, key or revocation list says |
//! | [`verify`] | whether somebody vouches for it |

pub mod authority;
pub mod inspect;
pub mod names;
mod profile;
pub mod verify;

pub use authority::{Authority, Issued, Request, Revocations, Revoked, Serial, Validity};
pub use names::{AcpNodeName, Domain, NodeName, Rsub};
pub use zeroize::Zeroizing;

/// Why something was not made or not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A name breaks a rule of its grammar.
    #[error(transparent)]
    Name(#[from] names::NameError),
    /// A text has no block of PEM that is wanted, or too many.
    #[error("{0}")]
    Pem(String),
    /// A certificate cannot be read or is not what it should be.
    #[error("{0}")]
    Certificate(String),
    /// A private key cannot be read or used. Its content is never told.
    #[error("{0}")]
    Key(String),
    /// A revocation list cannot be read.
    #[error("{0}")]
    Revocations(String),
    /// A certificate or list would end before it begins, or after what vouches for it.
    #[error("{0}")]
    Validity(String),
    /// The library that signs has failed.
    #[error("signing failed: {0}")]
    Signing(String),
}
