//! The value of `AN_ACP`: a method, with parameters and extensions that whoever does not know them ignores (RFC 8994 §6.4).

use crate::wire::Value;
use ciborium::Value as Cbor;

/// IKEv2, which negotiates IPsec; on UDP port 500 unless a locator says otherwise.
pub const IKEV2: &str = "IKEv2";
/// DTLS; it has no port of its own.
pub const DTLS: &str = "DTLS";
/// GRASP between neighbours over mutual TLS, a method of this implementation.
pub const GRASP_TLS: &str = "GRASP-TLS";

/// Why a value is no offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// It is neither a text nor an array that begins with a method.
    #[error("an AN_ACP value is a method name, or an array that begins with a method (RFC 8994 section 6.4)")]
    Shape,
    /// The method's name has characters that it may not have.
    #[error("a method name has letters, digits, @, _, $, and - or . between them (RFC 8994 section 6.4)")]
    Name,
}

/// How an offer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `name`
    Name,
    /// `[name, *extension]`
    Array,
    /// `[[name, *parameter], *extension]`
    Nested,
}

/// A secure channel protocol that a node offers.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    method: String,
    form: Form,
    parameters: Vec<Cbor>,
    extensions: Vec<Cbor>,
}

impl Offer {
    /// An offer of a method, without parameters.
    ///
    /// # Errors
    ///
    /// [`OfferError::Name`].
    pub fn new(method: &str) -> Result<Self, OfferError> {
        Self::of(method.to_owned(), Form::Name, Vec::new(), Vec::new())
    }

    fn of(method: String, form: Form, parameters: Vec<Cbor>, extensions: Vec<Cbor>) -> Result<Self, OfferError> {
        if !is_method_name(&method) {
            return Err(OfferError::Name);
        }
        Ok(Self { method, form, parameters, extensions })
    }

    /// Reads a value; parameters and extensions are kept whatever they are.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn read(value: &Value) -> Result<Self, OfferError> {
        let value = value.decode::<Cbor>().map_err(|_| OfferError::Shape)?;
        let parts = match value.into_array() {
            Ok(parts) => parts,
            Err(other) => {
                let method = other.into_text().map_err(|_| OfferError::Shape)?;
                return Self::of(method, Form::Name, Vec::new(), Vec::new());
            }
        };
        let (first, extensions) = split(parts)?;
        match first.into_array() {
            Ok(inner) => {
                let (method, parameters) = split(inner)?;
                let method = method.into_text().map_err(|_| OfferError::Shape)?;
                Self::of(method, Form::Nested, parameters, extensions)
            }
            Err(other) => {
                let method = other.into_text().map_err(|_| OfferError::Shape)?;
                Self::of(method, Form::Array, Vec::new(), extensions)
            }
        }
    }

    /// The method's name.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The method's parameters.
    #[must_use]
    pub fn parameters(&self) -> &[Cbor] {
        &self.parameters
    }

    /// What does not depend on the method; none is specified so far.
    #[must_use]
    pub fn extensions(&self) -> &[Cbor] {
        &self.extensions
    }

    /// Whether the method is one that this implementation has heard of.
    #[must_use]
    pub fn is_known(&self) -> bool {
        [IKEV2, DTLS, GRASP_TLS].contains(&self.method.as_str())
    }

    /// The value, in the form in which it was read.
    #[must_use]
    pub fn value(&self) -> Value {
        let method = Cbor::Text(self.method.clone());
        let after =
            |first: Cbor, rest: &[Cbor]| Cbor::Array(std::iter::once(first).chain(rest.iter().cloned()).collect());
        let value = match self.form {
            Form::Name => method,
            Form::Array => after(method, &self.extensions),
            Form::Nested => after(after(method, &self.parameters), &self.extensions),
        };
        // What was CBOR before is CBOR again.
        Value::item(&value).unwrap_or_else(|_| Value::null())
    }
}

fn split(parts: Vec<Cbor>) -> Result<(Cbor, Vec<Cbor>), OfferError> {
    let mut parts = parts.into_iter();
    let first = parts.next().ok_or(OfferError::Shape)?;
    Ok((first, parts.collect()))
}

/// `[A-Za-z@_$]([-.]*[A-Za-z0-9@_$])*`
#[must_use]
pub fn is_method_name(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || "@_$".contains(c);
    let inner = |c: char| letter(c) || c.is_ascii_digit();
    name.starts_with(letter) && name.ends_with(inner) && name.chars().all(|c| inner(c) || "-.".contains(c))
}
