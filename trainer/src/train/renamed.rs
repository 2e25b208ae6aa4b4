//! Keys of settings that had another name in earlier versions.

use toml::de::DeTable;

/// The name then, and now.
const KEYS: [(&str, &str); 4] = [
    ("average", "ema_decay"),
    ("weight", "recall_weight"),
    ("as_run", "swap_truth_and_prediction"),
    ("teacher_weight", "distillation_weight"),
];

/// A key's name then, and now.
pub type Renamed = (&'static str, &'static str);

/// `text` with the names of now, line for line, and the keys that had another. Text that is no TOML comes
/// back as it is: whoever reads it says why.
pub fn keys(text: &str) -> (String, Vec<Renamed>) {
    let Ok(table) = DeTable::parse(text) else { return (text.to_owned(), vec![]) };
    let mut found: Vec<_> = table
        .get_ref()
        .keys()
        .filter_map(|key| {
            let renamed = KEYS.into_iter().find(|(was, _)| key.get_ref() == was)?;
            Some((key.span(), renamed))
        })
        .collect();
    // From the end, so that the places before stay.
    found.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
    let mut text = text.to_owned();
    for (span, (_, now)) in &found {
        text.replace_range(span.clone(), now);
    }
    (text, found.into_iter().rev().map(|(_, renamed)| renamed).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_renamed_where_they_stand_and_nothing_else_is() {
        let text = "# weight\nweight = 2.0\nrun = \"weight = 1\"\n\"average\" = 0\n";
        let (now, keys) = keys(text);
        assert_eq!(now, "# weight\nrecall_weight = 2.0\nrun = \"weight = 1\"\nema_decay = 0\n");
        assert_eq!(keys, [("weight", "recall_weight"), ("average", "ema_decay")]);
        assert_eq!(super::keys("weight = = 1"), ("weight = = 1".to_owned(), vec![]));
    }
}
