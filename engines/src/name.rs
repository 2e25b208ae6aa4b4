//! Names of values, the same on command lines and in configurations.

/// A name that none of the values has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is unknown; it is one of {known}")]
pub struct UnknownName {
    name: String,
    known: String,
}

/// The value among `all` that is called `name`.
pub fn named<T: Copy + ToString>(all: &[T], name: &str) -> Result<T, UnknownName> {
    all.iter().copied().find(|value| value.to_string() == name).ok_or_else(|| UnknownName {
        name: name.into(),
        known: all.iter().map(|value| format!("`{}`", value.to_string())).collect::<Vec<_>>().join(", "),
    })
}
