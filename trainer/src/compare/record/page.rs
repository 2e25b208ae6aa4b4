//! The record as one page.

use std::fmt::Write;

use serde_json::Value;

use super::{Modification, Record};
use crate::compare::comparison::Comparison;
use crate::compare::output;
use crate::report::head;
use crate::util::text::escape;

/// The page.
pub fn html(record: &Record, comparison: &Comparison) -> String {
    let [a, b] = &record.impact.evaluations;
    let mut page = head("Record of a change", &format!("A {a} · B {b}"), &record.impact.warnings);
    page += "<nav><a href='#modifications'>1 Modifications</a><a href='#protocol'>2 Protocol</a>\
        <a href='#impact'>3 Impact</a></nav>";
    page += &modifications(&record.modifications);
    page += "<h2 id=protocol>2 Modification protocol</h2><table class=facts><tr><th class=name>gate<th class=name>bound</tr>";
    for (gate, bound) in record.protocol.gates() {
        _ = write!(page, "<tr><td>{gate}<td>{bound}</tr>");
    }
    _ = write!(
        page,
        "</table><p class=about>Bounds of the probation: {}. A model that misses one goes back by itself; the one \
         before it runs on.</p>",
        escape(&record.protocol.bounds_from)
    );
    page += "<h2 id=impact>3 Impact assessment</h2>";
    page += &output::sections(comparison);
    if let Some(shadow) = &record.impact.shadow {
        page += "<h2>Beside each other on a cart</h2><p class=about>The new model ran on spare time beside the one at \
            work and was not shown.</p><table class=facts>";
        facts(&mut page, "", shadow);
        page += "</table>";
    }
    page + "</main></html>\n"
}

fn modifications(rows: &[Modification]) -> String {
    let mut page =
        "<h2 id=modifications>1 Description of modifications</h2><div class=scroll><table class=facts><tr>\
        <th class=name>part<th class=name>what<th class=name>A<th class=name>B<th class=name></tr>"
            .to_owned();
    let cell = |value: &Option<String>| value.as_deref().map_or("–".into(), escape);
    for row in rows {
        let changed = if row.is_change() { "<b class=bad>changed</b>" } else { "same" };
        let [a, b] = row.values.each_ref().map(cell);
        _ = write!(page, "<tr><td>{}<td>{}<td>{a}<td>{b}<td>{changed}</tr>", row.part, escape(&row.what));
    }
    page + "</table></div>"
}

/// Every value of a JSON report, by its path.
fn facts(page: &mut String, path: &str, value: &Value) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path} {name}") };
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| facts(page, &below(&name.replace('_', " ")), value));
        }
        Value::Null => {}
        other => _ = write!(page, "<tr><td>{}<td>{}</tr>", escape(path), escape(&other.to_string())),
    }
}
