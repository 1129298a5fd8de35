//! Values that may be written in more than one way.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use smmu_machine::MachineFile;

/// The machine of a scenario.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MachineChoice {
    /// A machine file or the name of a preset.
    Named(String),
    /// A machine written out in the scenario.
    Inline(MachineFile),
}

/// The VMIDs of a VM's containers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum VmidChoice {
    /// Each container has one of its own.
    #[default]
    Private,
    /// The first container's number is read (GET_VMID) and given to the others (SET_VMID).
    Shared,
    /// This number is given to every container (SET_VMID) before SET_IOMMU.
    Number(u32),
}

/// A number, or the device that has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Tag {
    /// The number itself.
    Number(u32),
    /// The number that the driver has given to this device: its domain's VMID or ASID, or the
    /// device's first StreamID.
    Device(String),
}

/// Lets a type be read from a string, an integer or a table, without buffering, so that places in
/// the file are kept.
macro_rules! read_any {
    ($name:ident, $expecting:literal, { $($visit:tt)* }) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct ValueVisitor;
                impl<'de> Visitor<'de> for ValueVisitor {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }

                    $($visit)*
                }
                deserializer.deserialize_any(ValueVisitor)
            }
        }
    };
}

read_any!(MachineChoice, "a path to a machine file, the name of a preset, or a machine", {
    fn visit_str<E: de::Error>(self, text: &str) -> Result<MachineChoice, E> {
        Ok(MachineChoice::Named(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<MachineChoice, A::Error> {
        MachineFile::deserialize(MapAccessDeserializer::new(map)).map(MachineChoice::Inline)
    }
});

read_any!(VmidChoice, "\"private\", \"shared\" or a number", {
    fn visit_str<E: de::Error>(self, text: &str) -> Result<VmidChoice, E> {
        match text {
            "private" => Ok(VmidChoice::Private),
            "shared" => Ok(VmidChoice::Shared),
            other => Err(E::unknown_variant(other, &["private", "shared"])),
        }
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<VmidChoice, E> {
        number_of(number).map(VmidChoice::Number)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<VmidChoice, E> {
        number_of(number).map(VmidChoice::Number)
    }
});

read_any!(Tag, "a number, or the name of a device", {
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Tag, E> {
        Ok(Tag::Device(text.to_owned()))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Tag, E> {
        number_of(number).map(Tag::Number)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Tag, E> {
        number_of(number).map(Tag::Number)
    }
});

fn number_of<N: TryInto<u32> + fmt::Display + Copy, E: de::Error>(number: N) -> Result<u32, E> {
    number.try_into().map_err(|_| E::custom(format!("{number} does not fit 32 bits")))
}

const NUMBER: &str = "A number of at most 32 bits.";

impl JsonSchema for MachineChoice {
    fn schema_name() -> Cow<'static, str> {
        "MachineChoice".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A path to a machine file, the name of a preset, or a machine.",
            "anyOf": [{ "type": "string" }, generator.subschema_for::<MachineFile>()],
        })
    }
}

impl JsonSchema for VmidChoice {
    fn schema_name() -> Cow<'static, str> {
        "VmidChoice".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let private = "Each container has one of its own.";
        let shared = "The first container's number is read (GET_VMID) after its SET_IOMMU and \
            given to the others (SET_VMID).";
        let number = "This number is given to every container (SET_VMID) before SET_IOMMU. 32 \
            bits, unchecked: the kernel layer is to refuse what it cannot use.";
        json_schema!({
            "description": "The VMIDs of a VM's containers.",
            "oneOf": [
                { "const": "private", "type": "string", "description": private },
                { "const": "shared", "type": "string", "description": shared },
                { "type": "integer", "minimum": 0, "maximum": u32::MAX, "description": number },
            ],
        })
    }
}

impl JsonSchema for Tag {
    fn schema_name() -> Cow<'static, str> {
        "Tag".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number, or the device that has it.",
            "oneOf": [
                { "type": "integer", "minimum": 0, "maximum": u32::MAX, "description": NUMBER },
                { "type": "string", "description":
                    "The name of a device: the number that the driver has given to it." },
            ],
        })
    }
}
