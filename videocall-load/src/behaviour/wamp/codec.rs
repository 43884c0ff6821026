//! Messages of WAMP as JSON or MessagePack; one model, [`serde_json::Value`], for both.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

/// Depth of nesting that is read at most.
const MAX_DEPTH: usize = 32;

/// Serialization, negotiated as a WebSocket subprotocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Serializer {
    /// `wamp.2.json`.
    #[default]
    Json,
    /// `wamp.2.msgpack`.
    Msgpack,
}

impl Serializer {
    /// The subprotocol (WAMP, section 5.3.1).
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "wamp.2.json",
            Self::Msgpack => "wamp.2.msgpack",
        }
    }
}

/// Bytes that are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Not JSON, or not MessagePack.
    #[error("not a message: {0}")]
    Malformed(String),
    /// Something else than a list that begins with a number.
    #[error("not a list that begins with the type of the message")]
    Shape,
}

/// A message as bytes.
pub fn encode(serializer: Serializer, message: &Value) -> Bytes {
    match serializer {
        Serializer::Json => message.to_string().into(),
        Serializer::Msgpack => {
            let mut out = Vec::new();
            // Writing to memory does not fail.
            let _ = rmpv::encode::write_value(&mut out, &to_msgpack(message));
            out.into()
        }
    }
}

/// Type and content of a message.
///
/// # Errors
/// When the bytes are no message.
pub fn decode(serializer: Serializer, bytes: &[u8]) -> Result<(u64, Vec<Value>), CodecError> {
    let malformed = |error: &dyn std::fmt::Display| CodecError::Malformed(error.to_string());
    let value = match serializer {
        Serializer::Json => serde_json::from_slice(bytes).map_err(|error| malformed(&error))?,
        Serializer::Msgpack => {
            let mut rest = bytes;
            let value = rmpv::decode::read_value_with_max_depth(&mut rest, MAX_DEPTH)
                .map_err(|error| malformed(&error))?;
            from_msgpack(value)
        }
    };
    let Value::Array(list) = value else {
        return Err(CodecError::Shape);
    };
    let kind = list.first().and_then(Value::as_u64);
    kind.map(|kind| (kind, list)).ok_or(CodecError::Shape)
}

fn to_msgpack(value: &Value) -> rmpv::Value {
    match value {
        Value::Null => rmpv::Value::Nil,
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => number.into(),
            (None, Some(number)) => number.into(),
            (None, None) => number.as_f64().unwrap_or_default().into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(list) => rmpv::Value::Array(list.iter().map(to_msgpack).collect()),
        Value::Object(map) => {
            let pairs = map.iter();
            rmpv::Value::Map(
                pairs
                    .map(|(key, value)| (key.as_str().into(), to_msgpack(value)))
                    .collect(),
            )
        }
    }
}

fn from_msgpack(value: rmpv::Value) -> Value {
    match value {
        rmpv::Value::Nil => Value::Null,
        rmpv::Value::Boolean(flag) => Value::Bool(flag),
        rmpv::Value::Integer(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => number.into(),
            (None, number) => number.unwrap_or_default().into(),
        },
        rmpv::Value::F32(number) => from_float(number.into()),
        rmpv::Value::F64(number) => from_float(number),
        rmpv::Value::String(text) => {
            Value::String(String::from_utf8_lossy(text.as_bytes()).into_owned())
        }
        rmpv::Value::Binary(bytes) | rmpv::Value::Ext(_, bytes) => {
            Value::Array(bytes.into_iter().map(Value::from).collect())
        }
        rmpv::Value::Array(list) => Value::Array(list.into_iter().map(from_msgpack).collect()),
        rmpv::Value::Map(pairs) => {
            let pairs = pairs.into_iter().map(|(key, value)| {
                let key = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
                (key, from_msgpack(value))
            });
            Value::Object(pairs.collect::<Map<_, _>>())
        }
    }
}

fn from_float(number: f64) -> Value {
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn both_serializations_carry_the_same() {
        let message = json!([16, 1, {"acknowledge": true}, "com.a", [1, -2, 1.5, "ü", null]]);
        for serializer in [Serializer::Json, Serializer::Msgpack] {
            let (kind, list) = decode(serializer, &encode(serializer, &message)).unwrap();
            assert_eq!(kind, 16);
            assert_eq!(Value::Array(list), message);
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        assert_eq!(decode(Serializer::Json, b"{}"), Err(CodecError::Shape));
        assert!(decode(Serializer::Json, b"[1").is_err());
        assert!(decode(Serializer::Msgpack, &[0xc1]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_borne(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(Serializer::Msgpack, &bytes);
            let _ = decode(Serializer::Json, &bytes);
        }
    }
}
