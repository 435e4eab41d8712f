//! The texts of one name as a value: a number, a truth, a text, a list.

use std::fmt::{self, Display};

use serde_core::Deserializer;
use serde_core::de::value::{SeqDeserializer, StrDeserializer};
use serde_core::de::{self, IntoDeserializer, Visitor};

/// The texts of one name; there is at least one.
#[derive(Clone, Debug)]
pub(super) struct Texts<'t> {
    first: &'t str,
    others: Vec<&'t str>,
}

/// The sentence about a text that does not fit.
#[derive(Debug)]
pub(super) struct TextError(String);

impl TextError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TextError {}

impl de::Error for TextError {
    fn custom<T: Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl<'t> Texts<'t> {
    pub(super) fn of(first: &'t str) -> Self {
        Self { first, others: Vec::new() }
    }

    pub(super) fn push(&mut self, text: &'t str) {
        self.others.push(text);
    }

    /// Reads the first text. `wanted` is the kind of value for the error.
    fn parse<T: std::str::FromStr>(&self, wanted: &str) -> Result<T, TextError> {
        self.first.trim_ascii().parse().map_err(|_| self.unfit(wanted))
    }

    fn unfit(&self, wanted: &str) -> TextError {
        const LONGEST: usize = 80;
        let shown: String = self.first.chars().take(LONGEST).collect();
        let more = if shown.len() < self.first.len() { "…" } else { "" };
        TextError(format!("expected {wanted}, got {shown:?}{more}"))
    }

    fn truth(&self) -> Result<bool, TextError> {
        match self.first.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err(self.unfit("true or false")),
        }
    }
}

impl<'de> IntoDeserializer<'de, TextError> for Texts<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// The methods for values that `FromStr` reads.
macro_rules! numbers {
    ($($method:ident $visit:ident $kind:literal)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
            visitor.$visit(self.parse($kind)?)
        })*
    };
}

/// The same methods for a deserializer whose method `$only` finds the text.
macro_rules! only_values {
    ($only:ident) => {
        super::text::only_values!(@ $only deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
            deserialize_i128 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32
            deserialize_f64 deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
            deserialize_identifier);
    };
    (@ $only:ident $($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
            self.$only()?.$method(visitor)
        })*
    };
}
pub(super) use only_values;

impl<'de> Deserializer<'de> for Texts<'de> {
    type Error = TextError;

    numbers! {
        deserialize_i8 visit_i8 "a whole number from -128 to 127"
        deserialize_i16 visit_i16 "a whole number from -32768 to 32767"
        deserialize_i32 visit_i32 "a whole number of 32 bits"
        deserialize_i64 visit_i64 "a whole number of 64 bits"
        deserialize_i128 visit_i128 "a whole number of 128 bits"
        deserialize_u8 visit_u8 "a whole number from 0 to 255"
        deserialize_u16 visit_u16 "a whole number from 0 to 65535"
        deserialize_u32 visit_u32 "a whole number from 0 on, of 32 bits"
        deserialize_u64 visit_u64 "a whole number from 0 on, of 64 bits"
        deserialize_u128 visit_u128 "a whole number from 0 on, of 128 bits"
        deserialize_char visit_char "one character"
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
        if self.others.is_empty() { visitor.visit_borrowed_str(self.first) } else { self.deserialize_seq(visitor) }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
        visitor.visit_bool(self.truth()?)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
        let number: f64 = self.parse("a number")?;
        if number.is_finite() { visitor.visit_f64(number) } else { Err(self.unfit("a number")) }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
        visitor.visit_borrowed_str(self.first)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
        visitor.visit_borrowed_bytes(self.first.as_bytes())
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
        // A browser sends the fields that were left empty as empty texts.
        let is_empty = self.first.is_empty() && self.others.is_empty();
        if is_empty { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, TextError> {
        visitor.visit_unit()
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, TextError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
        let all = std::iter::once(self.first).chain(self.others);
        visitor.visit_seq(SeqDeserializer::new(all.map(Texts::of)))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, TextError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, TextError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, _: V) -> Result<V::Value, TextError> {
        Err(self.unfit("fields"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TextError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TextError> {
        StrDeserializer::new(self.first).deserialize_enum(name, variants, visitor)
    }
}
