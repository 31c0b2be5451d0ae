//! The value of EX3: a currency and an amount.

use grasp::Value;
use grasp::wire::Form;
use std::fmt;

/// The only currency that the bank deals in.
pub const NZD: &str = "NZD";

/// An amount of money as it stands in EX3, and whether it came inside Tag 24.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Money {
    /// Three letters, or whatever the peer sent.
    pub currency: String,
    /// Whole units; what a peer sends may be negative.
    pub amount: i64,
    /// Sent as an encoded item inside Tag 24 (RFC 8991 §2.3.2.4); answers are sent alike.
    pub tag24: bool,
}

/// Why a value is no money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MoneyError {
    /// There is no value.
    Missing,
    /// It is not a text and an integer that fits into 64 bits.
    Shape,
}

impl fmt::Display for MoneyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "Value missing",
            Self::Shape => "Invalid value: expected [currency, amount]",
        })
    }
}

impl Money {
    /// New Zealand dollars.
    #[must_use]
    pub fn nzd(amount: i64, tag24: bool) -> Self {
        Self { currency: NZD.into(), amount, tag24 }
    }

    /// Reads a value; items after the amount are ignored.
    ///
    /// # Errors
    ///
    /// See [`MoneyError`].
    pub fn read(value: Option<&Value>) -> Result<Self, MoneyError> {
        let value = value.ok_or(MoneyError::Missing)?;
        let tag24 = matches!(value.form(), Form::Embedded(_));
        let Parts(currency, amount) = value.decode().map_err(|_| MoneyError::Shape)?;
        Ok(Self { currency, amount, tag24 })
    }

    /// Writes the value in the form it is to be sent in.
    #[must_use]
    pub fn value(&self) -> Value {
        // A text and an integer can always be written.
        let plain = Value::item(&(&self.currency, self.amount)).unwrap_or_else(|_| Value::null());
        if self.tag24 { Value::embedded(plain.as_bytes()) } else { plain }
    }
}

/// The currency and the amount of an array that may hold more.
struct Parts(String, i64);

impl<'de> serde::Deserialize<'de> for Parts {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Parts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of a currency and an amount")
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Parts, A::Error> {
                use serde::de::Error;
                let currency = items.next_element()?.ok_or_else(|| A::Error::custom("no currency"))?;
                let amount = items.next_element()?.ok_or_else(|| A::Error::custom("no amount"))?;
                while items.next_element::<serde::de::IgnoredAny>()?.is_some() {}
                Ok(Parts(currency, amount))
            }
        }
        deserializer.deserialize_seq(Visitor)
    }
}

/// A peer's currency may be anything: control characters are shown, not obeyed.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", super::printable(&self.currency), self.amount)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use grasp::hex;

    /// GB-W-05, GB-W-06: both forms are those of the Python programs, byte for byte.
    #[test]
    fn both_forms_are_written_byte_for_byte() {
        assert_eq!(hex::encode(Money::nzd(157, false).value().as_bytes()), "82634e5a44189d");
        assert_eq!(hex::encode(Money::nzd(157, true).value().as_bytes()), "d8184782634e5a44189d");
    }

    /// GB-B-11, ASA-R-08: what is no money is refused, surplus items are not.
    #[test]
    fn only_a_currency_and_an_amount_are_money() {
        let read = |text: &str| Money::read(Some(&Value::from_encoded(hex::decode(text).unwrap()).unwrap()));
        assert_eq!(read("82634e5a44189d"), Ok(Money::nzd(157, false)));
        assert_eq!(read("d8184782634e5a44189d"), Ok(Money::nzd(157, true)));
        assert_eq!(read("83634e5a44189df6"), Ok(Money::nzd(157, false)));
        assert_eq!(read("82634e5a4420"), Ok(Money::nzd(-1, false)));
        for wrong in
            ["f6", "634e5a44", "81634e5a44", "8218181818", "82634e5a44f9000", "82634e5a44fb40590000000000", "d81841ff"]
        {
            if let Some(bytes) = hex::decode(wrong)
                && let Ok(value) = Value::from_encoded(bytes)
            {
                assert_eq!(Money::read(Some(&value)), Err(MoneyError::Shape), "{wrong}");
            }
        }
        // 10^30 does not fit into 64 bits.
        assert_eq!(read("82634e5a44c24d0c9f2c9cd04674edea40000000"), Err(MoneyError::Shape));
        assert_eq!(Money::read(None), Err(MoneyError::Missing));
    }
}
