//! Kubernetes quantities: `500m`, `1.5Gi`, `1e3`.

/// A quantity with a resolution of one billionth; finer values are rounded up and huge ones capped, as in Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Quantity {
    nanos: i128,
}

const NANO: i128 = 1_000_000_000;
/// The maximum: 2^63 - 1 whole units.
const MOST: i128 = i64::MAX as i128 * NANO;

impl Quantity {
    /// Parses `[+-]digits[.digits][suffix]`; the suffix is one of n u m k M G T P E, Ki Mi Gi Ti Pi Ei, or a
    /// decimal exponent. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let negative = text.starts_with('-');
        let rest = text.strip_prefix(['+', '-']).unwrap_or(text);
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, suffix) = rest.split_at_checked(end)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return None;
        }
        let (binary, decimal) = match suffix {
            "" => (0, 0),
            "n" => (0, -9),
            "u" => (0, -6),
            "m" => (0, -3),
            "k" => (0, 3),
            "M" => (0, 6),
            "G" => (0, 9),
            "T" => (0, 12),
            "P" => (0, 15),
            "E" => (0, 18),
            "Ki" => (10, 0),
            "Mi" => (20, 0),
            "Gi" => (30, 0),
            "Ti" => (40, 0),
            "Pi" => (50, 0),
            "Ei" => (60, 0),
            _ => (0, suffix.strip_prefix(['e', 'E']).and_then(exponent)?),
        };
        // The significant digits; any further ones only move the decimal point.
        let mut mantissa: i128 = 0;
        let mut power = decimal + 9;
        let mut lost = false;
        for (index, digit) in whole.bytes().chain(fraction.bytes()).enumerate() {
            let digit = i128::from(digit - b'0');
            if mantissa < 10_i128.pow(18) {
                mantissa = mantissa * 10 + digit;
                power -= i32::from(index >= whole.len());
            } else {
                lost |= digit != 0;
                power += i32::from(index < whole.len());
            }
        }
        let mut nanos = mantissa.checked_mul(1 << binary).unwrap_or(i128::MAX);
        if mantissa != 0 && power > 0 {
            let factor = u32::try_from(power).ok().and_then(|power| 10_i128.checked_pow(power));
            nanos = factor.and_then(|factor| nanos.checked_mul(factor)).unwrap_or(i128::MAX);
        } else if power < 0 {
            let factor = 10_i128.checked_pow(power.unsigned_abs()).unwrap_or(i128::MAX);
            lost |= nanos % factor != 0;
            nanos /= factor;
        }
        if lost {
            nanos = nanos.saturating_add(1);
        }
        let nanos = nanos.min(MOST);
        Some(Self { nanos: if negative { -nanos } else { nanos } })
    }

    /// Returns a quantity of whole units.
    pub fn from_value(value: u64) -> Self {
        Self { nanos: (i128::from(value) * NANO).min(MOST) }
    }

    /// Returns a quantity of thousandths.
    pub fn from_millis(millis: u64) -> Self {
        Self { nanos: (i128::from(millis) * (NANO / 1000)).min(MOST) }
    }

    /// Divides by `divisor` and rounds up (resourceFieldRef); a divisor of 0 means 1.
    pub fn count_of(self, divisor: Self) -> i64 {
        self.scaled(if divisor.nanos > 0 { divisor.nanos } else { NANO })
    }

    /// Returns whole units, rounded up (away from zero, as Kubernetes rounds).
    pub fn value(self) -> i64 {
        self.scaled(NANO)
    }

    /// Returns thousandths, rounded up.
    pub fn millis(self) -> i64 {
        self.scaled(NANO / 1000)
    }

    /// Returns true for a value below zero.
    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// Returns true for zero.
    pub fn is_zero(self) -> bool {
        self.nanos == 0
    }

    /// Returns true for a value without a fraction.
    pub fn is_whole(self) -> bool {
        self.nanos % NANO == 0
    }

    fn scaled(self, unit: i128) -> i64 {
        let up = (self.nanos.abs() + unit - 1) / unit;
        let value = i64::try_from(up).unwrap_or(i64::MAX);
        if self.nanos < 0 { -value } else { value }
    }
}

impl From<&k8s_openapi::apimachinery::pkg::api::resource::Quantity> for Quantity {
    /// Validation has refused invalid quantities; one in a damaged record counts as zero.
    fn from(quantity: &k8s_openapi::apimachinery::pkg::api::resource::Quantity) -> Self {
        Self::parse(&quantity.0).unwrap_or_default()
    }
}

fn exponent(text: &str) -> Option<i32> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse::<i32>().ok().map(|value| value.clamp(-1000, 1000))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        for (text, millis) in [
            ("0", 0),
            ("1", 1000),
            ("500m", 500),
            ("0.5", 500),
            (".5", 500),
            ("1.", 1000),
            ("+2", 2000),
            ("-3", -3000),
            ("1k", 1_000_000),
            ("1Ki", 1_024_000),
            ("1.5Ki", 1_536_000),
            ("1e3", 1_000_000),
            ("1E3", 1_000_000),
            ("1E", 1_000_000_000_000_000_000_000_i128),
            ("1e-3", 1),
            ("100n", 1),
            ("0.0001", 1),
            ("1500u", 2),
            ("0.00000000000000000000000001", 1),
            ("100000000000000000000000000e-26", 1000),
        ] {
            let expected = i64::try_from(millis).unwrap_or(i64::MAX);
            assert_eq!(Quantity::parse(text).map(Quantity::millis), Some(expected), "{text}");
        }
        assert_eq!(Quantity::parse("128Mi").unwrap().value(), 128 << 20);
        assert_eq!(Quantity::parse("8Ei").unwrap().value(), i64::MAX);
        assert_eq!(Quantity::parse("1e999").unwrap().value(), i64::MAX);
        assert_eq!(Quantity::parse("0e999").unwrap().value(), 0);
        for text in
            ["", ".", "-", "1 Gi", "1gi", "1KB", "1MB", "Gi", "1.2.3", "1e", "e3", "0x10", "1_0", "ten", "1i"]
        {
            assert_eq!(Quantity::parse(text), None, "{text}");
        }
        assert!(Quantity::parse("1Gi") > Quantity::parse("1G"));
        assert!(!Quantity::parse("0.5").unwrap().is_whole());
    }

    proptest! {
        #[test]
        fn never_panics(text in "[-+]?[0-9.]{0,60}[a-zA-Z0-9+-]{0,6}") {
            let _ = Quantity::parse(&text).map(|q| (q.value(), q.millis()));
        }

        #[test]
        fn whole_numbers_come_back(value in 0i64..=i64::MAX / 1000) {
            let quantity = Quantity::parse(&value.to_string()).unwrap();
            prop_assert_eq!(quantity.value(), value);
            prop_assert_eq!(quantity.millis(), value * 1000);
        }
    }
}
