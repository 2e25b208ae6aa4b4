//! Title, style and warnings at the top of a page.

use std::fmt::Write;

use crate::util::text::escape;

/// Begin of a page with its style.
pub fn head(kind: &str, title: &str, warnings: &[String]) -> String {
    let title = escape(title);
    let mut page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8>\
         <meta name=viewport content='width=device-width'><title>{kind}: {title}</title>\
         <style>{}{}</style><main><h1>{kind}</h1><p class=sub>{title} · nervelight-train {}</p>",
        include_str!("page.css"),
        include_str!("report.css"),
        env!("NERVELIGHT_REVISION")
    );
    for warning in warnings {
        _ = write!(page, "<p class=warning>{}</p>", escape(warning));
    }
    page
}
