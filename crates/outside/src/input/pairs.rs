//! Names and texts, as queries, forms and paths have them, as the fields of one value.

use serde_core::Deserializer;
use serde_core::de::value::{MapDeserializer, SeqDeserializer};
use serde_core::de::{DeserializeOwned, Visitor};

use super::refusal::{MISSING, refuse};
use super::text::{TextError, Texts};
use crate::error::Error;

/// Makes a value of these pairs. `part` is the part of the request for the error.
pub(super) fn read<'p, T: DeserializeOwned>(
    part: &'static str,
    pairs: impl Iterator<Item = (&'p str, &'p str)>,
) -> Result<T, Error> {
    serde_path_to_error::deserialize(Pairs::of(pairs)).map_err(|error| refuse(part, error.path(), &error.inner()))
}

/// All texts of each name, in the order in which the names came first.
struct Pairs<'p>(Vec<(&'p str, Texts<'p>)>);

impl<'p> Pairs<'p> {
    fn of(pairs: impl Iterator<Item = (&'p str, &'p str)>) -> Self {
        let mut all: Vec<(&str, Texts<'_>)> = Vec::new();
        let mut places = std::collections::HashMap::new();
        for (name, text) in pairs {
            let at = *places.entry(name).or_insert(all.len());
            match all.get_mut(at) {
                Some((_, texts)) => texts.push(text),
                None => all.push((name, Texts::of(text))),
            }
        }
        Self(all)
    }

    /// The first text of the only name: a value that is no struct, such as the number of a path.
    fn only(self) -> Result<Texts<'p>, TextError> {
        let mut all = self.0.into_iter();
        match (all.next(), all.len()) {
            (Some((_, texts)), 0) => Ok(texts),
            (None, _) => Err(TextError::new(MISSING)),
            (Some(_), more) => Err(TextError::new(format!("there are {} values, and one is taken here", more + 1))),
        }
    }
}

impl<'de> Deserializer<'de> for Pairs<'de> {
    type Error = TextError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
        visitor.visit_map(MapDeserializer::new(self.0.into_iter()))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
        self.deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TextError> {
        self.deserialize_any(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, TextError> {
        visitor.visit_seq(SeqDeserializer::new(self.0.into_iter().map(|(_, texts)| texts)))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, TextError> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, TextError> {
        visitor.visit_newtype_struct(self)
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

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
        if self.0.is_empty() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
        self.only()?.deserialize_seq(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TextError> {
        self.only()?.deserialize_enum(name, variants, visitor)
    }

    super::text::only_values!(only);
}
