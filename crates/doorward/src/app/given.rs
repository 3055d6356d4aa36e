//! A parameter as it came: not at all, unreadable, or a value.

use super::Error;

/// A parameter that was read but not yet judged. Faces parse; operations refuse, because the order in which refusals
/// are looked for belongs to the operation (VPN API, section 1.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Given<T> {
    /// Not sent.
    #[default]
    Missing,
    /// Sent, and not a value of its type.
    Wrong,
    /// Sent.
    Is(T),
}

impl<T> Given<T> {
    /// The value, if one was sent.
    ///
    /// # Errors
    /// `refusal`, if what was sent is no value.
    pub fn or(&self, refusal: Error) -> Result<Option<&T>, Error> {
        match self {
            Self::Missing => Ok(None),
            Self::Wrong => Err(refusal),
            Self::Is(value) => Ok(Some(value)),
        }
    }

    /// The value, if one was sent and could be read.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Missing | Self::Wrong => None,
            Self::Is(value) => Some(value),
        }
    }

    /// Whether it was left out.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing)
    }
}
