//! Whole numbers as JSON writes them: `5`, and `5.0`, which JavaScript cannot tell from it and JSON Schema calls an
//! integer too. Every integer that clients send is read by one of these two types.

use serde::Deserialize;
use serde_json::Number;

use crate::domain::Version;

/// A whole number of either sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Number")]
pub struct Whole(pub i64);

/// A whole number that is not negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Number")]
pub struct Natural(pub u64);

impl TryFrom<Number> for Whole {
    type Error = &'static str;

    fn try_from(number: Number) -> Result<Self, Self::Error> {
        number.as_i64().or_else(|| whole_float(&number)).map(Self).ok_or("expected a whole number")
    }
}

impl TryFrom<Number> for Natural {
    type Error = &'static str;

    fn try_from(number: Number) -> Result<Self, Self::Error> {
        let float = || whole_float(&number).and_then(|whole| u64::try_from(whole).ok());
        number.as_u64().or_else(float).map(Self).ok_or("expected a whole number that is not negative")
    }
}

/// A float without a fraction, as far as floats count exactly. Negative zero is 0.
fn whole_float(number: &Number) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let float = number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0 && float.abs() <= EXACT)?;
    #[expect(clippy::cast_possible_truncation, reason = "whole and at most 2^53")]
    Some(float as i64)
}

impl From<Natural> for Version {
    fn from(Natural(version): Natural) -> Self {
        Self(version)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_whole_floats_and_refuses_fractions() {
        let whole = |value: serde_json::Value| serde_json::from_value(value).ok().map(|Whole(it)| it);
        let natural = |value: serde_json::Value| serde_json::from_value(value).ok().map(|Natural(it)| it);
        for (value, number) in [(json!(3), 3), (json!(3.0), 3), (json!(0.0), 0), (json!(-0.0), 0), (json!(1e3), 1_000)]
        {
            assert_eq!((whole(value.clone()), natural(value)), (Some(number), Some(u64::try_from(number).unwrap())));
        }
        for value in [json!(3.5), json!(1e300), json!("3"), json!(null), json!([3])] {
            assert_eq!((whole(value.clone()), natural(value.clone())), (None, None), "{value}");
        }
        assert_eq!((whole(json!(-3.0)), natural(json!(-3.0)), natural(json!(-3))), (Some(-3), None, None));
        assert_eq!((whole(json!(u64::MAX)), natural(json!(u64::MAX))), (None, Some(u64::MAX)));
    }
}
