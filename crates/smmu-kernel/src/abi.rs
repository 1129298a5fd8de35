//! Structures of Linux's ABI, as VFIO and iommufd share them: bytes of user memory.

use crate::Errno;
use smmu_bus::UserMemory;
use std::mem::size_of;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Declares structures again that a bindings crate (`abi` where the macro is used) has, and holds
/// size and offsets of each against it.
macro_rules! mirror {
    ($($(#[$doc:meta])* $name:ident = $binding:ident { $($field:ident: $ty:ty,)* })*) => {$(
        $(#[$doc])*
        #[repr(C)]
        #[derive(
            Clone, Copy, PartialEq, Eq, Default, Debug, zerocopy::FromBytes, zerocopy::IntoBytes,
            zerocopy::Immutable, zerocopy::KnownLayout,
        )]
        #[allow(missing_docs, reason = "the names are those of the ABI")]
        pub struct $name { $(pub $field: $ty,)* }

        const _: () = {
            use std::mem::{offset_of, size_of};
            assert!(size_of::<$name>() == size_of::<abi::$binding>());
            $(assert!(offset_of!($name, $field) == offset_of!(abi::$binding, $field));)*
        };
    )*};
}
pub(crate) use mirror;

/// Copies the first `bytes` bytes of a structure from user memory; the rest is zero.
pub(crate) fn read_prefix<T: FromBytes + IntoBytes + Default>(
    process: &dyn UserMemory,
    address: u64,
    bytes: usize,
) -> Result<T, Errno> {
    let mut value = T::default();
    process.read(address, &mut value.as_mut_bytes()[..bytes])?;
    Ok(value)
}

/// Copies a structure from user memory.
pub(crate) fn read<T: FromBytes + IntoBytes + Default>(
    process: &dyn UserMemory,
    address: u64,
) -> Result<T, Errno> {
    read_prefix(process, address, size_of::<T>())
}

/// Copies a structure to user memory.
pub(crate) fn write<T: IntoBytes + Immutable>(
    process: &dyn UserMemory,
    address: u64,
    value: &T,
) -> Result<(), Errno> {
    Ok(process.write(address, value.as_bytes())?)
}
