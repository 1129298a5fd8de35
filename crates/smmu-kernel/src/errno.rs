//! What an ioctl fails with.

use std::fmt;

macro_rules! errnos {
    ($($name:ident $number:literal $doc:literal;)*) => {
        impl Errno {
            $(#[doc = $doc] pub const $name: Self = Self($number);)*

            /// The symbolic name, or `None` for a number that the kernel model never gives.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

/// An error number of the Linux ABI (generic numbering, as on arm64). Always positive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Errno(pub i32);

errnos! {
    EPERM 1 "Operation not permitted.";
    ENOENT 2 "No such file or directory.";
    EIO 5 "Input/output error.";
    E2BIG 7 "Argument list too long.";
    EBADF 9 "Bad file descriptor.";
    ENOMEM 12 "Cannot allocate memory.";
    EACCES 13 "Permission denied.";
    EFAULT 14 "Bad address.";
    EBUSY 16 "Device or resource busy.";
    EEXIST 17 "File exists.";
    ENODEV 19 "No such device.";
    EINVAL 22 "Invalid argument.";
    EMFILE 24 "Too many open files.";
    ENOTTY 25 "Inappropriate ioctl for device.";
    ENOSPC 28 "No space left on device.";
    EOVERFLOW 75 "Value too large for defined data type.";
    EBADFD 77 "File descriptor in bad state.";
    EMSGSIZE 90 "Message too long.";
    EOPNOTSUPP 95 "Operation not supported.";
    EADDRINUSE 98 "Address already in use.";
    ETIMEDOUT 110 "Connection timed out.";
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Errno {}

/// Memory of the kernel's own that does not answer.
impl From<smmu_bus::Aborted> for Errno {
    fn from(_: smmu_bus::Aborted) -> Self {
        Self::EIO
    }
}

/// A pointer argument that leads nowhere.
impl From<smmu_bus::UserFault> for Errno {
    fn from(_: smmu_bus::UserFault) -> Self {
        Self::EFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errno_prints_its_name() {
        assert_eq!(Errno::EOPNOTSUPP.to_string(), "EOPNOTSUPP");
        assert_eq!(format!("{:?}", Errno(22)), "EINVAL");
        assert_eq!(Errno(4095).to_string(), "errno 4095");
    }
}
