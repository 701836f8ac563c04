//! Values as JSON, in their order, to a depth.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Error as _, Serialize, SerializeMap as _, Serializer};

use crate::expr::limits;
use crate::expr::value::{Map, Value};

/// Why there is no value for a JSON text, or no JSON text for a value.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct JsonError(#[from] serde_json::Error);

impl Value {
    /// Reads JSON. A key that is there twice has its last value at its first place; a whole number
    /// beyond 64 bits becomes a float.
    ///
    /// # Errors
    ///
    /// If it is no JSON, and if lists and maps are inside one another more than
    /// [`limits::JSON_DEPTH`] times. The message says where and quotes nothing.
    pub fn from_json(json: &[u8]) -> Result<Self, JsonError> {
        read(json, Repeats::Replaced)
    }

    /// Reads JSON as [`from_json`](Self::from_json) does, but for a key that is there twice: whoever writes
    /// by hand has made a mistake then.
    ///
    /// # Errors
    ///
    /// As of `from_json`; and a key that is there twice, which the message quotes.
    pub fn from_json_without_repeats(json: &[u8]) -> Result<Self, JsonError> {
        read(json, Repeats::Refused)
    }

    /// Compact JSON.
    ///
    /// # Errors
    ///
    /// If bytes, a handle or something pending is in it.
    pub fn to_json(&self) -> Result<String, JsonError> {
        Ok(serde_json::to_string(self)?)
    }
}

fn read(json: &[u8], repeats: Repeats) -> Result<Value, JsonError> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let left = limits::JSON_DEPTH;
    let value = Nested { left, repeats }.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// What becomes of a key that is there twice.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeats {
    /// It has its last value, at its first place.
    Replaced,
    /// It is an error.
    Refused,
}

/// Bytes, handles and pending values are errors; a float that JSON lacks is null.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Boolean(boolean) => serializer.serialize_bool(*boolean),
            Self::Integer(integer) => serializer.serialize_i128(*integer),
            Self::Float(float) => serializer.serialize_f64(*float),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(list) => serializer.collect_seq(list),
            Self::Map(map) => {
                let mut writer = serializer.serialize_map(Some(map.len()))?;
                for (key, value) in map {
                    writer.serialize_entry(key, value)?;
                }
                writer.end()
            }
            Self::Bytes(_) | Self::Handle(_) | Self::Pending(_) => Err(S::Error::custom(
                format_args!("{} cannot be written as JSON", self.kind()),
            )),
        }
    }
}

/// Reads a value in which lists and maps may be inside one another `left` times.
#[derive(Clone, Copy)]
struct Nested {
    left: usize,
    repeats: Repeats,
}

impl Nested {
    fn inner<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.left.checked_sub(1) {
            Some(left) => Ok(Self { left, ..self }),
            None => Err(E::custom(format_args!(
                "more than {} lists and objects inside one another",
                limits::JSON_DEPTH
            ))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Nested {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Nested {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, boolean: bool) -> Result<Value, E> {
        Ok(Value::Boolean(boolean))
    }

    fn visit_i64<E>(self, integer: i64) -> Result<Value, E> {
        Ok(Value::Integer(integer.into()))
    }

    fn visit_u64<E>(self, integer: u64) -> Result<Value, E> {
        Ok(Value::Integer(integer.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, float: f64) -> Result<Value, E> {
        if float.is_finite() {
            Ok(Value::Float(float))
        } else {
            Err(E::custom("a number is too large"))
        }
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.inner::<A::Error>()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            list.push(item);
        }
        list.shrink_to_fit();
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inner = self.inner::<A::Error>()?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if self.repeats == Repeats::Refused && map.contains_key(&key) {
                let key = adit_text::show(&key);
                return Err(A::Error::custom(format_args!("{key} is there twice")));
            }
            map.insert(key, entries.next_value_seed(inner)?);
        }
        map.shrink_to_fit();
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests;
