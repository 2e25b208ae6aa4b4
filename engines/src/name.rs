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

#[cfg(test)]
mod tests {
    use std::fmt::{Debug, Display};
    use std::str::FromStr;

    use serde::de::DeserializeOwned;

    use super::*;
    use crate::engine::{Backend, Precision, Provider};

    /// Command lines and configurations must agree.
    fn check<T>(all: &[T])
    where
        T: Copy + PartialEq + Debug + Display + FromStr<Err = UnknownName> + DeserializeOwned,
    {
        for value in all {
            let name = value.to_string();
            assert_eq!(name.parse::<T>().unwrap(), *value);
            assert_eq!(serde_json::from_value::<T>(name.into()).unwrap(), *value);
        }
    }

    #[test]
    fn engines_are_named_as_in_configurations() {
        check(&Precision::ALL);
        check(&Backend::ALL);
        check(&Provider::ALL);
        let error = "fp64".parse::<Precision>().unwrap_err().to_string();
        assert_eq!(error, "`fp64` is unknown; it is one of `fp32`, `fp16`, `int8`");
    }
}
