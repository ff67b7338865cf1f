//! Progress on a terminal, once something takes long enough to wonder. Elsewhere nothing is shown.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// How long something may take before its progress is shown.
const SHOWN_AFTER: Duration = Duration::from_secs(2);

/// The progress of one piece of work; shown on standard error.
#[derive(Debug)]
pub(crate) struct Progress {
    what: &'static str,
    terminal: bool,
    started: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// `what` is done, as in "verifying".
    pub(crate) fn new(what: &'static str) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { what, terminal, started: Instant::now(), bar: None }
    }

    /// So many entries were read, in so many bytes of so many; without a total only the entries show.
    pub(crate) fn show(&mut self, entries: u64, bytes: Option<(u64, u64)>) {
        if !self.terminal || self.started.elapsed() < SHOWN_AFTER {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| match bytes {
            Some((_, total)) => styled(
                ProgressBar::new(total),
                "{prefix} {bar:30} {bytes} of {total_bytes}, {msg} entries, {eta} left",
            ),
            None => styled(ProgressBar::new_spinner(), "{prefix} {spinner} {msg} entries"),
        });
        bar.set_prefix(self.what);
        bar.set_message(entries.to_string());
        match bytes {
            Some((done, _)) => bar.set_position(done),
            None => bar.tick(),
        }
    }

    /// Takes it off the screen.
    pub(crate) fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
