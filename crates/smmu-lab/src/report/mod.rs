//! What a run came to, as a page that people look at.
//!
//! [`page`] makes one HTML file that needs nothing else: style, script, charting library and data
//! are inside, and its content security policy forbids the browser to load anything. The numbers
//! stand in tables that need no script; the charts are drawn from the same figures. Equal results
//! give equal bytes.

mod figures;
mod markup;
mod tables;

use crate::run::Results;
use markup::{escape, fill, json};

const TEMPLATE: &str = include_str!("../../assets/report/template.html");
const STYLE: &str = include_str!("../../assets/report/style.css");
const SCRIPT: &str = include_str!("../../assets/report/script.js");
const PLOT_STYLE: &str = include_str!("../../assets/uplot/uPlot.min.css");
const PLOT_SCRIPT: &str = include_str!("../../assets/uplot/uPlot.iife.min.js");
const PLOT_LICENCE: &str = include_str!("../../assets/uplot/LICENSE");

/// The results as one self-contained HTML file: summary, charts with their numbers, complaints,
/// all tables, and the results as JSON in the element `results`.
#[must_use]
pub fn page(results: &Results) -> String {
    let figures = figures::of(results);
    let figures_html: String = figures.iter().map(tables::figure).collect();
    fill(
        TEMPLATE,
        &[
            ("version", env!("CARGO_PKG_VERSION")),
            ("title", &escape(&results.title)),
            ("description", &escape(&results.description)),
            ("summary", &tables::summary(results)),
            ("complaints", &tables::complaints(results)),
            ("figures", &figures_html),
            ("tables", &tables::all(results)),
            ("footer", &tables::footer(results)),
            ("results_json", &json(results)),
            ("figures_json", &json(&figures)),
            ("style", STYLE),
            ("script", SCRIPT),
            ("plot_style", PLOT_STYLE),
            ("plot_script", PLOT_SCRIPT),
            ("plot_licence", PLOT_LICENCE),
        ],
    )
}
