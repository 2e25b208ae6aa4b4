//! Numbers and names as text for people.

/// `1.5 M`, `20 k`, `300`.
pub fn short(value: f64) -> String {
    let trimmed = |value: f64, unit: &str| {
        let text = format!("{value:.2}");
        format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    match value {
        v if v >= 1e6 => trimmed(v / 1e6, " M"),
        v if v >= 1e4 => trimmed(v / 1e3, " k"),
        v => trimmed(v, ""),
    }
}

/// `15,873,795`
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// As HTML text.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(["1.5 M", "20 k", "300", "0.25", "0"], [1.5e6, 2e4, 300.0, 0.25, 0.0].map(short));
    }

    #[test]
    fn numbers_are_grouped_and_names_escaped() {
        assert_eq!(["0", "999", "1,000", "15,873,795"], [0, 999, 1000, 15_873_795].map(grouped));
        assert_eq!(escape("<b>'&'"), "&lt;b&gt;&#39;&amp;&#39;");
    }
}
