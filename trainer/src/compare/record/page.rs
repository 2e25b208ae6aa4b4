//! The record as a page.

use std::fmt::Write;

use serde_json::Value;

use super::{ByFrame, Impact, Modification, Protocol, Record};
use crate::report::head;
use crate::util::text::escape;

/// Lines of a list on the page; the JSON has all.
const LINES: usize = 100;

/// The page, in three parts.
pub fn html(record: &Record) -> String {
    let [a, b] = &record.models;
    let warnings: Vec<String> = record
        .models
        .iter()
        .flat_map(|model| model.warnings.iter().map(|warning| format!("{}: {warning}", model.name)))
        .collect();
    let mut page = head("Change record", &format!("from A {} to B {}", a.title, b.title), &warnings);
    _ = write!(
        page,
        "<p>A: {}<br>B: {}</p><nav><a href='#modifications'>Modifications</a><a href='#protocol'>Protocol</a>\
         <a href='#impact'>Impact</a></nav>",
        escape(&a.folder),
        escape(&b.folder)
    );
    page += &modifications(&record.modifications);
    page += &protocol(&record.protocol);
    page += &impact(&record.impact);
    page + "</main></html>\n"
}

fn modifications(all: &[Modification]) -> String {
    let mut html = "<h2 id=modifications>1. Description of modifications</h2>".to_owned();
    if all.is_empty() {
        return html + "<p class=none>Nothing that the evaluations know of is another.</p>";
    }
    html += "<div class=scroll><table><tr><th class=name>what<th>A<th>B</tr>";
    for Modification { what, a, b } in all {
        let cell = |value: &Option<String>| value.as_deref().map_or_else(|| "–".into(), escape);
        _ = write!(html, "<tr><td class=name>{}<td>{}<td>{}</tr>", escape(what), cell(a), cell(b));
    }
    html + "</table></div><p class=about>Data are named by the SHA-256 of their names and contents.</p>"
}

fn protocol(protocol: &Protocol) -> String {
    let mut html =
        "<h2 id=protocol>2. Modification protocol</h2><p>A model that a cart is sent passes these gates, in \
                    this order. One that fails leaves the model before it running.</p><table>\
                    <tr><th class=name>gate<th class=name>passes</tr>"
            .to_owned();
    for gate in &protocol.gates {
        _ = write!(
            html,
            "<tr><td class=name>{}<td class=name>{}</tr>",
            escape(gate.name),
            escape(&gate.passes)
        );
    }
    html += "</table>";
    html += match protocol.is_default {
        true => "<h3>Bounds of the probation: the defaults, no cart's configuration was given</h3>",
        false => "<h3>Bounds in the cart's configuration</h3>",
    };
    html += &values(&serde_json::to_value(&protocol.cart).unwrap_or_default());
    html += "<h3>The comparison's own bound</h3>";
    html += &match (protocol.fail_below, protocol.passed) {
        (Some(limit), Some(passed)) => format!(
            "<p>B's Dice may not be worse than A's by more than {limit}: the 95% interval of the difference must not \
             reach below −{limit}. <b>{}</b></p>",
            if passed { "It does not." } else { "It does: the change is not supported." }
        ),
        _ => "<p class=none>None was set (--fail-below).</p>".into(),
    };
    html
}

fn impact(impact: &Impact) -> String {
    let mut html = format!(
        "<h2 id=impact>3. Impact assessment</h2><p>{} frames of {} patients, each frame compared with itself.</p>\
         <div class=scroll><table><tr><th class=name>figure<th>A<th>B<th>B − A<th>95% interval<th>above 0\
         <th class=name>over</tr>",
        impact.frames, impact.patients
    );
    for figure in &impact.figures {
        let cells = figure.cells.join("<td>");
        _ = write!(
            html,
            "<tr><td class=name>{}<td>{cells}<td class=name><span class=about>{}</span></tr>",
            escape(figure.name),
            escape(figure.about)
        );
    }
    html += "</table></div><p class=about>Intervals: patients are drawn anew. Above 0: the part of the draws in which B \
             has the larger figure; of HD95 less is better.</p><h3>By patient</h3><table><tr><th>patient<th>frames\
             <th>Dice A<th>Dice B<th>B − A<th>presence wrong A<th>B</tr>";
    for p in &impact.by_patient {
        let class = if p.worse { " class=worse" } else { "" };
        let [a, b] = p.dice;
        let [x, y] = p.presence_wrong;
        _ = write!(
            html,
            "<tr{class}><td>{}<td>{}<td>{a:.3}<td>{b:.3}<td>{:+.3}<td>{x}<td>{y}</tr>",
            p.patient,
            p.frames,
            b - a
        );
    }
    html += "</table><p class=about>Red: worse by more than 0.01 in Dice.</p>";
    html += &frames("Frames where only one of both shows a nerve", &impact.presence_changed);
    html += &frames("Frames whose Dice fell", &impact.dice_fell);
    html += "<h3>Beside the old model on a cart (shadow mode)</h3>";
    html += &match &impact.shadow {
        Some(shadow) => values(shadow),
        None => "<p class=none>No report was given (--shadow).</p>".into(),
    };
    html
}

fn frames(title: &str, all: &[ByFrame]) -> String {
    if all.is_empty() {
        return format!("<h3>{title}</h3><p class=none>None.</p>");
    }
    let mut html =
        format!("<h3>{title}</h3><table><tr><th>frame<th>patient<th>Dice A<th>Dice B<th class=name></tr>");
    for ByFrame { frame, patient, dice: [a, b], what } in all.iter().take(LINES) {
        let frame = escape(frame);
        _ = write!(html, "<tr><td>{frame}<td>{patient}<td>{a:.3}<td>{b:.3}<td class=name>{what}</tr>");
    }
    html += "</table>";
    let more = all.len().saturating_sub(LINES);
    if more > 0 {
        _ = write!(html, "<p>and {more} more, in the JSON beside this page</p>");
    }
    html
}

/// Any JSON as a table of two columns: the place of each value, and the value.
fn values(json: &Value) -> String {
    let mut rows = vec![];
    walk(String::new(), json, &mut rows);
    let mut html = "<div class=scroll><table>".to_owned();
    for (name, value) in rows.iter().take(LINES) {
        _ = write!(html, "<tr><td class=name>{}<td>{}</tr>", escape(name), escape(value));
    }
    html + "</table></div>"
}

fn walk(place: String, json: &Value, rows: &mut Vec<(String, String)>) {
    let below = |name: &str| if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
    match json {
        Value::Object(map) => map.iter().for_each(|(name, value)| walk(below(name), value, rows)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(i, value)| walk(below(&i.to_string()), value, rows))
        }
        Value::String(text) => rows.push((place, text.clone())),
        value => rows.push((place, value.to_string())),
    }
}
