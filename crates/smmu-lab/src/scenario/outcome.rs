//! What a step is to come to.

use schemars::JsonSchema;
use serde::Deserialize;

/// Declares the outcomes of a system call from one table: variant, name, number.
macro_rules! outcomes {
    ($($variant:ident = $number:literal $meaning:literal,)*) => {
        /// What a system call comes to.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Deserialize, JsonSchema)]
        #[allow(clippy::upper_case_acronyms, reason = "the names of errno.h")]
        pub enum Outcome {
            /// It succeeds.
            #[default]
            #[serde(rename = "ok")]
            Ok,
            /// The kernel stops: it would have corrupted its memory or crashed. The scenario ends
            /// with this step.
            #[serde(rename = "oops")]
            Oops,
            $(
                #[doc = $meaning]
                $variant,
            )*
        }

        impl Outcome {
            /// The errno of Linux on arm64; `None` for success, and where nobody is left to be told.
            #[must_use]
            pub const fn errno(self) -> Option<i32> {
                match self {
                    Self::Ok | Self::Oops => None,
                    $(Self::$variant => Some($number),)*
                }
            }

            /// The outcome with an errno, if it is one that the VFIO layer has a use for.
            #[must_use]
            pub const fn from_errno(errno: i32) -> Option<Self> {
                match errno {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The name as in errno.h, or `ok`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    Self::Ok => "ok",
                    Self::Oops => "oops",
                    $(Self::$variant => stringify!($variant),)*
                }
            }
        }
    };
}

outcomes! {
    EPERM = 1 "Operation not permitted.",
    ENOENT = 2 "No such object.",
    EIO = 5 "Input/output error.",
    E2BIG = 7 "Argument too long.",
    EBADF = 9 "Bad file descriptor.",
    ENOMEM = 12 "Out of memory.",
    EACCES = 13 "Permission denied.",
    EFAULT = 14 "Bad address.",
    EBUSY = 16 "Device or resource busy.",
    EEXIST = 17 "Exists already.",
    ENODEV = 19 "No such device.",
    EINVAL = 22 "Invalid argument.",
    ENOTTY = 25 "No such ioctl here.",
    ENOSPC = 28 "No space left, for example no VMID.",
    EADDRINUSE = 98 "Address already in use.",
    EOVERFLOW = 75 "Value too large.",
    EBADFD = 77 "File descriptor in bad state.",
    EMSGSIZE = 90 "Message too long.",
    EOPNOTSUPP = 95 "Operation not supported.",
}

/// What DMA comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DmaOutcome {
    /// Every access succeeds.
    #[default]
    Ok,
    /// Every access is aborted.
    Abort,
    /// Either.
    Any,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_linux() {
        assert_eq!(Outcome::Ok.errno(), None);
        assert_eq!(Outcome::EPERM.errno(), Some(1));
        assert_eq!(Outcome::from_errno(28), Some(Outcome::ENOSPC));
        assert_eq!(Outcome::from_errno(4), None);
        assert_eq!(Outcome::EOPNOTSUPP.name(), "EOPNOTSUPP");
    }
}
