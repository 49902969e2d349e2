//! The report as one page.

use std::fmt::Write;

use super::{Report, Status, date::date, svg, text::facts};

/// Rows of orders on the page; the JSON has all.
const MAX_ROWS: usize = 500;

const STYLE: &str = "\
:root{color-scheme:light dark;font:15px/1.5 system-ui,sans-serif}
body{max-width:920px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse;width:100%}
td,th{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #8884;vertical-align:top}
td{overflow-wrap:anywhere}
svg{width:100%;height:auto}
svg text{font-size:11px;fill:currentColor}
svg polyline{fill:none;stroke-width:1.5}
.grid{stroke:#8884}.value{stroke:#0a7d5a}.hold{stroke:#888}.fall{stroke:#c0392b}
.key{font-size:.85rem}.key b.value{color:#0a7d5a}.key b.hold{color:#888}
.failed{color:#c0392b}";

/// Text as it may stand in an element or an attribute.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

pub(super) fn html(report: &Report) -> String {
    let name = escape(&report.name);
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>{name}</title><style>{STYLE}</style></head><body><h1>{name}</h1>"
    );
    page.push_str(
        "<h2>Value</h2><p class=\"key\"><b class=\"value\">portfolio</b>, \
                   <b class=\"hold\">buy and hold</b></p>",
    );
    let value: Vec<_> = report.curve.iter().map(|point| (point.time, point.value)).collect();
    let hold: Vec<_> = report.curve.iter().map(|point| (point.time, point.hold)).collect();
    page.push_str(&svg::chart(
        "Value of the portfolio and of holding",
        &[svg::Line { class: "hold", points: &hold }, svg::Line { class: "value", points: &value }],
    ));
    page.push_str("<h2>Drawdown, percent</h2>");
    let falls = falls(&value);
    page.push_str(&svg::chart("Drawdown", &[svg::Line { class: "fall", points: &falls }]));
    page.push_str("<h2>Numbers</h2><table>");
    for (label, value) in facts(report) {
        let _infallible =
            write!(page, "<tr><th>{}</th><td>{}</td></tr>", escape(label), escape(&value));
    }
    page.push_str("</table>");
    orders(&mut page, report);
    page.push_str("</body></html>\n");
    page
}

fn falls(curve: &[(u64, f64)]) -> Vec<(u64, f64)> {
    let mut highest = f64::MIN;
    let fall = |(time, value): &(u64, f64)| {
        highest = highest.max(*value);
        let depth = if highest > 0.0 { (value / highest - 1.0) * 100.0 } else { 0.0 };
        (*time, depth)
    };
    curve.iter().map(fall).collect()
}

fn orders(page: &mut String, report: &Report) {
    page.push_str(
        "<h2>Orders</h2><table><tr><th>#</th><th>time</th><th>order</th><th>why</th>\
         <th>outcome</th></tr>",
    );
    let skipped = report.orders.len().saturating_sub(MAX_ROWS);
    for row in report.orders.iter().skip(skipped) {
        let (class, status) = match row.status {
            Status::Settled => ("settled", "settled"),
            Status::Failed => ("failed", "failed"),
            Status::Open => ("open", "open"),
        };
        let transaction = row.transaction.map_or_else(String::new, |hash| hash.to_string());
        let relied_on: String = row.relied_on.iter().map(|digest| format!(" {digest}")).collect();
        let relied_on =
            if relied_on.is_empty() { relied_on } else { format!("; relied on{relied_on}") };
        let _infallible = write!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td>\
             <td class=\"{class}\">{status}: {} {}</td></tr>",
            row.id,
            date(row.time),
            escape(&row.action),
            escape(&format!("{}{relied_on}", row.reason)),
            escape(&row.outcome),
            escape(&transaction)
        );
    }
    page.push_str("</table>");
    if skipped > 0 {
        let _infallible = write!(page, "<p>The {skipped} orders before are in the JSON.</p>");
    }
}
