//! Numbers of addresses as decimal digits: JSON values have no numbers of 128 bits.

use serde::{Deserialize, Deserializer, Serializer, de::Error};

pub(crate) fn serialize<S: Serializer>(number: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

/// The same for a number of each family.
pub(crate) mod of_families {
    use crate::prefix::Family;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::collections::BTreeMap;

    #[derive(Serialize, Deserialize)]
    struct Digits(#[serde(with = "super")] u128);

    pub(crate) fn serialize<S: Serializer>(map: &BTreeMap<Family, u128>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(map.iter().map(|(family, number)| (family, Digits(*number))))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<Family, u128>, D::Error> {
        let map = BTreeMap::<Family, Digits>::deserialize(deserializer)?;
        Ok(map.into_iter().map(|(family, Digits(number))| (family, number)).collect())
    }
}
