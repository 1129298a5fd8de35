//! What is shown on a terminal while something takes its time.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A line on stderr that says how far it is; nothing where stderr is no terminal.
pub(crate) struct Spinner(ProgressBar);

impl Spinner {
    /// Starts counting things of this name.
    pub(crate) fn start(what: &'static str) -> Self {
        let bar = ProgressBar::new_spinner();
        let style = ProgressStyle::with_template("{spinner} {pos} {msg} ({per_sec}, {elapsed})");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// So many are done.
    pub(crate) fn at(&self, count: u64) {
        self.0.set_position(count);
    }

    /// It is over: the line goes.
    pub(crate) fn stop(self) {
        self.0.finish_and_clear();
    }
}
