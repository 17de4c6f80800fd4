//! Values that clients in other languages write differently than Java: numbers as text, enums as ordinals.

use serde::{Deserialize, Deserializer};

#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Number(i64),
    Text(String),
}

impl Scalar {
    fn number<E: serde::de::Error>(self) -> Result<i64, E> {
        match self {
            Scalar::Number(number) => Ok(number),
            Scalar::Text(text) => text.parse().map_err(|_| E::custom(format_args!("{text:?} is no number"))),
        }
    }

    /// The name itself, or the one that a number stands for.
    fn name(self, names: &[&str]) -> String {
        match self {
            Scalar::Text(name) => name,
            Scalar::Number(at) => {
                let name = usize::try_from(at).ok().and_then(|at| names.get(at));
                name.map_or_else(|| at.to_string(), |name| (*name).to_owned())
            }
        }
    }
}

/// A number, perhaps as text: the C++ client writes `subVersion` so.
pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    Scalar::deserialize(deserializer)?.number()
}

/// Numbers of 32 bits, perhaps as text: the Go client writes `codeSet` so.
pub(super) fn numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<i32>, D::Error> {
    struct Number(i32);

    impl<'de> Deserialize<'de> for Number {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            number(deserializer).map(|number| Number(number as i32))
        }
    }

    Ok(Vec::<Number>::deserialize(deserializer)?.into_iter().map(|Number(number)| number).collect())
}

pub(super) fn consume_type<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let names = ["CONSUME_ACTIVELY", "CONSUME_PASSIVELY", "CONSUME_POP"];
    Scalar::deserialize(deserializer).map(|scalar| scalar.name(&names))
}

pub(super) fn message_model<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Scalar::deserialize(deserializer).map(|scalar| scalar.name(&["BROADCASTING", "CLUSTERING"]))
}

pub(super) fn consume_from_where<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let names = [
        "CONSUME_FROM_LAST_OFFSET",
        "CONSUME_FROM_LAST_OFFSET_AND_FROM_MIN_WHEN_BOOT_FIRST",
        "CONSUME_FROM_MIN_OFFSET",
        "CONSUME_FROM_MAX_OFFSET",
        "CONSUME_FROM_FIRST_OFFSET",
        "CONSUME_FROM_TIMESTAMP",
    ];
    Scalar::deserialize(deserializer).map(|scalar| scalar.name(&names))
}
