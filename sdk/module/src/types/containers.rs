//! The built-in types that hold values of other types: optional values, lists and maps.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserializer, Serialize, Serializer};

use super::rules::{self, Rules, check};
use super::{Decode, DecodeSeed, Encode, Encoder, Reading};

/// An optional type. `None` is `null`, and obeys any rules; other values have to obey them. (A record leaves out an optional field that is
/// `None`.)
impl<T: Decode> Decode for Option<T> {
    fn decode<'de, D: Deserializer<'de>>(deserializer: D, reading: Reading<'_>) -> Result<Self, D::Error> {
        struct OptionVisitor<'a, T>(Reading<'a>, PhantomData<T>);

        impl<'de, T: Decode> Visitor<'de> for OptionVisitor<'_, T> {
            type Value = Option<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or null")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(None)
            }

            fn visit_none<E>(self) -> Result<Self::Value, E> {
                Ok(None)
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
                T::decode(deserializer, self.0).map(Some)
            }
        }

        deserializer.deserialize_option(OptionVisitor(reading, PhantomData))
    }

    fn check(&self, rules: Rules) -> Result<(), String> {
        self.as_ref().map_or(Ok(()), |value| value.check(rules))
    }
}

impl<T: Encode> Encode for Option<T> {
    fn encode<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_ref().map(Encoder).serialize(serializer)
    }
}

/// The manifest's list. `min_length` and `max_length` count items; [`Rule::Each`](rules::Rule::Each) has the rules for each of them. It
/// keeps its order, and may have the same item twice.
impl<T: Decode> Decode for Vec<T> {
    fn decode<'de, D: Deserializer<'de>>(deserializer: D, reading: Reading<'_>) -> Result<Self, D::Error> {
        struct ListVisitor<'a, T>(Reading<'a>, PhantomData<T>);

        impl<'de, T: Decode> Visitor<'de> for ListVisitor<'_, T> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
                let each = self.0.with(rules::for_each(self.0.rules));
                let mut items = Vec::new();
                let Some(mistakes) = each.mistakes else {
                    while let Some(item) = list.next_element_seed(DecodeSeed::new(each))? {
                        items.push(item);
                    }
                    return Ok(items);
                };
                let mut whole = true;
                for index in 0.. {
                    let read = || list.next_element_seed(DecodeSeed::new(each));
                    match mistakes.at(&format!("[{index}]"), read) {
                        Some(Some(item)) => items.push(item),
                        Some(None) => break,
                        None => whole = false,
                    }
                }
                if whole { Ok(items) } else { Err(A::Error::custom("an item is wrong")) }
            }
        }

        let items: Self = deserializer.deserialize_seq(ListVisitor(reading, PhantomData))?;
        // The rules for each item were checked when it was read.
        check(reading.rules, "items", |rule| rule.allows_length(items.len())).map_err(D::Error::custom)?;
        Ok(items)
    }

    fn check(&self, rules: Rules) -> Result<(), String> {
        check(rules, "items", |rule| rule.allows_length(self.len()))?;
        let each = rules::for_each(rules);
        self.iter()
            .enumerate()
            .try_for_each(|(index, item)| item.check(each).map_err(|wanted| format!("item {index} {wanted}")))
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn encode<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Encoder))
    }
}

/// The manifest's map, whose keys are any strings, also empty. The rules are as for a list: those of `Each` are for the values. If a key
/// comes twice, the last value counts, but each has to be right. It is written sorted by key.
impl<T: Decode> Decode for BTreeMap<String, T> {
    fn decode<'de, D: Deserializer<'de>>(deserializer: D, reading: Reading<'_>) -> Result<Self, D::Error> {
        struct EntriesVisitor<'a, T>(Reading<'a>, PhantomData<T>);

        impl<'de, T: Decode> Visitor<'de> for EntriesVisitor<'_, T> {
            type Value = BTreeMap<String, T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let each = self.0.with(rules::for_each(self.0.rules));
                let mut whole = true;
                let mut entries = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    let Some(mistakes) = each.mistakes else {
                        let value = map.next_value_seed(DecodeSeed::new(each))?;
                        entries.insert(key, value);
                        continue;
                    };
                    match mistakes.at(&key, || map.next_value_seed(DecodeSeed::new(each))) {
                        Some(value) => drop(entries.insert(key, value)),
                        None => whole = false,
                    }
                }
                if whole { Ok(entries) } else { Err(A::Error::custom("an entry is wrong")) }
            }
        }

        let entries: Self = deserializer.deserialize_map(EntriesVisitor(reading, PhantomData))?;
        check(reading.rules, "entries", |rule| rule.allows_length(entries.len())).map_err(D::Error::custom)?;
        Ok(entries)
    }

    fn check(&self, rules: Rules) -> Result<(), String> {
        check(rules, "entries", |rule| rule.allows_length(self.len()))?;
        let each = rules::for_each(rules);
        self.iter()
            .try_for_each(|(key, value)| value.check(each).map_err(|wanted| format!("the value of `{key}` {wanted}")))
    }
}

impl<T: Encode> Encode for BTreeMap<String, T> {
    fn encode<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(key, value)| (key, Encoder(value))))
    }
}
