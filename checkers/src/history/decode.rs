//! Reading one line of a history without buffering it: `value` is decoded as its `f` demands.
//!
//! Writers put `f` before `value`, and then nothing is kept aside; the other order is accepted.

use std::fmt;

use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::history::action::Action;
use crate::history::op::{Op, OpError, OpType};

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Field {
    Index,
    Time,
    Process,
    Type,
    F,
    Value,
    Error,
    Node,
    #[serde(other)]
    Unknown,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum F {
    Send,
    Poll,
    ListOffsets,
    Assign,
    Seek,
    Subscribe,
    Leave,
    Rebalance,
    Resume,
    Process,
    Commit,
    Committed,
    DeleteOffsets,
    Crash,
    Admin,
    Nemesis,
}

#[derive(Default)]
struct Parts {
    index: Option<u64>,
    time: Option<u64>,
    process: Option<u64>,
    kind: Option<OpType>,
    f: Option<F>,
    early_value: Option<serde_json::Value>,
    action: Option<Action>,
    error: Option<OpError>,
    node: Option<Box<str>>,
}

impl<'de> Deserialize<'de> for Op {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OpVisitor;

        impl<'de> Visitor<'de> for OpVisitor {
            type Value = Op;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an operation: index, time, process, type, f, value")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Op, A::Error> {
                let mut parts = Parts::default();
                while let Some(field) = map.next_key()? {
                    parts.take(field, &mut map)?;
                }
                parts.finish()
            }
        }

        deserializer.deserialize_map(OpVisitor)
    }
}

impl Parts {
    fn take<'de, A: MapAccess<'de>>(&mut self, field: Field, map: &mut A) -> Result<(), A::Error> {
        match field {
            Field::Index => self.index = Some(map.next_value()?),
            Field::Time => self.time = Some(map.next_value()?),
            Field::Process => self.process = Some(map.next_value()?),
            Field::Type => self.kind = Some(map.next_value()?),
            Field::F => self.f = Some(map.next_value()?),
            Field::Error => self.error = map.next_value()?,
            Field::Node => self.node = map.next_value()?,
            Field::Value => match self.f {
                Some(f) => self.action = Some(action(f, map)?),
                None => self.early_value = Some(map.next_value()?),
            },
            Field::Unknown => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }

    fn finish<E: Error>(self) -> Result<Op, E> {
        let f = self.f.ok_or_else(|| E::missing_field("f"))?;
        let action = match (self.action, self.early_value) {
            (Some(action), _) => action,
            (None, Some(value)) => late_action(f, value)?,
            (None, None) => return Err(E::missing_field("value")),
        };
        Ok(Op {
            index: self.index.ok_or_else(|| E::missing_field("index"))?,
            time: self.time.ok_or_else(|| E::missing_field("time"))?,
            process: self.process.ok_or_else(|| E::missing_field("process"))?,
            kind: self.kind.ok_or_else(|| E::missing_field("type"))?,
            action,
            error: self.error,
            node: self.node,
        })
    }
}

fn action<'de, A: MapAccess<'de>>(f: F, map: &mut A) -> Result<Action, A::Error> {
    Ok(match f {
        F::Send => Action::Send(map.next_value()?),
        F::Poll => Action::Poll(map.next_value()?),
        F::ListOffsets => Action::ListOffsets(map.next_value()?),
        F::Assign => Action::Assign(map.next_value()?),
        F::Seek => Action::Seek(map.next_value()?),
        F::Subscribe => Action::Subscribe(map.next_value()?),
        F::Leave => Action::Leave(map.next_value()?),
        F::Rebalance => Action::Rebalance(map.next_value()?),
        F::Resume => Action::Resume(map.next_value()?),
        F::Process => Action::Process(map.next_value()?),
        F::Commit => Action::Commit(map.next_value()?),
        F::Committed => Action::Committed(map.next_value()?),
        F::DeleteOffsets => Action::DeleteOffsets(map.next_value()?),
        F::Crash => Action::Crash(map.next_value()?),
        F::Admin => Action::Admin(map.next_value()?),
        F::Nemesis => Action::Nemesis(map.next_value()?),
    })
}

/// The action of a value that came before its `f`.
fn late_action<E: Error>(f: F, value: serde_json::Value) -> Result<Action, E> {
    let mut map = serde::de::value::MapDeserializer::<_, serde_json::Error>::new(std::iter::once(
        ("value", value),
    ));
    let decoded = map
        .next_key::<IgnoredAny>()
        .and_then(|_| action(f, &mut map));
    decoded.map_err(|e| E::custom(e))
}
